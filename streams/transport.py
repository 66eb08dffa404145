"""The record-batch transport for Faust: what a poll brings of one partition becomes one Faust event.

Faust spends about a hundred microseconds on an event; here it spends them on thousands of records. The consumer
also keeps its own account of what is done, because Faust acknowledges events that it skips around a rebalance or a
shutdown, and counts an offset as done that was only read. An app on this transport has no tables: every topic is
read in batches.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any

import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from .header_names import take_any_header_names
from .observer import Lag
from .outage_log import OUTAGE
from .record_batches import FETCH_WAIT_MS, Deliveries, Partition, RecordBatch

_log = structlog.get_logger()

_LOOK_AGAIN_SECONDS = 0.05
_COMMIT_BEFORE_REVOKE_SECONDS = 3.0
_REWIND_AGAIN_SECONDS = 1.0


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's thread with fetches that come back soon.

    A fetch asks for the partitions that have nothing buffered at that moment, and until it is answered aiokafka sends
    the broker no other: with Faust's 1.5 seconds the busy partitions wait that long for the quiet ones.
    """

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust has no setting for it
        return consumer


class RecordBatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with batches for messages and an account of its own.

    Topics with ``transport.max_waiting`` batches out are not polled until one of them is done: memory stays bounded
    and a topic that waits (for a language model, say) holds up no other.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._deliveries = Deliveries()
        self._room = asyncio.Event()
        self._polled: set[RecordBatch] = set()
        self._rewind_due = False
        self._seeks = 0
        self._seeking = asyncio.Lock()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def acknowledge(self, batch: RecordBatch) -> None:
        """Note that a batch is done. Commits follow by Faust's commit interval."""
        self._deliveries.acknowledge(batch)
        self._room.set()

    def take(self, batch: RecordBatch) -> bool:
        """Whether to work on this batch, noted as begun: not where it will come again.

        It will where its partition was given up since, and where a batch before it got lost on the way.
        """
        if self._deliveries.take(batch):
            return True
        if self._deliveries.is_out(batch):
            self._must_rewind("overtaking")
        return False

    def resume_flow(self) -> None:
        """Let records flow. Faust has just emptied the agents' queues: what was still in them must come again."""
        if self._deliveries.untaken():
            self._must_rewind("emptied_queues")
        super().resume_flow()

    async def lags(self, now: float) -> dict[Partition, Lag]:
        """How far each assigned partition is behind, where that is known. ``now``: epoch seconds.

        Kafka is asked where the logs end: fetches would not tell of a topic that is not polled. Raises KafkaError.
        """
        ends = await self._thread.highwaters(*map(driver.ensure_aiokafka_TP, self.assignment()))
        known = ((tp, self._deliveries.lag(tp, end, self._committed_offset.get(tp), now)) for tp, end in ends.items())
        return {tp: lag for tp, lag in known if lag is not None}

    def _must_rewind(self, cause: str) -> None:
        if not self._rewind_due:
            _log.warning("rewind", cause=cause, hint="nothing is lost, the records since the last commit come again")
        self._rewind_due = True
        self._room.set()

    def ack(self, message: Any) -> bool:
        """Faust's own acknowledgement, which also meets events that were skipped: it does not move the log."""
        message.acked = True
        self._unacked_messages.discard(message)
        return False

    async def _wait_next_records(self, timeout: float) -> tuple[dict[TP, list[RecordBatch]], set[TP]]:  # noqa: ASYNC109
        OUTAGE.check()
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if self._polled:  # a rebalance came between the last poll and the delivery of what it brought
            self._must_rewind("undelivered")
        if self._rewind_due:
            await self._rewind()
            return {}, active
        full = {topic for topic in {tp.topic for tp in active} if self._is_full(topic)}
        wanted = {tp for tp in active if tp.topic not in full}
        place = self._place()
        self._room.clear()
        # An empty set would mean every partition to aiokafka.
        records = await self._getmany(wanted, timeout=0.0 if full else timeout) if wanted else {}
        if not records:
            if full or not wanted:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._room.wait(), _LOOK_AGAIN_SECONDS)
            return {}, active
        if self._place() != place:
            # The records came during a rebalance or a seek: whether from before or after it, nobody can tell.
            # Taken for new they could overtake older ones, which would then be skipped as already applied.
            self._rewind_due = True
            await self._rewind()
            return {}, active
        batches = {tp: [RecordBatch(tp.topic, tp.partition, polled)] for tp, polled in records.items() if polled}
        self._polled = {batch for polled in batches.values() for batch in polled}
        return batches, active

    def _place(self) -> tuple[int, int]:
        return self.app.consumer_generation_id, self._seeks

    def _is_full(self, topic: str) -> bool:
        limit: int = self.transport.max_waiting
        return self._deliveries.waiting(topic) >= limit

    async def _rewind(self) -> None:
        while self._rewind_due and self.flow_active and not self.should_stop:
            try:
                async with self._seeking:
                    if self._rewind_due:  # or Faust has done it meanwhile
                        await self._go_back()
            except Exception as error:  # noqa: BLE001 - giving up would lose the records
                _log.warning("rewind_failed", error=type(error).__name__)
                await self.sleep(_REWIND_AGAIN_SECONDS)

    def _to_message(self, tp: TP, record: RecordBatch) -> Any:
        message = super()._to_message(tp, record.records[-1])
        message.key, message.value, message.headers = None, record, None
        read = self._read_offset[tp]
        if record in self._polled and (read is None or message.offset >= read):
            self._deliveries.deliver(record)  # not what a seek has overtaken, nor what Faust is about to pass over
        self._polled.discard(record)
        return message

    def _filter_tps_with_pending_acks(self, topics: Collection[Any] | None = None) -> Iterator[TP]:
        ended = (TP(*partition) for partition in self._deliveries.ended())
        return (tp for tp in ended if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._deliveries.end(tp)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        before = {tp: self._committed_offset[tp] for tp in offsets}
        committed = bool(await super()._commit_offsets(offsets, start_new_transaction))
        if not committed:
            self._committed_offset.update(before)  # Faust notes a failed commit as done
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Give the partitions up: stop their work, commit what is done, forget the rest."""
        self._recall(revoked)
        await super().on_partitions_revoked(revoked)
        await self.transport.on_dropped(revoked)
        try:
            await asyncio.wait_for(self.commit(), _COMMIT_BEFORE_REVOKE_SECONDS)
        except Exception as error:  # noqa: BLE001 - positions make the batches harmless that come again
            _log.info("revoked_without_commit", error=type(error).__name__)
        self._forget(revoked)

    async def perform_seek(self) -> None:
        """Go back to the committed offsets, and to the beginning where there is none.

        Where it fails, for a rebalance that comes between or a broker that is away, nothing is polled until it has
        been done after all. One at a time: of two at once the older could have the last word.
        """
        async with self._seeking:
            self._rewind_due = True
            await self._go_back()

    async def _go_back(self) -> None:
        self._seeks += 1
        out = {TP(*place) for place in self._deliveries.partitions() | {batch.place for batch in self._polled}}
        self._recall(out)
        await self.transport.on_dropped(out)
        self._forget(out)
        await super().perform_seek()
        fresh = [tp for tp in self.assignment() if not self._read_offset[tp]]
        if fresh:  # aiokafka leaves these where they stand, even past records that nobody has worked on
            await self.seek_to_beginning(*fresh)
        self._rewind_due = False

    async def seek_to_beginning(self, *partitions: TP) -> None:
        """Read these partitions from their beginning."""
        await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, partitions))

    async def seek(self, partition: TP, offset: int) -> None:
        """Read this partition from an offset."""
        self._recall({partition})
        await self.transport.on_dropped({partition})
        self._forget({partition})
        await super().seek(partition, offset)

    def _recall(self, tps: Collection[TP]) -> None:
        # Before their work is stopped: a later batch that began meanwhile would overtake what is stopped.
        self._polled = {batch for batch in self._polled if TP(*batch.place) not in tps}
        self._deliveries.recall(tps)

    def _forget(self, tps: Collection[TP]) -> None:
        self._deliveries.forget(tps)
        self._room.set()

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps in the offsets need no account here."""

    def on_buffer_full(self, tp: TP) -> None:
        """Faust's way is to sleep a second once all partitions are full; see ``_wait_next_records``."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's detector of slow agents writes a page of advice; our lag is a metric."""


Dropped = Callable[[Collection[TP]], Awaitable[None]]


class RecordBatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with the consumer above.

    ``max_waiting`` is the number of batches out at which a topic is no longer polled; ``on_dropped`` is awaited with
    partitions whose batches that are out will come again, before they do.
    """

    Consumer = RecordBatchConsumer

    def __init__(self, *args: Any, max_waiting: int, on_dropped: Dropped, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_waiting = max_waiting
        self.on_dropped = on_dropped
        take_any_header_names()
