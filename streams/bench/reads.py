"""Reading profiles: the typed reader against the bare command, one client, one after another."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis

from profiles import keys
from profiles.reader import InterestReader
from streams.embedded import EmbeddedRedis

from .freshness import quantiles
from .workload import INTERESTS, fill_profiles, other_name

_MICRO = 1e6
_MANY = 100


def measure(*, users: int, calls: int) -> dict[str, Any]:
    """Latency of ``top`` against ZRANGE, and of ``many(100)``, with profiles of 20 interests. Microseconds."""
    with EmbeddedRedis() as server, Redis.from_url(server.url) as redis:
        fill_profiles(redis, users)
        reader = InterestReader(redis)
        names = [other_name(n * 7919 % users) for n in range(calls)]
        groups = [[other_name((n * _MANY + k) % users) for k in range(_MANY)] for n in range(max(1, calls // _MANY))]

        def zrange(user: str) -> object:
            return redis.zrange(keys.interests(user, "like", "now"), 0, INTERESTS - 1, desc=True, withscores=True)

        raw, top = _latencies(names, zrange, lambda user: reader.top(user, INTERESTS, "now"))
        with _counting(redis) as sent:
            reader.many(groups[0])
        (many,) = _latencies(groups, reader.many)
    return {
        "users": users,
        "interests": INTERESTS,
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
