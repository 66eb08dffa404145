"""``penchant worker`` and ``penchant config``."""

import asyncio
from typing import Annotated

import typer

from .shared import BAD_NEWS, UNREACHABLE, WRONG_USE, Json, fail, print_json, reaching, settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(worker)
    app.command()(accept_log)
    app.command()(config)


def worker() -> None:
    """Consume events and keep the profiles, until SIGTERM or Ctrl-C.

    Settings are PENCHANT_ environment variables (see 'penchant config'). Prints one line of JSON with its addresses
    once it is ready. Run as many workers as there are partitions at most; each takes its share. Exits 1 where a topic
    was recreated, also while it runs: see 'penchant accept-log'.
    """
    from profiles.logs import LogChangedError
    from profiles.store import UnsupportedRedisError
    from streams.app import WorkerCrashedError
    from streams.logs import configure_logs
    from streams.runtime import Addresses, run_worker
    from streams.topics import TopicError

    effective = settings()
    configure_logs(effective.log_level, as_json=effective.log_json)

    def ready(addresses: Addresses) -> None:
        print_json({"ready": True, **addresses.as_dict()})

    with reaching(effective):
        try:
            asyncio.run(run_worker(effective, ready=ready))
        except (ValueError, UnsupportedRedisError) as error:
            fail(WRONG_USE, str(error))
        except (LogChangedError, WorkerCrashedError) as error:
            fail(BAD_NEWS, str(error))
        except TopicError as error:
            fail(UNREACHABLE, str(error))


def accept_log() -> None:
    """Take recreated topics, or those of another cluster, for new logs that add to the same profiles.

    They are read from their beginning. Stop all workers first.
    """
    from streams.runtime import accept_logs
    from streams.topics import TopicError

    effective = settings()
    with reaching(effective):
        try:
            accepted = asyncio.run(accept_logs(effective))
        except TopicError as error:
            fail(UNREACHABLE, str(error))
    typer.echo(f"new logs: {', '.join(accepted)}" if accepted else "the topics are the ones known; nothing to accept")


def config(
    *, as_json: Json = False, documented: Annotated[bool, typer.Option("--all", help="with descriptions")] = False
) -> None:
    """Show the effective settings, secrets masked. An unknown PENCHANT_ variable is an error."""
    import os

    from pydantic import SecretStr

    from streams.settings import PREFIX, Settings, masked_url

    effective = settings()
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(effective, name)
        if name == "redis_url":
            value = masked_url(value)
        elif name == "vllm_urls":
            value = tuple(masked_url(SecretStr(url)) for url in value)
        elif isinstance(value, SecretStr):
            value = "********"
        source = "environment" if PREFIX + name.upper() in {n.upper() for n in os.environ} else "default"
        rows.append((PREFIX + name.upper(), value, source, field.description or ""))
    if as_json:
        print_json(
            {
                name: {"value": value, "source": source} | ({"description": description} if documented else {})
                for name, value, source, description in rows
            }
        )
        return
    for name, value, source, description in rows:
        shown = ",".join(value) if isinstance(value, tuple) else value
        typer.echo(f"{name}={'' if shown is None else shown}" + ("" if source == "default" else "  # set"))
        if documented:
            typer.echo(f"    {description}")
