"""What the pipeline tells its observers: frozen values, one way. Metrics are one, a list in a test is another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BatchApplied:
    """One record batch is in Redis. ``freshness`` is seconds from append to visible, and how many records took them.

    Few values, because an append takes many records in.
    """

    topic: str
    partition: int
    records: int
    applied: int
    duplicates: int
    replayed: int
    ruled_out: int
    capped: int
    evicted: int
    freshness: Mapping[float, int]


@dataclass(frozen=True, slots=True)
class EventsRejected:
    """Events that went to the dead-letter topic, by reason."""

    topic: str
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TextsRead:
    """Passages read by one tier in one call. ``dropped`` counts findings that failed a check, by reason."""

    tier: str
    texts: int
    interests: int
    cached: int
    tokens: int
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageTimed:
    """Seconds one stage (decode, read, apply, publish) took for one batch."""

    topic: str
    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Lag:
    """How far behind a partition is: records that are not done, and the age in seconds of the oldest one polled."""

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LagsMeasured:
    """How far behind the partitions (topic, number) are that this worker has now: what it had before is not its own."""

    lags: Mapping[tuple[str, int], Lag]


@dataclass(frozen=True, slots=True)
class DependencyChecked:
    """Whether a dependency (redis, kafka, vllm) answered."""

    name: str
    up: bool


@dataclass(frozen=True, slots=True)
class InFlight:
    """Record batches of a topic that are being read or applied at this moment."""

    topic: str
    batches: int


@dataclass(frozen=True, slots=True)
class EventsClamped:
    """Events from too far in the future, whose time was set to their Kafka timestamp."""

    topic: str
    events: int


Observed = (
    BatchApplied | EventsRejected | TextsRead | StageTimed | LagsMeasured | DependencyChecked | InFlight | EventsClamped
)


class Observer(Protocol):
    """Takes what happened. Must neither block nor raise."""

    def observe(self, event: Observed) -> None:
        """Take one value."""
        ...


class Recorder:
    """An observer that keeps everything it is told."""

    def __init__(self) -> None:
        self.events: list[Observed] = []

    def observe(self, event: Observed) -> None:
        """Keep the value."""
        self.events.append(event)
