"""The log as a replay reads it: all partitions of clicks and comments, beside the live group and not in it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.connections import kafka_options
from streams.events import TopicKind
from streams.header_names import take_any_header_names
from streams.record_batches import RecordBatch
from streams.settings import Settings
from streams.topics import TopicInfo, topic_names

KINDS = (TopicKind.CLICKS, TopicKind.COMMENTS)
_POLL_MS = 200
_QUIET_SECONDS = 10.0


class LogReader:
    """Reads on from wherever it is. Logs are named as in profiles: ``clicks/3``, after an accepted log ``clicks.1/3``.

    ``logs`` are the names of the kinds of topic, as :class:`profiles.logs.Logs` gives them.
    """

    def __init__(self, consumer: AIOKafkaConsumer, logs: Mapping[str, str], topics: Mapping[str, TopicInfo]) -> None:
        self._consumer = consumer
        self._partitions = {
            f"{logs[kind]}/{number}": TopicPartition(topic_names()[kind], number)
            for kind in KINDS
            for number in range(topics[topic_names()[kind]].partitions)
        }
        self._stems = {logs[kind] for kind in KINDS}
        self._names = {tp: log for log, tp in self._partitions.items()}
        consumer.assign(list(self._names))

    def is_earlier(self, log: str) -> bool:
        """Whether this is the name of a log that another one was accepted in place of."""
        return log.rpartition("/")[0] not in self._stems

    def name(self, batch: RecordBatch) -> str:
        """The log that a batch is from."""
        return self._names[TopicPartition(batch.topic, batch.partition)]

    async def beginnings(self) -> dict[str, int]:
        """The first offset that each log still has."""
        return self._named(await self._consumer.beginning_offsets(list(self._names)))

    async def ends(self) -> dict[str, int]:
        """The offset after the last record of each log, as far as the brokers tell."""
        ends = self._named(await self._consumer.end_offsets(list(self._names)))
        return {log: max(end, self._consumer.highwater(self._partitions[log]) or 0) for log, end in ends.items()}

    async def done(self) -> dict[str, int]:
        """The offset up to which the live group has done each log; logs that it never committed are left out."""
        committed = await asyncio.gather(*(self._consumer.committed(tp) for tp in self._partitions.values()))
        return {log: offset for log, offset in zip(self._partitions, committed, strict=True) if offset is not None}

    async def live_lag(self) -> int:
        """Records that the live group has not done; 0 where there is no live group."""
        done = await self.done()
        if not done:
            return 0
        beginnings, ends = await self.beginnings(), await self.ends()
        return sum(max(end - done.get(log, beginnings[log]), 0) for log, end in ends.items())

    def seek(self, starts: Mapping[str, int]) -> None:
        """Go on from these offsets."""
        for log, offset in starts.items():
            self._consumer.seek(self._partitions[log], offset)

    async def places(self) -> dict[str, int]:
        """The offset up to which each log was read."""
        return {log: await self._consumer.position(tp) for log, tp in self._partitions.items()}

    async def batches(self, ends: Mapping[str, int], most: int) -> AsyncIterator[list[RecordBatch]]:
        """Polls of at most ``most`` records, one batch a partition, until every log was read up to its end.

        It also ends where nothing has come for a while: an end may have been told that holds no record any more.
        """
        came = time.monotonic()
        while any(place < ends.get(log, 0) for log, place in (await self.places()).items()):
            polled = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=most)
            now = time.monotonic()
            if polled:
                yield [RecordBatch(tp.topic, tp.partition, records) for tp, records in polled.items() if records]
                came = time.monotonic()
            elif now - came > _QUIET_SECONDS:
                return

    def _named(self, offsets: Mapping[TopicPartition, int]) -> dict[str, int]:
        return {self._names[tp]: int(offset) for tp, offset in offsets.items()}


@contextlib.asynccontextmanager
async def open_log(
    settings: Settings, logs: Mapping[str, str], topics: Mapping[str, TopicInfo]
) -> AsyncIterator[LogReader]:
    """A reader with a connection of its own.

    It bears the live group's name to ask for its offsets; it neither joins nor commits.
    """
    take_any_header_names()
    consumer = AIOKafkaConsumer(**kafka_options(settings), group_id=settings.consumer_group, enable_auto_commit=False)
    await consumer.start()
    try:
        yield LogReader(consumer, logs, topics)
    finally:
        await consumer.stop()
