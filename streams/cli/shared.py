"""What commands share: settings, and how failures end."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from profiles.reader import InterestReader
    from streams.settings import Settings

BAD_NEWS, WRONG_USE, UNREACHABLE = 1, 2, 3

Json = Annotated[bool, typer.Option("--json", help="print JSON for programs")]


def fail(code: int, message: str) -> NoReturn:
    """End with a message on stderr that says what to do."""
    typer.echo(f"penchant: {message}", err=True)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def settings(**overrides: object) -> "Settings":
    """The settings; a wrong one ends the command with its name and what it takes."""
    from pydantic import ValidationError

    from streams.settings import PREFIX, UnknownSettingError, load_settings

    try:
        return load_settings(**overrides)
    except UnknownSettingError as error:
        fail(WRONG_USE, str(error))
    except ValidationError as error:
        problems = [f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        fail(WRONG_USE, "; ".join(problems))


def reader_of(effective: "Settings") -> "InterestReader":
    """A reader of the profiles, with the horizons that are set."""
    from profiles.reader import InterestReader
    from streams.connections import blocking_redis_client
    from streams.runtime import policy_of

    horizons = {h.name: h.half_life / 1_000_000 for h in policy_of(effective).horizons}
    return InterestReader(blocking_redis_client(effective), horizons=horizons)


@contextmanager
def reaching(settings: "Settings") -> Iterator[None]:
    """Turn a dependency that does not answer into one clear line."""
    from aiokafka.errors import KafkaError as AioKafkaError
    from kafka.errors import KafkaError
    from redis.exceptions import RedisError

    from streams.connections import kafka_complaint, redis_complaint

    try:
        yield
    except RedisError as error:
        fail(UNREACHABLE, redis_complaint(settings, error))
    except (KafkaError, AioKafkaError) as error:
        fail(UNREACHABLE, kafka_complaint(settings, error))
