"""How far behind the consumer is, from what was applied and where the logs end."""

import time
from collections.abc import Iterator, Mapping

from .observer import BatchApplied, LagMeasured, Observed


class LagMeter:
    """An observer that remembers where each partition's application has got to."""

    def __init__(self) -> None:
        self._applied: dict[tuple[str, int], tuple[int, float]] = {}

    def observe(self, event: Observed) -> None:
        """Note the end of an applied batch."""
        if isinstance(event, BatchApplied):
            self._applied[event.topic, event.partition] = (event.end_offset, event.end_appended_at)

    def measure(self, ends: Mapping[tuple[str, int], int | None], now: float | None = None) -> Iterator[LagMeasured]:
        """The lag of each partition, given the end offset of its log where it is known.

        Seconds are the age of the last applied record while records wait behind it, 0 otherwise.
        """
        moment = time.time() if now is None else now
        for (topic, partition), end in ends.items():
            if end is None or (topic, partition) not in self._applied:
                continue
            applied, appended_at = self._applied[topic, partition]
            behind = max(end - applied, 0)
            yield LagMeasured(topic, partition, behind, max(moment - appended_at, 0.0) if behind else 0.0)
