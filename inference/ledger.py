"""The extraction ledger: a text is read once, by whichever worker meets it first, and never again while it is kept."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from xxhash import xxh3_64_hexdigest, xxh3_128_hexdigest

from inference.extraction import Extraction, Extractor, Interest, Passage, Tier
from profiles import keys

SCHEMA = 1
_LOCK_SECONDS = 6.0  # all that a killed or frozen worker holds others up
_REFRESH_SECONDS = 1.5
_SLACK_SECONDS = 60
_POLL_SECONDS = (0.02, 0.25)
_CHUNK = 32
_PAGE = 500
_MAX_IN_MEMORY = 20_000
_MEMORY_SECONDS = 600.0


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ledger keeps of a reading. The text itself is not kept: whoever asks has it.

    ``owner`` marks the one author who wrote the text; it is empty where it is an item's or several people's.
    """

    schema: int
    tier: Tier
    reader: str
    interests: tuple[Interest, ...]
    tokens: int = 0
    dropped: tuple[tuple[str, int], ...] = ()
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Filed:
    """A reading as it lies in the ledger, with the mark of its one author; see Entry."""

    extraction: Extraction
    owner: str = ""

    def is_news_to(self, author: str) -> bool:
        """Whether the reading counts as another author's alone, although this one wrote the text too."""
        return bool(author and self.owner) and self.owner != mark(author)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Entry)


def digest(passage: Passage, reader: str, variant: str = "") -> str:
    """The hash of all that decides a reading: text and what it is, context, reader, variant and schema."""
    parts = (str(SCHEMA), reader, variant, "item" if passage.item else "", passage.context, passage.text)
    return xxh3_128_hexdigest("\x1f".join(parts).encode("utf-8", "surrogatepass"))


def mark(author: str) -> str:
    """How an entry names its author: 8 bytes of a hash in hex; nobody's mark is empty."""
    return xxh3_64_hexdigest(author.encode("utf-8", "surrogatepass")) if author else ""


@dataclass(frozen=True, slots=True)
class Searched:
    """A walk through the whole ledger: how many readings there are, and the keys of those of one author alone."""

    entries: int
    owned: Sequence[str]


class Ledger:
    """Readings in Redis, the newest also in memory, and which of them one author's texts alone have made.

    An author's set of digests leads to the readings that go when the author is forgotten. Both are written at once, so
    that neither a crash nor a forget comes between them. What memory holds lives ten minutes: so long another process
    may answer from a reading that was removed.
    """

    def __init__(self, redis: Redis, ttl_seconds: float) -> None:
        self._redis = redis
        self._ttl = max(1, round(ttl_seconds))
        self._memory: OrderedDict[str, tuple[float, Filed]] = OrderedDict()

    def recall(self, digests: Iterable[str]) -> dict[str, Filed]:
        """The readings that are in memory."""
        now = time.monotonic()
        found = {}
        for key in digests:
            until, filed = self._memory.get(key, (0.0, None))
            if filed is not None and now < until:
                self._memory.move_to_end(key)
                found[key] = filed
        return found

    async def find(self, digests: Sequence[str]) -> dict[str, Filed]:
        """The readings that are in Redis."""
        if not digests:
            return {}
        values = await self._redis.mget([keys.text(d) for d in digests])
        found = {d: x for d, value in zip(digests, values, strict=True) if value and (x := _decoded(value)) is not None}
        self._remember(found)
        return found

    async def claim(self, digests: Sequence[str]) -> list[str]:
        """Take the locks of texts to be read. Returns those that nobody else holds."""
        if not digests:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for key in digests:
            pipeline.set(keys.reading(key), b"1", nx=True, px=round(_LOCK_SECONDS * 1000))
        answers = await pipeline.execute()
        return [d for d, won in zip(digests, answers, strict=True) if won]

    async def claimed(self, digests: Sequence[str]) -> list[str]:
        """Those of the texts that somebody is reading right now."""
        locks = await self._redis.mget([keys.reading(d) for d in digests])
        return [d for d, lock in zip(digests, locks, strict=True) if lock]

    async def hold(self, digests: Sequence[str]) -> None:
        """Keep the locks alive while their texts are read, however long that takes; ends when it is cancelled."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            pipeline = self._redis.pipeline(transaction=False)
            for key in digests:
                pipeline.pexpire(keys.reading(key), round(_LOCK_SECONDS * 1000))
            with contextlib.suppress(RedisError):  # a lapsed lock costs a second reading at worst
                await pipeline.execute()

    async def settle(
        self, claimed: Iterable[str], readings: Mapping[str, Extraction], authors: Mapping[str, str]
    ) -> None:
        """Keep the readings, each with its text's author where it has one, and let go of the locks."""
        filed = {d: Filed(extraction, mark(authors[d])) for d, extraction in readings.items()}
        pipeline = self._redis.pipeline(transaction=True)
        for author in {authors[d] for d in filed if authors[d]}:
            index = keys.texts(author)
            pipeline.sadd(index, *(bytes.fromhex(d) for d in filed if authors[d] == author))
            pipeline.expire(index, self._ttl + _SLACK_SECONDS, nx=True)
            pipeline.expire(index, self._ttl + _SLACK_SECONDS, gt=True)
        for key, reading in filed.items():
            pipeline.set(keys.text(key), _encoded(reading), ex=self._ttl)
        for key in claimed:
            pipeline.delete(keys.reading(key))
        await pipeline.execute()
        self._remember(filed)

    async def share(self, filed: Mapping[str, Filed]) -> None:
        """From now on these readings are no author's alone. One that is no longer kept does not come back."""
        if not filed:
            return
        shared = {key: replace(reading, owner="") for key, reading in filed.items()}
        pipeline = self._redis.pipeline(transaction=False)
        for key, reading in shared.items():
            pipeline.set(keys.text(key), _encoded(reading), xx=True, keepttl=True)
        await pipeline.execute()
        self._remember(shared)

    async def forget(self, author: str) -> list[str]:
        """Remove the readings that are the author's alone, here and in Redis. Returns their keys.

        Can be repeated after a crash at any point; what is filed meanwhile is found too.
        """
        removed: list[str] = []
        index, own = keys.texts(author), mark(author)
        while members := cast("list[bytes]", await self._redis.srandmember(index, _PAGE)):
            owned = await self._owned([keys.text(member.hex()) for member in members], own)
            if owned:
                await self._redis.delete(*owned)
            await self._redis.srem(index, *members)
            removed += owned
        for key in [key for key, (_, filed) in self._memory.items() if filed.owner == own]:
            del self._memory[key]
        return removed

    async def search(self, author: str, progress: Callable[[int], object] = lambda _: None) -> Searched:
        """Look through every reading for those of the author alone, without their set of digests.

        It reads the whole ledger: a check of ``forget``. ``progress`` is called with the number looked at so far.
        """
        own, entries, owned = mark(author), 0, list[str]()
        page: list[str] = []
        async for key in self._redis.scan_iter(keys.text("*"), count=_PAGE):
            page.append(key.decode())
            if len(page) == _PAGE:
                owned += await self._owned(page, own)
                entries += len(page)
                page = []
                progress(entries)
        if page:
            owned += await self._owned(page, own)
            entries += len(page)
        progress(entries)
        return Searched(entries, owned)

    async def _owned(self, text_keys: Sequence[str], own: str) -> list[str]:
        values = await self._redis.mget(text_keys)
        filed = zip(text_keys, (value and _decoded(value) for value in values), strict=True)
        return [key for key, reading in filed if reading and reading.owner == own]

    def _remember(self, filed: Mapping[str, Filed]) -> None:
        until = time.monotonic() + _MEMORY_SECONDS
        for key, reading in filed.items():
            self._memory[key] = until, replace(reading, extraction=replace(reading.extraction, text="", cached=True))
            self._memory.move_to_end(key)
        while len(self._memory) > _MAX_IN_MEMORY:
            self._memory.popitem(last=False)


class LedgerExtractor:
    """Any extractor, its readings kept in the ledger and shared between workers.

    A text that another worker is reading is waited for while that one keeps its lock alive; identical texts in one
    process share one reading. Answers of a stand-in (another ``reader``) are passed on but not kept, so that they are
    made good later. A Redis outage raises redis' own error: the caller waits and asks again.
    """

    def __init__(self, inner: Extractor, ledger: Ledger, variant: str = "") -> None:
        self._inner = inner
        self._ledger = ledger
        self._variant = variant
        self._flights: dict[str, asyncio.Future[Filed]] = {}

    @property
    def reader(self) -> str:
        """The inner extractor's identity."""
        return self._inner.reader

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages, each different one at most once."""
        reader = self._inner.reader
        digests = [digest(p, reader, self._variant) for p in passages]
        found = await self._find(dict(zip(digests, passages, strict=True)))
        asked = list(zip(digests, passages, strict=True))
        await self._ledger.share({d: found[d] for d, p in asked if found[d].is_news_to(p.author)})
        return [replace(found[d].extraction, text=p.text) for d, p in asked]

    async def _find(self, wanted: Mapping[str, Passage]) -> dict[str, Filed]:
        found = self._ledger.recall(wanted)
        while missing := [d for d in wanted if d not in found]:
            shared = {d: self._flights[d] for d in missing if d in self._flights}
            own = {d: wanted[d] for d in missing if d not in shared}
            if own:
                found |= await self._fly(own)
            for key, flight in shared.items():
                try:
                    filed = await asyncio.shield(flight)
                except asyncio.CancelledError:
                    if not flight.cancelled() or _cancelled():  # both, where batches are dropped together
                        raise
                else:
                    found[key] = replace(filed, extraction=replace(filed.extraction, cached=True))
        return found

    async def _fly(self, own: Mapping[str, Passage]) -> dict[str, Filed]:
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

    async def _look_up_or_read(self, own: Mapping[str, Passage]) -> dict[str, Filed]:
        found = await self._ledger.find(list(own))
        while missing := [d for d in own if d not in found]:
            claimed = await self._ledger.claim(missing)
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

    async def _read(self, own: Mapping[str, Passage]) -> dict[str, Filed]:
        """Read, keep, let go of the locks; the locks go whatever happens, or the others would wait for nothing."""
        found: dict[str, Extraction] = {}
        authors = {d: passage.author for d, passage in own.items()}
        holding = asyncio.create_task(self._ledger.hold(list(own)))
        try:
            answers = await self._inner.extract(list(own.values()))
            found = dict(zip(own, answers, strict=True))
        finally:
            holding.cancel()
            kept = {d: extraction for d, extraction in found.items() if extraction.reader == self._inner.reader}
            await self._ledger.settle(own, kept, authors)
        return {d: Filed(extraction, mark(authors[d]) if d in kept else "") for d, extraction in found.items()}

    async def _await_others(self, digests: Sequence[str]) -> dict[str, Filed]:
        """Wait for texts that other workers are reading, until they are there or their locks are gone."""
        found: dict[str, Filed] = {}
        waiting = list(digests)
        pause = _POLL_SECONDS[0]
        while waiting:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _POLL_SECONDS[1])
            claimed = await self._ledger.claimed(waiting)
            found |= await self._ledger.find(waiting)
            if _cancelled():  # redis-py awaits with asyncio.wait_for, which may swallow it before Python 3.12
                raise asyncio.CancelledError
            waiting = [d for d in claimed if d not in found]
        return found

    async def aclose(self) -> None:
        """Close the inner extractor; the Redis connection is its owner's."""
        await self._inner.aclose()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _encoded(filed: Filed) -> bytes:
    read = filed.extraction
    return _encode(Entry(SCHEMA, read.tier, read.reader, read.interests, read.tokens, read.dropped, filed.owner))


def _decoded(value: bytes | str) -> Filed | None:
    """A kept reading, or None where the entry is not one of ours: then the text is read again."""
    try:
        entry = _decoder.decode(value)
    except msgspec.MsgspecError:
        return None
    if entry.schema != SCHEMA:
        return None
    return Filed(
        Extraction(entry.interests, entry.tier, entry.reader, tokens=entry.tokens, cached=True, dropped=entry.dropped),
        entry.owner,
    )
