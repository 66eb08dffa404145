"""Record batches, and the account of which of them are done. Values only: Kafka's and Faust's side is transport.py."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from .observer import Lag

FETCH_BYTES = 4 * 2**20
"""Most bytes that one fetch brings of one partition."""

FETCH_WAIT_MS = 50
"""How long a broker may hold a fetch back that finds nothing."""

Partition = tuple[str, int]
"""Topic and partition number."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch:
    """What one poll brought of one partition, in log order, never empty."""

    topic: str
    partition: int
    records: Sequence[ConsumerRecord]

    @property
    def place(self) -> Partition:
        """Topic and partition number together."""
        return self.topic, self.partition

    @property
    def end(self) -> int:
        """The offset after the last record: what is committed once the batch is done."""
        return int(self.records[-1].offset) + 1


class _Delivery:
    __slots__ = ("batch", "done", "taken")

    def __init__(self, batch: RecordBatch) -> None:
        self.batch = batch
        self.taken = False
        self.done = False


class Deliveries:
    """Which batches of each partition are out, and up to where its log is done.

    Batches are told apart by identity: an acknowledgement that comes after the partition was forgotten changes
    nothing, whatever has been delivered since.
    """

    def __init__(self) -> None:
        self._out: dict[Partition, deque[_Delivery]] = {}
        self._ends: dict[Partition, int] = {}

    def deliver(self, batch: RecordBatch) -> None:
        """Note that a batch goes out; batches of a partition go out in log order."""
        self._out.setdefault(batch.place, deque()).append(_Delivery(batch))

    def is_out(self, batch: RecordBatch) -> bool:
        """Whether this batch is out and not done: what is not will come again, or has been seen to."""
        return any(out.batch is batch and not out.done for out in self._out.get(batch.place, ()))

    def take(self, batch: RecordBatch) -> bool:
        """Note that work on a batch begins. False where it may not: it is not out, or one before it was not taken.

        The later batch would move the positions of its users past the records of the earlier one.
        """
        for delivery in self._out.get(batch.place, ()):
            if delivery.batch is batch:
                delivery.taken = True
                return not delivery.done
            if not delivery.taken:
                return False
        return False

    def untaken(self) -> bool:
        """Whether any batch is out that nobody has begun to work on."""
        return any(not delivery.taken for out in self._out.values() for delivery in out)

    def acknowledge(self, batch: RecordBatch) -> None:
        """Note that a batch is done."""
        out = self._out.get(batch.place, deque())
        for delivery in out:
            if delivery.batch is batch:
                delivery.done = True
                break
        while out and out[0].done:
            self._ends[batch.place] = out.popleft().batch.end

    def end(self, partition: Partition) -> int | None:
        """The end of the longest acknowledged prefix, None while it is empty."""
        return self._ends.get(partition)

    def lag(self, partition: Partition, log_end: int, committed: int | None, now: float) -> Lag | None:
        """How far the partition is behind the end of its log at ``now`` (epoch seconds).

        ``committed`` stands in where nothing is out or done yet; None where that is unknown too.
        """
        out = self._out.get(partition)
        if out:
            oldest = out[0].batch.records[0]
            return Lag(max(log_end - oldest.offset, 0), max(now - oldest.timestamp / 1000, 0.0))
        done = self._ends.get(partition, committed)
        return None if done is None else Lag(max(log_end - done, 0), 0.0)

    def ended(self) -> Iterator[Partition]:
        """The partitions of which something is done."""
        return iter(list(self._ends))

    def waiting(self, topic: str) -> int:
        """How many batches of a topic are out and not yet part of a done prefix."""
        return sum(len(out) for partition, out in self._out.items() if partition[0] == topic)

    def partitions(self) -> set[Partition]:
        """The partitions that anything is known of."""
        return set(self._out) | set(self._ends)

    def recall(self, partitions: Collection[Partition]) -> None:
        """Take back what is out of these partitions: none of it may be begun any more. What is done stays done."""
        for partition in partitions:
            self._out.pop(partition, None)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Take these partitions out of the account."""
        for partition in partitions:
            self._out.pop(partition, None)
            self._ends.pop(partition, None)
