"""``penchant replay``: rejected events through the system again, or profiles anew from the log."""

import asyncio
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.events import Reason

from .shared import BAD_NEWS, UNREACHABLE, WRONG_USE, Json, fail, print_json, reaching, settings

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from profiles.comparison import Difference
    from streams.replay.rebuild import Order, Outcome

_SHOWN = 100


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    *,
    users: Annotated[list[str] | None, typer.Option(help="rebuild these profiles: ids, comma separated")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="rebuild every profile")] = False,
    switch: Annotated[
        bool, typer.Option("--switch", help="let the rebuilt profiles take the live ones' place")
    ] = False,
    switch_back: Annotated[
        bool, typer.Option("--switch-back", help="take the profiles from before the last switch, brought up to date")
    ] = False,
    partial_log: Annotated[
        bool, typer.Option("--partial", help="go on where the log's beginning is gone, without what is older")
    ] = False,
    rate: Annotated[float, typer.Option(help="most events a second", min=1)] = 5000.0,
    max_lag: Annotated[int, typer.Option(help="wait while the live worker is more records behind", min=0)] = 10_000,
    metrics_file: Annotated[Path | None, typer.Option(help="write metrics there, as Prometheus text")] = None,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="replay the dead-letter topic")] = False,
    reason: Annotated[list[Reason] | None, typer.Option(help="why they were rejected; may be repeated")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count letters; nothing is sent")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild profiles from the log, or send rejected events through again.

    penchant replay --users u1,u2 | --all [--switch | --switch-back]

    Reads clicks and comments from their beginning into a shadow of the profiles, and compares it with the live ones,
    which go on being served and updated. --switch then exchanges them, user by user; --switch-back does so again with
    what was live before. Who was exchanged is told of in the profile-updates topic. Texts that the ledger knows are
    not read anew.

    penchant replay --dead-letters --reason unknown_item

    Each letter is replayed once for its reason; one that is rejected again is a new letter.

    Exit codes: 0 done, and what was compared is the same or was switched; 1 profiles differ, some could not be
    compared or switched, or the log's beginning is gone; 2 wrong use; 3 Kafka or Redis does not answer.
    """
    if dead_letters:
        if users or everyone:
            fail(WRONG_USE, "choose one: --dead-letters, or profiles with --users or --all")
        if switch or switch_back or partial_log or metrics_file is not None:
            fail(WRONG_USE, "--switch, --switch-back, --partial and --metrics-file are about profiles: leave them out")
        _dead_letters(reason or [], dry_run=dry_run, as_json=as_json)
        return
    wanted = [user for part in users or () for user in part.split(",") if user]
    if bool(wanted) == everyone:
        fail(WRONG_USE, "say what: --users u1,u2 or --all for profiles, or --dead-letters --reason REASON")
    if dry_run or reason:
        fail(
            WRONG_USE,
            "--dry-run and --reason are about --dead-letters: leave them out; profiles change with --switch alone",
        )
    if switch and switch_back:
        fail(WRONG_USE, "choose one: --switch or --switch-back")
    from streams.replay.rebuild import Order

    order = Order(
        None if everyone else frozenset(wanted),
        switch=switch,
        back=switch_back,
        partial=partial_log,
        rate=rate,
        most_lag=max_lag,
    )
    _profiles(order, metrics_file, as_json=as_json)


def _profiles(order: "Order", metrics_file: Path | None, *, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from profiles.logs import LogChangedError
    from profiles.store import UnsupportedRedisError
    from streams.logs import configure_logs
    from streams.replay.rebuild import MissingLogError, replay_profiles
    from streams.topics import TopicError

    effective = settings()
    configure_logs(effective.log_level, as_json=effective.log_json)
    with reaching(effective), Progress(console=Console(stderr=True), transient=True) as bars:
        advance = partial(_advance_or_wait, bars, bars.add_task("records", total=None))
        try:
            outcome = asyncio.run(replay_profiles(effective, order, progress=advance))
        except (MissingLogError, LogChangedError) as error:
            fail(BAD_NEWS, str(error))
        except (ValueError, UnsupportedRedisError) as error:
            fail(WRONG_USE, str(error))
        except TopicError as error:
            fail(UNREACHABLE, str(error))
    if metrics_file is not None:
        _write_metrics(metrics_file, outcome)
    if as_json:
        print_json(_as_json(outcome))
    else:
        _tell(outcome)
    if outcome.left or (outcome.differing and not order.exchanges):
        raise typer.Exit(BAD_NEWS)


def _write_metrics(file: Path, outcome: "Outcome") -> None:
    from streams.metrics import write_replay_metrics

    try:
        write_replay_metrics(
            file,
            largest_difference=outcome.largest_difference,
            users=_users(outcome),
            events={"applied": outcome.applied, "rejected": sum(outcome.rejected.values())},
            texts=outcome.texts,
            seconds=outcome.seconds,
            finished_at=time.time(),
        )
    except OSError as error:
        fail(
            WRONG_USE,
            f"--metrics-file {file} cannot be written ({error.strerror}): name a file in a folder that is there",
        )


def _users(outcome: "Outcome") -> dict[str, int]:
    return {
        "found": outcome.users,
        "compared": outcome.compared,
        "identical": outcome.identical,
        "differing": len(outcome.differing),
        "switched": outcome.switched,
        "left": len(outcome.left),
    }


def _as_json(outcome: "Outcome") -> dict[str, Any]:
    worst = outcome.worst
    return {
        "users": _users(outcome),
        "largest_difference": outcome.largest_difference,
        "differing": [_difference(user, found) for user, found in worst[:_SHOWN]],
        "left": [{"user": user, "reason": reason} for user, reason in list(outcome.left.items())[:_SHOWN]],
        "records": outcome.records,
        "applied": outcome.applied,
        "rejected": dict(outcome.rejected),
        "texts": dict(outcome.texts),
        "seconds": round(outcome.seconds, 3),
    }


def _difference(user: str, found: "Difference") -> dict[str, Any]:
    stance, horizon = found.where or ("", "")
    return {
        "user": user,
        "difference": found.share,
        "interest": found.interest,
        "stance": stance,
        "horizon": horizon,
        "live": found.live,
        "rebuilt": found.copy,
        "only_live": found.only_live,
        "only_rebuilt": found.only_copy,
    }


def _tell(outcome: "Outcome") -> None:
    rejected = "".join(f", {count} rejected ({reason})" for reason, count in outcome.rejected.items())
    texts = ", ".join(f"{count} by {reader}" for reader, count in outcome.texts.items() if count) or "none"
    typer.echo(f"{outcome.records} records read, {outcome.applied} events applied{rejected}; texts read: {texts}")
    typer.echo(
        f"{outcome.users} users: {outcome.compared} compared, {outcome.identical} identical, "
        f"{outcome.switched} switched, {len(outcome.left)} left; largest difference {outcome.largest_difference:.3g}"
    )
    for user, found in outcome.worst[:_SHOWN]:
        stance, horizon = found.where or ("", "")
        typer.echo(
            f"{user}: {found.interest} ({stance} {horizon}) weighs {found.live:.6g} live, {found.copy:.6g} rebuilt"
        )
    for user, reason in list(outcome.left.items())[:_SHOWN]:
        typer.echo(f"{user}: left as it was, {reason}", err=True)


def _dead_letters(reasons: list[Reason], *, dry_run: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from streams.replay.dead_letters import replay_dead_letters
    from streams.topics import TopicError

    if not reasons:
        known = ", ".join(Reason)
        fail(WRONG_USE, f"say which letters: --dead-letters --reason REASON, one of {known}")
    effective = settings()
    replayed = []
    with reaching(effective), Progress(console=Console(stderr=True), transient=True) as bars:
        for wanted in dict.fromkeys(reasons):
            advance = partial(_advance, bars, bars.add_task(wanted, total=None))
            try:
                replayed.append(replay_dead_letters(effective, wanted, dry_run=dry_run, progress=advance))
            except TopicError as error:
                fail(UNREACHABLE, str(error))
    if as_json:
        print_json({"dry_run": dry_run, "reasons": [asdict(r) for r in replayed]})
        return
    for r in replayed:
        verb = "would be sent" if dry_run else "sent"
        unreadable = f", {r.unreadable} unreadable" if r.unreadable else ""
        typer.echo(f"{r.reason}: {r.sent} of {r.seen} letters {verb}{unreadable}")


def _advance(bars: "Progress", bar: "TaskID", done: int, total: int) -> None:
    bars.update(bar, completed=done, total=total)


def _advance_or_wait(bars: "Progress", bar: "TaskID", done: int, total: int, live_lag: int) -> None:
    waits = f"waiting for the live worker, {live_lag} records behind"
    bars.update(bar, completed=done, total=total, description=waits if live_lag else "records")
