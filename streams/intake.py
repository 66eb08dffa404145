"""From a record batch to events: decoding, and keeping one bad event from stopping the rest."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from msgspec import Struct

from .decoding import Decoder
from .events import Event, Reason, Rejected
from .record_batches import RecordBatch

_log = structlog.get_logger()

E = TypeVar("E", bound=Event)
R = TypeVar("R")


class Placed(Struct, Generic[E], frozen=True, gc=False):
    """An event and its place: the row of its record in the batch, its offset, its Kafka time in microseconds."""

    row: int
    offset: int
    appended_at: int
    event: E


@dataclass(frozen=True, slots=True)
class Intake(Generic[E]):
    """A decoded batch: events in log order, and rejects by the index of their record."""

    events: Sequence[Placed[E]]
    rejected: dict[int, Rejected]
    clamped: int


def take_in(batch: RecordBatch, decoder: Decoder) -> Intake[Event]:
    """Decode every record. A record whose decoding crashes is rejected as poison, and the batch goes on."""
    events: list[Placed[Event]] = []
    rejected: dict[int, Rejected] = {}
    clamped = decoder.clamped
    for index, record in enumerate(batch.records):
        try:
            decoded = decoder.decode(record.value, record.headers, record.timestamp, record.key)
        except Exception as error:  # noqa: BLE001 - whatever a record does to the code, the batch goes on
            decoded = poisoned(error)
        if isinstance(decoded, Rejected):
            rejected[index] = decoded
        else:
            events.append(Placed(index, record.offset, record.timestamp * 1000, decoded))
    return Intake(events, rejected, decoder.clamped - clamped)


async def isolate(
    work: Callable[[Sequence[Placed[E]]], Awaitable[list[R | Rejected]]],
    events: Sequence[Placed[E]],
    *,
    passing: tuple[type[Exception], ...],
) -> list[R | Rejected]:
    """The results of ``work`` for the events, in their order.

    Where the work crashes, the events are halved until the one that crashes it stands alone; that one becomes a
    reject. Exceptions of the types ``passing`` are states of the world, not of an event, and pass.
    """
    if not events:
        return []
    try:
        return await work(events)
    except passing:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        if len(events) == 1:
            return [poisoned(error)]
        middle = len(events) // 2
        first = await isolate(work, events[:middle], passing=passing)
        return first + await isolate(work, events[middle:], passing=passing)


def poisoned(error: Exception) -> Rejected:
    """The reject of an event that the code cannot digest; its text is not logged."""
    _log.error("event_crashed_the_code", error=type(error).__name__)
    return Rejected(Reason.POISON, f"{type(error).__name__} in the worker: report it, then replay the dead letter")
