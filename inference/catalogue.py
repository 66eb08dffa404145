"""What each item is about: read once, used by every click on it.

An item may be edited. Each version is kept with the instant it is in force from, and a click meets the version of
its own time, so that a later edit does not rewrite the past and a replay meets what the original run met.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

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
        pipeline = self._redis.pipeline(transaction=False)
        for item_id, version in versions.items():
            pipeline.set(_key(item_id), _encode((version,)), nx=True, get=True)
        for (item_id, version), known in zip(versions.items(), await pipeline.execute(), strict=True):
            if known and not _in_force(_decode(known), version):
                await self._edit(item_id, version)

    async def _edit(self, item_id: str, version: ItemVersion) -> None:
        """Add a version to those that are there in the moment of writing, whoever else edits the item."""
        key = _key(item_id)

        async def write(pipeline: Pipeline) -> None:
            value = await pipeline.get(key)
            known = _decode(value) if value else ()
            pipeline.multi()  # type: ignore[no-untyped-call]
            if not _in_force(known, version):
                pipeline.set(key, _encode(sorted((*known, version), key=lambda v: v.since)[-MAX_VERSIONS:]))

        await self._redis.transaction(write, key)

    async def remove(self, item_ids: Sequence[str]) -> None:
        """Forget items that were deleted."""
        if item_ids:
            await self._redis.delete(*(keys.item(i) for i in item_ids))


def _in_force(known: Sequence[ItemVersion], version: ItemVersion) -> bool:
    """Whether the text of the version is in force at its time already."""
    before = [v for v in known if v.since <= version.since]
    return bool(before) and before[-1].digest == version.digest
