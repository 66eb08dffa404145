"""Reading profiles: the typed reader against the bare command, one client, one after another."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis

from profiles import keys
from profiles.policy import MICROSECONDS
from profiles.reader import DEFAULT_HORIZONS, InterestReader
from streams.embedded import EmbeddedRedis

from .freshness import quantiles

_INTERESTS = 20
_MICRO = 1e6
_MANY = 100


def measure(*, users: int, calls: int) -> dict[str, Any]:
    """Latency of ``top`` against ZRANGE, and of ``many(100)``, with profiles of 20 interests. Microseconds."""
    with EmbeddedRedis() as server, Redis.from_url(server.url) as redis:
        fill(redis, users)
        reader = InterestReader(redis)
        names = [user_name(n * 7919 % users) for n in range(calls)]
        groups = [[user_name((n * _MANY + k) % users) for k in range(_MANY)] for n in range(max(1, calls // _MANY))]

        def zrange(user: str) -> object:
            return redis.zrange(keys.interests(user, "like", "now"), 0, _INTERESTS - 1, desc=True, withscores=True)

        raw, top = _latencies(names, zrange, lambda user: reader.top(user, _INTERESTS, "now"))
        with _counting(redis) as sent:
            reader.many(groups[0])
        (many,) = _latencies(groups, reader.many)
    return {
        "users": users,
        "interests": _INTERESTS,
        "zrange_us": raw,
        "top_us": top,
        "many_100_us": many,
        "ratios": {
            "top_p50": top["p50"] / raw["p50"],
            "top_p99": top["p99"] / raw["p99"],
            "many_per_user": many["p50"] / _MANY / raw["p50"],
        },
        "many_100_round_trips": sent[0],
    }


def user_name(number: int) -> str:
    """The id of a user of this measurement."""
    return f"u{number:07d}"


def fill(redis: Redis, users: int) -> None:
    """Profiles of 20 interests in both horizons, as the worker leaves them."""
    now = int(time.time() * MICROSECONDS)
    with redis.pipeline(transaction=False) as pipe:
        for number in range(users):
            user = user_name(number)
            for horizon, half_life in DEFAULT_HORIZONS.items():
                scores: dict[str, float] = {
                    f"concept-{(number + k) % 400:03d}": now - k * half_life * MICROSECONDS / _INTERESTS
                    for k in range(_INTERESTS)
                }
                pipe.zadd(keys.interests(user, "like", horizon), {m: round(s) for m, s in scores.items()})
            pipe.hset(keys.meta(user), mapping={"clicks/0": number, "newest": now, "events": 40})
            if len(pipe) > 2_000:  # noqa: PLR2004 - commands in one round trip
                pipe.execute()
        pipe.execute()


def _latencies(arguments: list[Any], *calls: Callable[[Any], object]) -> list[dict[str, float]]:
    """Of each of these calls, which take turns, so that what else the machine does meets all of them."""
    taken: list[list[float]] = [[] for _ in calls]
    for argument in arguments:
        for call, own in zip(calls, taken, strict=True):
            started = time.perf_counter()
            call(argument)
            own.append((time.perf_counter() - started) * _MICRO)
    return [quantiles(own) for own in taken]


@contextmanager
def _counting(redis: Redis) -> Iterator[list[int]]:
    """How often something is written to the server's connection: the round trips."""
    pool: Any = redis.connection_pool
    connection = pool.get_connection()
    pool.release(connection)
    count = [0]
    send = connection.send_packed_command

    def counted(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return send(*args, **kwargs)

    connection.send_packed_command = counted
    try:
        yield count
    finally:
        connection.send_packed_command = send
