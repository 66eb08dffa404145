"""The job that every contestant does: decode, find the item, plan, and the same store with the same Redis function.

What differs between contestants is only how records reach :meth:`ClickJob.read` and how many at a time.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from redis.asyncio import Redis

from inference.catalogue import Catalogue
from inference.extraction import Extraction, Passage
from profiles.model import Observation
from profiles.policy import MICROSECONDS, Policy
from profiles.store import ProfileStore
from streams.decoding import Decoder
from streams.events import Click, TopicKind
from streams.intake import Placed, take_in
from streams.observer import Recorder
from streams.reading import ClickReader, ItemReader, TextReader
from streams.record_batches import RecordBatch
from streams.settings import Settings, load_settings
from streams.topics import CLICKS, topic_names

_GC_THRESHOLD = (100_000, 20, 50)
SESSION_SECONDS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as the decoder takes it, for frameworks whose own has other names. ``timestamp``: milliseconds."""

    value: bytes | None
    key: bytes | None
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()


class _NothingToRead:
    """The items are known and the clicks carry none: no text is ever read."""

    reader = "none"

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        raise AssertionError(f"{len(passages)} texts to read, but the catalogue was filled")

    async def aclose(self) -> None:
        """Nothing is open."""


class ClickJob:
    """Clicks of one process into profiles, with the production parts; ``settings`` are by default the environment's."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.topic = topic_names()[CLICKS]
        self.batch = self.settings.max_poll_records
        self.redis = Redis.from_url(self.settings.redis_url.get_secret_value())
        policy = Policy(
            evidence_per_interest=self.settings.evidence_per_interest,
            events_per_user_hour=self.settings.max_events_per_user_hour,
            events_per_item_hour=self.settings.max_events_per_item_hour,
        )
        self.store = ProfileStore(self.redis, policy)
        texts = TextReader(_NothingToRead(), Recorder())
        self.clicks = ClickReader(ItemReader(texts), Catalogue(self.redis), item_wait_seconds=0.0)
        self.decoder = Decoder(
            TopicKind.CLICKS,
            max_future_skew_us=round(self.settings.max_future_skew_seconds * MICROSECONDS),
            max_value_bytes=self.settings.max_value_bytes,
        )

    async def start(self) -> None:
        """Load the functions, and look no more through what will live as long as the process."""
        await self.store.prepare()
        tune_garbage_collection()

    async def read(self, partition: int, records: Sequence[Any]) -> list[Observation]:
        """Decode the records of one partition and find what their items are about."""
        intake = take_in(RecordBatch(self.topic, partition, records), self.decoder)
        results = await self.clicks.observe(cast("Sequence[Placed[Click]]", intake.events))
        observations = [result for result in results if isinstance(result, Observation)]
        if len(observations) != len(records):
            raise AssertionError(f"{len(records) - len(observations)} clicks were rejected: the workload is wrong")
        return observations

    async def write(self, partition: int, observations: Sequence[Observation]) -> None:
        """Apply them."""
        await self.store.record(f"clicks/{partition}", observations)

    async def do(self, partition: int, records: Sequence[Any]) -> None:
        """Read, then write."""
        await self.write(partition, await self.read(partition, records))


def tune_garbage_collection() -> None:
    """As the worker does it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
