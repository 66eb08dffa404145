"""Prometheus metrics: an observer that counts. Every metric of Penchant is declared here and nowhere else.

Base units, no user or interest in a label. ``penchant_event_to_profile_seconds`` is the one that matters: from the
append of an event to Kafka until it is visible in its user's profile.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    write_to_textfile,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .observer import (
    BatchApplied,
    DependencyChecked,
    EventsClamped,
    EventsRejected,
    InFlight,
    Lag,
    LagsMeasured,
    Observed,
    StageTimed,
    TextsRead,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESHNESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BUCKETS = (1, 5, 10, 50, 100, 500, 1000, 2500, 5000, 10000)


class BulkHistogram(Collector):
    """A histogram that takes a whole batch of values in one call; the client library's takes them one by one."""

    def __init__(self, name: str, documentation: str, label: str, buckets: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._label = label
        self._buckets = tuple(buckets)
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(self._buckets) + 1))
        self._sums: dict[str, float] = defaultdict(float)

    def observe(self, label: str, values: Mapping[float, int]) -> None:
        """Count each value as often as it says, under one label value; a negative one (clock skew) counts as 0."""
        counts = self._counts[label]
        total = 0.0
        for value, times in values.items():
            seconds = max(value, 0.0)
            counts[bisect_left(self._buckets, seconds)] += times
            total += seconds * times
        self._sums[label] += total

    def collect(self) -> Iterable[Metric]:
        """The histogram in Prometheus' own form."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
        bounds = [*map(str, self._buckets), "+Inf"]
        for label, counts in self._counts.items():
            family.add_metric([label], list(zip(bounds, accumulate(counts), strict=True)), self._sums[label])
        yield family


class Metrics:
    """Counts what the pipeline tells; :meth:`exposition` is the text that Prometheus scrapes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.freshness = BulkHistogram(
            "penchant_event_to_profile_seconds",
            "From the append of an event to Kafka until its profile shows it",
            "topic",
            FRESHNESS_BUCKETS,
        )
        self.registry.register(self.freshness)
        self._events = self._counter("penchant_events", "Events by what became of them", "topic", "outcome")
        self._dead_letters = self._counter("penchant_dead_letters", "Events rejected, by reason", "topic", "reason")
        self._clamped = self._counter("penchant_events_clamped", "Events from too far in the future", "topic")
        self._evicted = self._counter("penchant_profile_evictions", "Interests evicted by the size bound")
        self._extractions = self._counter("penchant_extractions", "Texts read, by tier", "tier")
        self._interests = self._counter("penchant_interests_found", "Interests found in texts, by tier", "tier")
        self._ledger_hits = self._counter("penchant_ledger_hits", "Texts whose reading was known already", "tier")
        self._tokens = self._counter("penchant_tokens", "Prompt and output tokens of model calls", "tier")
        self._drops = self._counter("penchant_grounding_drops", "Findings dropped by a check", "reason")
        self._batch = self._histogram("penchant_batch_records", "Records in a record batch", BATCH_BUCKETS, "topic")
        self._stages = self._histogram(
            "penchant_stage_seconds", "Time of one stage for one batch", STAGE_BUCKETS, "topic", "stage"
        )
        self._in_flight = self._gauge("penchant_in_flight_batches", "Batches being read or applied", "topic")
        self._lag_records = self._gauge("penchant_consumer_lag_records", "Records behind", "topic", "partition")
        self._lag_seconds = self._gauge("penchant_consumer_lag_seconds", "Seconds behind", "topic", "partition")
        self._up = self._gauge("penchant_dependency_up", "1 where the dependency answers", "name")

    def observe(self, event: Observed) -> None:
        """Count one value of the pipeline."""
        match event:
            case BatchApplied():
                self._count_batch(event)
            case EventsRejected(topic, reasons):
                for reason, count in reasons.items():
                    self._dead_letters.labels(topic, reason).inc(count)
                self._events.labels(topic, "rejected").inc(sum(reasons.values()))
            case TextsRead():
                self._count_texts(event)
            case StageTimed(topic, stage, seconds):
                self._stages.labels(topic, stage).observe(seconds)
            case LagsMeasured(lags):
                self._show_lags(lags)
            case DependencyChecked(name, up):
                self._up.labels(name).set(int(up))
            case InFlight(topic, batches):
                self._in_flight.labels(topic).set(batches)
            case EventsClamped(topic, events):
                self._clamped.labels(topic).inc(events)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _count_batch(self, batch: BatchApplied) -> None:
        self.freshness.observe(batch.topic, batch.freshness)
        self._batch.labels(batch.topic).observe(batch.records)
        for outcome in ("applied", "duplicates", "replayed", "ruled_out", "capped"):
            if count := getattr(batch, outcome):
                self._events.labels(batch.topic, outcome).inc(count)
        if batch.evicted:
            self._evicted.inc(batch.evicted)

    def _show_lags(self, lags: Mapping[tuple[str, int], Lag]) -> None:
        self._lag_records.clear()
        self._lag_seconds.clear()
        for (topic, partition), lag in lags.items():
            self._lag_records.labels(topic, str(partition)).set(lag.records)
            self._lag_seconds.labels(topic, str(partition)).set(lag.seconds)

    def _count_texts(self, read: TextsRead) -> None:
        self._extractions.labels(read.tier).inc(read.texts)
        self._interests.labels(read.tier).inc(read.interests)
        self._ledger_hits.labels(read.tier).inc(read.cached)
        self._tokens.labels(read.tier).inc(read.tokens)
        for reason, count in read.dropped.items():
            self._drops.labels(reason).inc(count)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)


def write_replay_metrics(
    file: Path,
    *,
    largest_difference: float,
    users: Mapping[str, int],
    events: Mapping[str, int],
    texts: Mapping[str, int],
    seconds: float,
    finished_at: float,
) -> None:
    """Write what a replay found, for a collector of text files such as node_exporter's. ``finished_at``: epoch seconds.

    ``users`` and ``events`` are by what became of them, ``texts`` by who read them. Raises OSError.
    """
    registry = CollectorRegistry()

    def gauge(name: str, documentation: str, value: float) -> None:
        Gauge(f"penchant_replay_{name}", documentation, registry=registry).set(value)

    def gauges(name: str, documentation: str, label: str, values: Mapping[str, int]) -> None:
        family = Gauge(f"penchant_replay_{name}", documentation, [label], registry=registry)
        for which, value in values.items():
            family.labels(which).set(value)

    gauge("largest_difference", "Largest difference of two weights, as a share of the larger", largest_difference)
    gauges("users", "Users of the replay, by what became of them", "outcome", users)
    gauges("events", "Events of the replay, by what became of them", "outcome", events)
    gauges("texts", "Texts of the replay, by who read them", "reader", texts)
    gauge("seconds", "Time the replay took", seconds)
    gauge("finished_timestamp_seconds", "When the replay ended", finished_at)
    write_to_textfile(str(file), registry)
