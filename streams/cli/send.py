"""``penchant send``: publish events from the terminal."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .shared import BAD_NEWS, UNREACHABLE, WRONG_USE, fail, settings

File = Annotated[str | None, typer.Argument(help="a JSONL file of events, or - for standard input")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(send)


def send(
    file: File = None,
    *,
    user: Annotated[str | None, typer.Option(help="the user who writes or clicks")] = None,
    text: Annotated[str | None, typer.Option(help="a comment")] = None,
    kind: Annotated[
        str | None, typer.Option(help="kind of the comment: comment, review, search, ...; default: comment")
    ] = None,
    click: Annotated[str | None, typer.Option(help="the id of the item clicked on")] = None,
    action: Annotated[
        str | None, typer.Option(help="what was done to the item: click, like, purchase, hide, ...; default: click")
    ] = None,
    title: Annotated[str | None, typer.Option(help="the item's title, where the worker may not know the item")] = None,
) -> None:
    """Publish a comment, a click, or a file of events.

    penchant send --user u1 --text "Dune is the best science fiction novel"

    penchant send --user u1 --click item-7 --action like --title "Trail running shoes"
    """
    from streams.publishing import InvalidEventError, Publisher, PublishError

    events: list[tuple[int, Any]]
    of_click = [click, action, title]
    if file is not None and any((user, text, kind, *of_click)):
        fail(WRONG_USE, "a file says it all: leave the options out")
    if (text is not None or kind is not None) and any(of_click):
        fail(WRONG_USE, "one at a time: --text with --kind, or --click with --action and --title")
    if file is not None:
        try:
            lines = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        except OSError as error:
            fail(WRONG_USE, f"{file}: {error.strerror}")
        events = [(n, line) for n, line in enumerate(lines.splitlines(), 1) if line.strip()]
    elif user is not None and text is not None:
        events = [(1, {"user_id": user, "kind": kind or "comment", "text": text})]
    elif user is not None and click is not None:
        inline = {"item": {"title": title}} if title else {}
        events = [(1, {"user_id": user, "action": action or "click", "item_id": click, **inline})]
    else:
        fail(WRONG_USE, "give a file, or --user with --text or --click")
    effective = settings()
    try:
        with Publisher(effective) as publisher:
            for sent, (line, event) in enumerate(events):
                try:
                    publisher.send(event)
                except InvalidEventError as error:
                    publisher.flush()
                    rest = f"line {line} and what follows it (sent: {sent} before it) " if file is not None else ""
                    fail(BAD_NEWS, f"{rest}not sent: {error}")
    except PublishError as error:
        fail(UNREACHABLE, str(error))
    typer.echo(f"sent {len(events)} event{'s' * (len(events) != 1)}")
