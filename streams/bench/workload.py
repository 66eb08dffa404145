"""The clicks that every contestant gets: made from a seed, on a catalogue of items that are known beforehand."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaProducer
from redis import Redis

from inference.catalogue import Catalogue, ItemVersion
from inference.extraction import Interest
from profiles import keys
from profiles.model import Stance
from profiles.policy import MICROSECONDS
from profiles.reader import DEFAULT_HORIZONS
from streams.settings import Settings
from streams.topics import CLICKS, ensure_topics, topic_names

ITEMS = 200
INTERESTS = 20
_CONCEPTS = 60
BATCH_BYTES = 900_000
_HOUR_MS = 3_600_000
_ACTIONS = ("view", "view", "click", "click", "click", "like", "save", "hide")
_KEYS_AT_ONCE = 5_000
_SUM_OF_EVENTS = """
local events = 0
for _, key in ipairs(KEYS) do events = events + (redis.call('HGET', key, 'events') or 0) end
return events
"""
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Workload:
    """How many clicks, of how many users, on which partitions; ``skew`` is the exponent of Zipf's law over users.

    The clicks span the hour before ``until_ms``. Every user keeps to ``taste`` items, drawn from the catalogue; every
    item has one or two interests, half of them with an entity: one to four names a click.
    """

    events: int
    until_ms: int
    users: int = 2_000
    partitions: int = 4
    skew: float = 0.8
    items: int = ITEMS
    taste: int = 12
    seed: int = 7

    def user_names(self) -> list[str]:
        """All users, the busiest first."""
        return [f"u{n:06d}" for n in range(self.users)]

    def clicks(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Partition, key and value of each click, in the order in which they happened."""
        rng = random.Random(self.seed)  # noqa: S311 - reproducible, not secret
        names = self.user_names()
        shares = list(accumulate((n + 1) ** -self.skew for n in range(self.users)))
        users = rng.choices(names, cum_weights=shares, k=self.events)
        tastes = {name: [rng.randrange(self.items) for _ in range(self.taste)] for name in names}
        since, step = self.until_ms - _HOUR_MS, _HOUR_MS / self.events
        for n, user in enumerate(users):
            click = {
                "event_id": f"click-{self.seed}-{n:08d}",
                "user_id": user,
                "occurred_at": int(since + n * step),
                "action": rng.choice(_ACTIONS),
                "item_id": item_id(rng.choice(tastes[user])),
                "session_id": f"s-{user}",
            }
            yield crc32(user.encode()) % self.partitions, user.encode(), _encode(click)


def item_id(number: int) -> str:
    """The id of an item of the catalogue."""
    return f"item-{number:04d}"


async def fill_catalogue(redis_url: str, items: int = ITEMS) -> None:
    """Put the items where the worker finds them: as if they had been read before."""
    from redis.asyncio import Redis as AsyncRedis  # noqa: PLC0415 - the only place that wants it

    redis = AsyncRedis.from_url(redis_url)
    await Catalogue(redis).add({item_id(n): _version(n) for n in range(items)})
    await redis.aclose()


def _version(number: int) -> ItemVersion:
    concepts = [number % _CONCEPTS, (number * 7 + 3) % _CONCEPTS][: 1 + number % 2]
    interests = tuple(
        Interest(
            concept=f"concept-{concept:03d}",
            concept_id=str(concept),
            entity=f"name {number}" if (number + n) % 2 else None,
            stance=Stance.LIKE,
            confidence=0.9,
            span=None,
        )
        for n, concept in enumerate(concepts)
    )
    return ItemVersion(0, f"{number:016x}", f"Item {number}", "bench", interests)


def other_name(number: int) -> str:
    """The id of a user of whom no clicks come."""
    return f"u{number:07d}"


def fill_profiles(redis: Redis, users: int) -> None:
    """Profiles of so many other users, with 20 interests in both horizons, as the worker leaves them."""
    now = int(time.time() * MICROSECONDS)
    with redis.pipeline(transaction=False) as pipe:
        for number in range(users):
            user = other_name(number)
            for horizon, half_life in DEFAULT_HORIZONS.items():
                scores: dict[str, float] = {
                    f"concept-{(number + k) % 400:03d}": now - k * half_life * MICROSECONDS / INTERESTS
                    for k in range(INTERESTS)
                }
                pipe.zadd(keys.interests(user, "like", horizon), {m: round(s) for m, s in scores.items()})
            pipe.hset(keys.meta(user), mapping={"clicks/0": number, "newest": now, "events": 40})
            if len(pipe) > 2_000:  # noqa: PLR2004 - commands in one round trip
                pipe.execute()
        pipe.execute()


async def preload(settings: Settings, workload: Workload) -> None:
    """Publish all clicks, so that no contestant waits for a producer."""
    ensure_topics(settings)
    topic = topic_names()[CLICKS]
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        await send_in_batches(producer, topic, workload.clicks())
        await producer.flush()
    finally:
        await producer.stop()


async def send_in_batches(producer: AIOKafkaProducer, topic: str, records: Iterable[tuple[int, bytes, bytes]]) -> None:
    """Send records (partition, key, value) in batches as full as they get, which cost the producer little."""
    batches: dict[int, Any] = defaultdict(producer.create_batch)
    for partition, key, value in records:
        if batches[partition].append(key=key, value=value, timestamp=None) is None:
            await producer.send_batch(batches.pop(partition), topic, partition=partition)
            batches[partition].append(key=key, value=value, timestamp=None)
    for partition, batch in batches.items():
        await producer.send_batch(batch, topic, partition=partition)


def applied(redis: Redis, users: Sequence[str]) -> int:
    """How many events the profiles of these users hold: the same question for every contestant.

    Redis adds up by itself, because a client that asks user by user takes a sixteenth of a core from whom it watches.
    """
    metas = [keys.meta(user) for user in users]
    total = 0
    for at in range(0, len(metas), _KEYS_AT_ONCE):
        some = metas[at : at + _KEYS_AT_ONCE]
        total += int(redis.eval(_SUM_OF_EVENTS, len(some), *some))
    return total
