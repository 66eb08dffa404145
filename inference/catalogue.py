"""What each item is about: read once, used by every click on it.

An item may be edited. Each version is kept with the instant it is in force from, and a click meets the version of
its own time, so that a later edit does not rewrite the past and a replay meets what the original run met.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from redis.asyncio import Redis

from profiles import keys

from .extraction import Interest

MAX_VERSIONS = 8


class ItemVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """The interests of one text of an item, in force from ``since`` (epoch microseconds).

    ``digest`` names the text, ``title`` shows it to people, ``reader`` is who read it.
    """

    since: int
    digest: str
    title: str
    reader: str
    interests: tuple[Interest, ...]


_encode = msgspec.json.Encoder().encode
_decode = lru_cache(maxsize=100_000)(msgspec.json.Decoder(tuple[ItemVersion, ...]).decode)


@lru_cache(maxsize=100_000)
def _key(item_id: str) -> bytes:
    """The key as redis-py sends it, for it is asked for in every batch."""
    return keys.item(item_id).encode()


def version_at(versions: Sequence[ItemVersion], at: int) -> ItemVersion:
    """The version in force at ``at``; before the first one, the first."""
    if len(versions) == 1:
        return versions[0]
    return next((v for v in reversed(versions) if v.since <= at), versions[0])


class Catalogue:
    """Item versions in Redis, one string an item."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, item_ids: Sequence[str]) -> dict[str, tuple[ItemVersion, ...]]:
        """The versions of the items that are known, oldest first."""
        if not item_ids:
            return {}
        values = await self._redis.mget([_key(i) for i in item_ids])
        return {i: _decode(value) for i, value in zip(item_ids, values, strict=True) if value}

    async def add(self, versions: Mapping[str, ItemVersion]) -> None:
        """Add a version of each item; the text already in force then changes nothing."""
        known = await self.find(list(versions))
        pipeline, added = self._redis.pipeline(transaction=False), []
        for item_id, version in versions.items():
            before = known.get(item_id, ())
            in_force = [v for v in before if v.since <= version.since]
            if not in_force or in_force[-1].digest != version.digest:
                kept = sorted((*before, version), key=lambda v: v.since)[-MAX_VERSIONS:]
                pipeline.set(keys.item(item_id), _encode(kept), nx=not before)
                added.append(item_id)
        answers = await pipeline.execute() if added else []
        if overtaken := [item_id for item_id, done in zip(added, answers, strict=True) if not done]:
            await self.add({item_id: versions[item_id] for item_id in overtaken})

    async def remove(self, item_ids: Sequence[str]) -> None:
        """Forget items that were deleted."""
        if item_ids:
            await self._redis.delete(*(keys.item(i) for i in item_ids))
