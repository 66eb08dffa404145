"""Commands about one user's profile: top, why, forget, pin, unpin, mute, unmute."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import BAD_NEWS, UNREACHABLE, WRONG_USE, Json, fail, print_json, reaching, reader_of, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from streams.settings import Settings

User = Annotated[str, typer.Argument(help="the user's id")]
Interest = Annotated[str, typer.Argument(help="an interest, as 'top' shows it")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(top)
    app.command()(why)
    app.command()(forget)
    for ruling, help_text in (
        ("pin", "Keep an interest at the head of a user's list."),
        ("unpin", "Take a pin back."),
        ("mute", "Remove an interest from a profile and keep it out."),
        ("unmute", "Let an interest in again, from now on."),
    ):
        app.command(ruling, help=help_text)(_ruling(ruling))


def top(
    user: User,
    *,
    n: Annotated[int, typer.Option("-n", help="how many", min=1)] = 10,
    horizon: Annotated[str, typer.Option(help="time scale, a name in PENCHANT_HORIZONS")] = "now",
    dislikes: Annotated[bool, typer.Option("--dislikes", help="aversions instead of likes")] = False,
    as_json: Json = False,
) -> None:
    """Show what a user is into, strongest first."""
    from profiles.model import Stance
    from profiles.reader import UnknownHorizonError

    effective = settings()
    stance = Stance.DISLIKE if dislikes else Stance.LIKE
    with reaching(effective):
        try:
            ranked = reader_of(effective).top(user, n, horizon, stance=stance)
        except UnknownHorizonError as error:
            fail(WRONG_USE, str(error.args[0]))
    if as_json:
        print_json(
            [{"interest": r.interest, "weight": r.weight, "stance": r.stance, "pinned": r.pinned} for r in ranked]
        )
        return
    if not ranked:
        typer.echo(f"nothing is known of '{user}' on the horizon '{horizon}'")
    strongest = max((r.weight for r in ranked), default=0.0) or 1.0
    for r in ranked:
        bar = "█" * max(1, round(24 * r.weight / strongest))
        typer.echo(f"{r.weight:10.4f}  {bar:<24}  {r.interest}{'  (pinned)' if r.pinned else ''}")


def why(user: User, interest: Interest, *, as_json: Json = False) -> None:
    """Show the evidence that put an interest into a profile, newest first."""
    from profiles.reader import shown_source
    from streams.instants import rfc3339

    effective = settings()
    with reaching(effective):
        evidence = reader_of(effective).why(user, interest)
    rows: list[dict[str, Any]] = [
        {
            "event": e.event,
            "at": rfc3339(e.at),
            "weight": e.weight,
            "stance": e.stance,
            "source": e.source,
            "reader": e.reader,
        }
        for e in evidence
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"no evidence is kept for '{interest}' of '{user}': 'penchant top' shows what interests are called")
    for row in rows:
        typer.echo(
            f"{row['at']}  {row['stance']:<8}{row['weight']:7.3f}  {shown_source(row['source'])}"
            f"  ({row['event']}, {row['reader']})"
        )


def forget(
    user: User,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask; --json does not either")] = False,
    as_json: Json = False,
) -> None:
    """Erase a user: profile, evidence, rules, readings of their texts, dead letters. Prints a receipt.

    A mark keeps late events from bringing the profile back. The events in Kafka end with their topics' retention.
    """
    from streams.events import MAX_ID_CHARACTERS

    effective = settings()
    if not 0 < len(user) <= MAX_ID_CHARACTERS:
        fail(
            WRONG_USE,
            f"a user's id has 1 to {MAX_ID_CHARACTERS} characters, and this one {len(user)}: nothing is erased",
        )
    if not yes and not as_json:
        typer.confirm(f"Erase all that is known of '{user}'?", abort=True)
    now = datetime.now(UTC)
    with reaching(effective), _bars() as bars:
        receipt, trouble = _erase(effective, user, now, bars)
    if as_json:
        print_json(receipt)
    else:
        _show(receipt)
    if trouble is not None:
        fail(
            UNREACHABLE,
            f"{trouble}; dead letters were not looked through, and other copies may not have been told: repeat it then",
        )
    if not receipt["verified"]:
        fail(BAD_NEWS, "a second scan still found something: events newer than the command may have come; repeat it")


def _erase(effective: "Settings", user: str, now: datetime, bars: "Progress") -> tuple[dict[str, Any], str | None]:
    """The receipt, and what kept Kafka out of it."""
    from kafka.errors import KafkaError

    from streams import erasure
    from streams.connections import kafka_complaint
    from streams.publishing import PublishError

    erased = asyncio.run(erasure.erase(effective, user, int(now.timestamp() * 1_000_000)))
    published, taken, again, trouble = False, None, None, None
    try:
        _publish(effective, user, {"command": "forget", "occurred_at": now.isoformat()})
        published = True
        taken, again = erasure.take_letters_back(effective, user, _advance(bars, "dead letters"))
    except PublishError as error:
        trouble = str(error)
    except KafkaError as error:
        trouble = kafka_complaint(effective, error)
    found = asyncio.run(erasure.look_again(effective, user, _advance(bars, "ledger")))
    receipt = {
        "user": user,
        "at": now.isoformat(),
        "scanned": len(erased.scanned),
        "removed": dict(erased.removed),
        "readings": list(erased.readings),
        "dead_letters": taken and {"seen": taken.seen, "taken_back": taken.found - taken.without_key},
        "published": published,
        "left": found.left,
        "second_scan": {
            "holding": list(found.holding),
            "readings_seen": found.entries,
            "readings": list(found.readings),
            "dead_letters_seen": again and again.seen,
            "dead_letters": again and again.found,
        },
        "verified": again is not None and not (found.holding or found.readings or again.found),
    }
    return receipt, trouble


def _show(receipt: dict[str, Any]) -> None:
    for key, entries in receipt["removed"].items():
        typer.echo(f"removed {entries:>5} entries of {key}")
    typer.echo(f"removed {len(receipt['readings']):>5} readings of texts that only this user wrote")
    if letters := receipt["dead_letters"]:
        typer.echo(f"took back {letters['taken_back']:>3} of {letters['seen']} dead letters")
    again = receipt["second_scan"]
    typer.echo(f"scanned {receipt['scanned']} keys, then again with {again['readings_seen']} readings; what is left:")
    for key, why in receipt["left"].items():
        typer.echo(f"  {key}: {why}")
    if again["dead_letters"]:
        typer.echo(f"  {again['dead_letters']} dead letters: they go with the retention of their topic")
    typer.echo("  the user's events in Kafka: they go with the retention of their topics")


def _bars() -> "Progress":
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True)


def _advance(bars: "Progress", what: str) -> "Callable[[int, int], None]":
    bar = bars.add_task(what, total=None)

    def advance(done: int, total: int) -> None:
        bars.update(bar, completed=done, total=total or None)

    return advance


def _ruling(ruling: str) -> Any:
    def command(user: User, interest: Interest) -> None:
        from streams.publishing import InvalidEventError, PublishError

        at = datetime.now(UTC).isoformat()
        try:
            _publish(settings(), user, {"command": ruling, "interest": interest, "occurred_at": at})
        except InvalidEventError as error:
            fail(WRONG_USE, str(error))
        except PublishError as error:
            fail(UNREACHABLE, str(error))
        typer.echo(f"{ruling} '{interest}' for '{user}': sent")

    return command


def _publish(effective: "Settings", user: str, body: dict[str, Any]) -> None:
    from streams.publishing import Publisher

    with Publisher(effective) as publisher:
        publisher.send({"user_id": user, **body})
