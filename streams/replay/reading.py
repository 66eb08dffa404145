"""From records to observations, with the parts that the worker uses, and without leaving a trace."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from inference.catalogue import Catalogue, ItemVersion
from inference.extraction import Extractor
from profiles.model import Observation
from streams.events import Rejected, TopicKind
from streams.intake import Placed, isolate, take_in
from streams.observer import Observed, TextsRead
from streams.pipeline import WORLD
from streams.reading import ClickReader, CommentReader, ItemReader, TextReader
from streams.record_batches import RecordBatch
from streams.runtime import decoder_of
from streams.settings import Settings
from streams.topics import topic_names

from .log import KINDS

LEDGER = "ledger"


class TextTally:
    """An observer that counts who read the texts: the ledger, or a tier (gate, embedded, vllm) anew."""

    def __init__(self) -> None:
        self.texts: Counter[str] = Counter()

    def observe(self, event: Observed) -> None:
        """Count the texts of one call."""
        if isinstance(event, TextsRead):
            self.texts[LEDGER] += event.cached
            self.texts[event.tier] += event.texts - event.cached


class BorrowedCatalogue(Catalogue):
    """The live catalogue, read only: what a replayed click would add to it is known to this replay alone."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._own: dict[str, tuple[ItemVersion, ...]] = {}

    async def find(self, item_ids: Sequence[str]) -> dict[str, tuple[ItemVersion, ...]]:
        """The versions of the items that are known, oldest first; the live ones go before."""
        own = {i: self._own[i] for i in item_ids if i in self._own}
        return own | await super().find(item_ids)

    async def add(self, versions: Mapping[str, ItemVersion]) -> None:
        """Keep a version of each item in memory."""
        self._own |= {item_id: (version,) for item_id, version in versions.items()}


class EventReader:
    """The observations in record batches, those of ``wanted`` users alone; None wants all of them.

    ``rejected`` counts events by reason. They are not dead-lettered again; what cannot be decoded has no user, and
    is counted where all are wanted.
    """

    def __init__(self, settings: Settings, extractor: Extractor, redis: Redis, wanted: Collection[str] | None) -> None:
        self.rejected: Counter[str] = Counter()
        self._tally = TextTally()
        self._wanted = wanted
        self._kinds = {topic_names()[kind]: kind for kind in KINDS}
        self._decoders = {kind: decoder_of(settings, kind) for kind in KINDS}
        self._wait = settings.item_wait_seconds
        texts = TextReader(extractor, self._tally)
        items, catalogue = ItemReader(texts), BorrowedCatalogue(redis)
        self._comments = CommentReader(texts)
        self._clicks = ClickReader(items, catalogue, 0.0)
        self._fresh_clicks = ClickReader(items, catalogue, self._wait)

    @property
    def texts(self) -> Mapping[str, int]:
        """How many texts were read, by whom."""
        return self._tally.texts

    async def read(self, batch: RecordBatch) -> list[Observation]:
        """The observations of a batch, in log order."""
        kind = self._kinds[batch.topic]
        intake = take_in(batch, self._decoders[kind])
        events: list[Placed[Any]] = list(intake.events)
        if self._wanted is None:
            self._reject(intake.rejected.values())
        else:
            events = [placed for placed in events if placed.event.user_id in self._wanted]
        results = await isolate(self._observe(kind, batch), events, passing=WORLD)
        self._reject(result for result in results if isinstance(result, Rejected))
        return [result for result in results if isinstance(result, Observation)]

    def _observe(
        self, kind: TopicKind, batch: RecordBatch
    ) -> Callable[[Sequence[Placed[Any]]], Awaitable[list[Observation | Rejected]]]:
        if kind is TopicKind.COMMENTS:
            return self._comments.observe
        # An item may still be on its way for a click of this moment; for an old one the wait is over.
        fresh = batch.records[-1].timestamp / 1000 > time.time() - self._wait
        return self._fresh_clicks.observe if fresh else self._clicks.observe

    def _reject(self, rejects: Iterable[Rejected]) -> None:
        self.rejected.update(rejected.reason.value for rejected in rejects)
