"""What a user costs in Redis: written by the real store, asked of the server."""

import asyncio
import time
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from profiles.model import Observation, Signal, Stance
from profiles.policy import MICROSECONDS, Policy
from profiles.store import ProfileStore
from streams.embedded import EmbeddedRedis

METARANK_BYTES = 860
"""A user, as metarank publishes it for its own features."""

_INTERESTS = 20
_EVENTS = 40
_AT_ONCE = 4
_BATCH = 100
_SETTLED_SECONDS = 0.5  # until the server has counted the buffers of the client that is gone


def measure(*, users: int) -> dict[str, Any]:
    """Bytes a user for 20 interests in two horizons: without evidence, with it, and without the list of event ids.

    Events come a few at a time, as they do in life: what grows step by step may keep room to grow.
    """
    variants = {
        "without_evidence": Policy(evidence_per_interest=0),
        "with_evidence": Policy(),
        "without_evidence_and_duplicate_window": Policy(evidence_per_interest=0, duplicate_window=0),
    }
    return {
        "users": users,
        "interests": _INTERESTS,
        "horizons": 2,
        "events_per_user": _EVENTS,
        "bytes_per_user": {name: _bytes(policy, users) for name, policy in variants.items()},
        "metarank_bytes_per_user": METARANK_BYTES,
    }


def _bytes(policy: Policy, users: int) -> float:
    with EmbeddedRedis() as server, Redis.from_url(server.url) as asking:
        asyncio.run(_fill(server.url, policy, range(_BATCH)))
        before = _dataset(asking)  # what the server needs for itself is there now, too
        asyncio.run(_fill(server.url, policy, range(_BATCH, _BATCH + users)))
        return (_dataset(asking) - before) / users


def _dataset(asking: Redis) -> int:
    time.sleep(_SETTLED_SECONDS)
    return int(asking.info("memory")["used_memory_dataset"])


async def _fill(url: str, policy: Policy, users: range) -> None:
    async with AsyncRedis.from_url(url) as redis:
        store = ProfileStore(redis, policy)
        await store.prepare()
        now = int(time.time() * MICROSECONDS)
        for first in range(users.start, users.stop, _BATCH):
            for event in range(0, _EVENTS, _AT_ONCE):
                events = range(event, event + _AT_ONCE)
                batch = [_observation(user, n, now) for user in range(first, first + _BATCH) for n in events]
                await store.record("clicks/0", batch)


def _observation(user: int, n: int, now: int) -> Observation:
    interest = f"concept-{(user + n % _INTERESTS) % 400:03d}"
    signal = Signal(interest, Stance.LIKE, 1.0, f"Item {n} #0123456789abcdef", "v1")
    at = now - n * MICROSECONDS
    return Observation(f"u{user:07d}", f"click-{user}-{n}", user * _EVENTS + n, at, (signal,), f"i{n}", now)
