"""The extraction ledger: a text is read once, by whichever worker meets it first, and never again while it is kept."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from xxhash import xxh3_128_hexdigest

from inference.extraction import Extraction, Extractor, Interest, Passage, Tier
from profiles import keys

SCHEMA = 1
_LOCK_SECONDS = 6.0  # all that a killed or frozen worker holds others up
_REFRESH_SECONDS = 1.5
_POLL_SECONDS = (0.02, 0.25)
_CHUNK = 32
_MAX_IN_MEMORY = 20_000


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ledger keeps of a reading. The text itself is not kept: whoever asks has it."""

    schema: int
    tier: Tier
    reader: str
    interests: tuple[Interest, ...]
    tokens: int = 0
    dropped: tuple[tuple[str, int], ...] = ()


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Entry)


def digest(passage: Passage, reader: str, variant: str = "") -> str:
    """The hash of all that decides a reading: text and what it is, context, reader, variant and schema."""
    parts = (str(SCHEMA), reader, variant, "item" if passage.item else "", passage.context, passage.text)
    return xxh3_128_hexdigest("\x1f".join(parts).encode("utf-8", "surrogatepass"))


class LedgerExtractor:
    """Any extractor, its readings kept in Redis and shared between workers.

    A text that another worker is reading is waited for while that one keeps its lock alive; identical texts in one
    process share one reading. Answers of a stand-in (another ``reader``) are passed on but not kept, so that they are
    made good later. A Redis outage raises redis' own error: the caller waits and asks again.
    """

    def __init__(self, inner: Extractor, redis: Redis, ttl_seconds: float, variant: str = "") -> None:
        self._inner = inner
        self._redis = redis
        self._ttl = max(1, round(ttl_seconds))
        self._variant = variant
        self._memory: OrderedDict[str, Extraction] = OrderedDict()
        self._flights: dict[str, asyncio.Future[Extraction]] = {}

    @property
    def reader(self) -> str:
        """The inner extractor's identity."""
        return self._inner.reader

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages, each different one at most once."""
        reader = self._inner.reader
        digests = [digest(p, reader, self._variant) for p in passages]
        wanted = dict(zip(digests, passages, strict=True))
        found = await self._find(wanted)
        texts = [p.text for p in passages]
        return [replace(found[d], text=t) for d, t in zip(digests, texts, strict=True)]

    async def _find(self, wanted: Mapping[str, Passage]) -> dict[str, Extraction]:
        found = {d: self._recalled(d) for d in wanted if d in self._memory}
        while missing := [d for d in wanted if d not in found]:
            shared = {d: self._flights[d] for d in missing if d in self._flights}
            own = {d: wanted[d] for d in missing if d not in shared}
            if own:
                found |= await self._fly(own)
            for key, flight in shared.items():
                try:
                    found[key] = replace(await asyncio.shield(flight), cached=True)
                except asyncio.CancelledError:
                    if not flight.cancelled() or _cancelled():  # both, where batches are dropped together
                        raise
        return found

    async def _fly(self, own: Mapping[str, Passage]) -> dict[str, Extraction]:
        """Find or read texts that nobody else in this process is reading; others may wait for the outcome."""
        flights = {d: asyncio.get_running_loop().create_future() for d in own}
        self._flights |= flights
        try:
            found = await self._look_up_or_read(own)
        except Exception as error:
            for flight in flights.values():
                flight.set_exception(error)
                flight.exception()
            raise
        else:
            for key, flight in flights.items():
                flight.set_result(found[key])
            return found
        finally:
            for key, flight in flights.items():
                self._flights.pop(key, None)
                flight.cancel()

    async def _look_up_or_read(self, own: Mapping[str, Passage]) -> dict[str, Extraction]:
        found = await self._kept(list(own))
        while missing := [d for d in own if d not in found]:
            claimed = await self._claim(missing)
            chunks = [claimed[i : i + _CHUNK] for i in range(0, len(claimed), _CHUNK)]
            outcomes = await asyncio.gather(
                *(self._read({d: own[d] for d in chunk}) for chunk in chunks), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                found |= outcome
            found |= await self._await_others([d for d in missing if d not in found])
        return found

    async def _kept(self, digests: Sequence[str]) -> dict[str, Extraction]:
        if not digests:
            return {}
        values = await self._redis.mget([keys.text(d) for d in digests])
        found = {d: x for d, value in zip(digests, values, strict=True) if value and (x := _decoded(value)) is not None}
        for key, extraction in found.items():
            self._remember(key, extraction)
        return found

    async def _claim(self, digests: Sequence[str]) -> list[str]:
        if not digests:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for key in digests:
            pipeline.set(keys.reading(key), b"1", nx=True, px=round(_LOCK_SECONDS * 1000))
        answers = await pipeline.execute()
        return [d for d, won in zip(digests, answers, strict=True) if won]

    async def _read(self, own: Mapping[str, Passage]) -> dict[str, Extraction]:
        """Read, keep, let go of the locks; the locks go whatever happens, or the others would wait for nothing."""
        found: dict[str, Extraction] = {}
        keeping = asyncio.create_task(self._keep_locks(list(own)))
        try:
            answers = await self._inner.extract(list(own.values()))
            found = dict(zip(own, answers, strict=True))
        finally:
            keeping.cancel()
            pipeline = self._redis.pipeline(transaction=False)
            for key, extraction in found.items():
                if extraction.reader == self._inner.reader:
                    pipeline.set(keys.text(key), _encoded(extraction), ex=self._ttl)
                    self._remember(key, replace(extraction, cached=True))
            for key in own:
                pipeline.delete(keys.reading(key))
            await pipeline.execute()
        return found

    async def _keep_locks(self, digests: Sequence[str]) -> None:
        """Keep the locks alive while their texts are read, however long that takes."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            pipeline = self._redis.pipeline(transaction=False)
            for key in digests:
                pipeline.pexpire(keys.reading(key), round(_LOCK_SECONDS * 1000))
            with contextlib.suppress(RedisError):  # a lapsed lock costs a second reading at worst
                await pipeline.execute()

    async def _await_others(self, digests: Sequence[str]) -> dict[str, Extraction]:
        """Wait for texts that other workers are reading, until they are there or their locks are gone."""
        found: dict[str, Extraction] = {}
        waiting = list(digests)
        pause = _POLL_SECONDS[0]
        while waiting:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_SECONDS[1])
            locks = await self._redis.mget([keys.reading(d) for d in waiting])
            found |= await self._kept(waiting)
            waiting = [d for d, lock in zip(waiting, locks, strict=True) if d not in found and lock]
        return found

    def _recalled(self, key: str) -> Extraction:
        self._memory.move_to_end(key)
        return self._memory[key]

    def _remember(self, key: str, extraction: Extraction) -> None:
        self._memory[key] = replace(extraction, text="")
        self._memory.move_to_end(key)
        while len(self._memory) > _MAX_IN_MEMORY:
            self._memory.popitem(last=False)

    async def aclose(self) -> None:
        """Close the inner extractor; the Redis connection is its owner's."""
        await self._inner.aclose()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _encoded(extraction: Extraction) -> bytes:
    return _encode(
        Entry(SCHEMA, extraction.tier, extraction.reader, extraction.interests, extraction.tokens, extraction.dropped)
    )


def _decoded(value: bytes | str) -> Extraction | None:
    """A kept reading, or None where the entry is not one of ours: then the text is read again."""
    try:
        entry = _decoder.decode(value)
    except msgspec.MsgspecError:
        return None
    if entry.schema != SCHEMA:
        return None
    return Extraction(
        entry.interests, entry.tier, entry.reader, tokens=entry.tokens, cached=True, dropped=entry.dropped
    )
