"""``penchant replay``: dead letters through the system again."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from streams.events import Reason

from .shared import UNREACHABLE, WRONG_USE, Json, fail, print_json, reaching, settings

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    *,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="replay the dead-letter topic")] = False,
    reason: Annotated[list[Reason] | None, typer.Option(help="why they were rejected; may be repeated")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count; nothing is sent")] = False,
    as_json: Json = False,
) -> None:
    """Send rejected events through again, once what was wrong with them is mended.

    penchant replay --dead-letters --reason unknown_item

    Each letter is replayed once for its reason; one that is rejected again is a new letter.
    """
    from rich.console import Console
    from rich.progress import Progress

    from streams.replay import replay_dead_letters
    from streams.topics import TopicError

    if not dead_letters or not reason:
        known = ", ".join(Reason)
        fail(WRONG_USE, f"say which letters: --dead-letters --reason REASON, one of {known}")
    effective = settings()
    replayed = []
    with reaching(effective), Progress(console=Console(stderr=True), transient=True) as bars:
        for wanted in dict.fromkeys(reason):
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
