"""``penchant schema`` and ``penchant check``: the event contract, for those who produce events."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .shared import BAD_NEWS, WRONG_USE, Json, fail, print_json, settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(check)
    app.command()(schema)


def check(
    file: Annotated[str, typer.Argument(help="a JSONL file of events, or - for standard input")],
    *,
    as_json: Json = False,
) -> None:
    """Validate a sample of events offline: which line, which field, what to change. Exits 1 on findings."""
    from streams.check import check_lines

    source = sys.stdin.buffer if file == "-" else None
    try:
        lines = source.readlines() if source else Path(file).read_bytes().splitlines()
    except OSError as error:
        fail(WRONG_USE, f"{file}: {error.strerror}")
    findings = list(check_lines(lines, max_value_bytes=settings().max_value_bytes))
    if as_json:
        print_json(
            {
                "lines": len(lines),
                "findings": [
                    {"line": f.line, "topic": f.topic, "reason": f.reason, "field": f.field, "message": f.message}
                    for f in findings
                ],
            }
        )
    else:
        for f in findings:
            typer.echo(f"line {f.line}: {f.reason}{f' ({f.field})' if f.field else ''}: {f.message}")
        typer.echo(f"{len(lines)} lines, {len(findings)} to mend")
    if findings:
        raise typer.Exit(BAD_NEWS)


def schema(
    folder: Annotated[Path, typer.Argument(help="where to write")] = Path("deploy/contracts"),
    *,
    drift: Annotated[bool, typer.Option("--check", help="only tell whether the files there are up to date")] = False,
) -> None:
    """Write JSON Schema and AsyncAPI of all topics, generated from the code."""
    from streams import contracts

    if drift:
        differing = contracts.drift(folder)
        if differing:
            fail(BAD_NEWS, f"{', '.join(differing)}: out of date; run 'penchant schema {folder}'")
        return
    try:
        contracts.write(folder)
    except OSError as error:
        fail(WRONG_USE, f"{folder} cannot be written ({error.strerror}): name a folder")
    typer.echo(f"written to {folder}")
