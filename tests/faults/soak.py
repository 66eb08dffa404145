"""``python -m tests.faults.soak``: a long time of load with faults; does a worker stay as small and quick as it was?

Rounds of a minute: events at a steady rate and one fault, then the referee. One worker is never hurt itself and is
what the memory is asked of; the others come and go. Prints a table, writes a picture, and exits 1 where memory or
latency grew, or an event was lost or doubled.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Self

from streams.bench.meters import resident_bytes
from streams.demo.stack import metrics_of
from tests.faults.crew import Crew, Hand
from tests.faults.ground import BROKERS, Ground
from tests.faults.plan import Fault, Kind, Schedule
from tests.faults.plot import Panel, plot
from tests.faults.schedule import Outcome, Stage
from tests.faults.story import RULERS, items, read_everything, tell

PICTURE = Path("deploy/images/soak.svg")
_FAULTS: Mapping[Kind, float] = {
    Kind.WORKER_KILL: 3.0,
    Kind.WORKER_TERM: 3.0,
    Kind.WORKER_JOIN: 10.0,
    Kind.WORKER_PAUSE: 14.0,
    Kind.CLOCK_SKEW: 15.0,
    Kind.REDIS_KILL: 5.0,
    Kind.REDIS_STALL: 6.0,
    Kind.REDIS_RESET: 0.0,
    Kind.REDIS_RESTART: 0.0,
    Kind.BROKER_STALL: 8.0,
    Kind.BROKER_REFUSE: 5.0,
    Kind.BROKER_RESET: 0.0,
}
"""What goes wrong, and for how many seconds."""

_WARM_UP = 0.15
_RSS_GROWTH = 1.10
_P99_GROWTH = 1.5
_LEAST_SECONDS_OF_P99 = 0.1
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Sample:
    """One look: ``at`` and the latencies in seconds, memory in bytes; ``calm`` where no fault was near."""

    at: float
    rss: int
    p50: float
    p99: float
    lag: float
    calm: bool = True


@dataclass
class Soak:
    """What came of it: the looks, the outages as (begin, end) in seconds from the start, and the rounds."""

    samples: list[Sample] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def findings(self) -> list[str]:
        """What is not as it should be; empty where all is well."""
        found = [line for outcome in self.outcomes for line in outcome.verdict.findings]
        lost, doubled = (sum(getattr(o.verdict, name) for o in self.outcomes) for name in ("lost", "doubled"))
        if lost or doubled:
            found.append(f"{lost} events lost, {doubled} doubled")
        warm = self.samples[int(len(self.samples) * _WARM_UP) :]
        early, late = _beginning_and_end([s.rss for s in warm])
        if late > early * _RSS_GROWTH:
            found.append(f"memory grew from {early / _MEBIBYTE:.0f} to {late / _MEBIBYTE:.0f} MiB")
        early, late = _beginning_and_end([s.p99 for s in warm if s.calm])
        if late > max(early, _LEAST_SECONDS_OF_P99) * _P99_GROWTH:
            found.append(f"p99 between the outages grew from {early:.2f} to {late:.2f} s")
        return found


def _beginning_and_end(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and of the last third."""
    third = max(len(values) // 3, 1)
    return (median(values[:third]), median(values[-third:])) if values else (0.0, 0.0)


class _Sampler:
    """Looks at the workers from a thread of its own."""

    def __init__(self, crew: Crew, veteran: Hand, seconds: float, say: Callable[[str], None]) -> None:
        self.samples: list[Sample] = []
        self.began = time.monotonic()
        self._crew = crew
        self._veteran = veteran
        self._seconds = seconds
        self._say = say
        self._before: dict[int, Counter[float]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            sample = self._look()
            self.samples.append(sample)
            self._say(
                f"{sample.at:7.0f} s  {sample.rss / _MEBIBYTE:6.1f} MiB  p50 {sample.p50 * 1000:7.0f} ms  "
                f"p99 {sample.p99 * 1000:7.0f} ms  lag {sample.lag:6.0f}"
            )

    def _look(self) -> Sample:
        counts: Counter[float] = Counter()
        lag = 0.0
        for hand in [h for h in self._crew.hands if h.ready]:
            metrics = _metrics(hand)
            told, before = _buckets(metrics), self._before.get(hand.process.pid, Counter())
            counts += told - before
            self._before[hand.process.pid] = told or before
            lag += sum(value for name, value in metrics.items() if name.startswith("penchant_consumer_lag_records"))
        rss = resident_bytes(self._veteran.process.pid)
        return Sample(time.monotonic() - self.began, rss, _quantile(counts, 0.5), _quantile(counts, 0.99), lag)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(15)


def _metrics(hand: Hand) -> dict[str, float]:
    """A worker's metrics; none while it is frozen or going."""
    try:
        return metrics_of(hand.web(), 1.0)
    except OSError:
        return {}


def _buckets(metrics: Mapping[str, float]) -> Counter[float]:
    """Events of all topics by the upper bound of their time to the profile, in seconds."""
    counts: Counter[float] = Counter()
    for name, value in metrics.items():
        if name.startswith("penchant_event_to_profile_seconds_bucket"):
            counts[float(name.partition('le="')[2].partition('"')[0])] += round(value)
    bounds = sorted(counts)
    below = {bound: counts[before] for before, bound in pairwise(bounds)}
    return Counter({bound: counts[bound] - below.get(bound, 0) for bound in bounds})


def _quantile(counts: Counter[float], q: float) -> float:
    """Within its bucket as if events lay evenly; the open bucket counts as its lower bound. 0.0 without events."""
    wanted, seen, low = q * counts.total(), 0, 0.0
    for bound in sorted(counts):
        if counts[bound] and seen + counts[bound] >= wanted > 0:
            return low if bound == float("inf") else low + (bound - low) * (wanted - seen) / counts[bound]
        seen, low = seen + counts[bound], bound
    return 0.0


def soak(
    broker: str,
    minutes: float,
    rate: float,
    seed: int,
    *,
    round_seconds: float,
    every: float,
    say: Callable[[str], None],
) -> Soak:
    """Load ``broker``'s workers for so many minutes, ``rate`` events a second, a look ``every`` so many seconds."""
    readings, rng, result = read_everything(), random.Random(seed), Soak()
    with Ground(broker) as ground:
        crew = Crew(ground.environment())
        try:
            veteran = crew.hire()
            veteran.spared = True
            crew.fill()
            crew.await_ready()
            ground.log.publish(items(), 0.0)
            while ground.log.behind(ground.log.ends):
                time.sleep(0.1)
            with _Sampler(crew, veteran, every, say) as sampler:
                number = 0
                while time.monotonic() - sampler.began < minutes * 60:
                    number += 1
                    kind = rng.choice(list(_FAULTS))
                    fault = Fault(round_seconds / 4, kind, min(_FAULTS[kind], round_seconds / 4))
                    events = round(rate * round_seconds)
                    schedule = Schedule(seed + number, events, round_seconds, (fault,))
                    story = tell(seed + number, f"r{number}", events, readings, rulers=RULERS)
                    begun = time.monotonic() - sampler.began + fault.at
                    outcome = Stage(ground, crew, schedule).play(story)
                    recovery = max((taken for _, taken in outcome.recoveries), default=0.0)
                    result.outages.append((begun, begun + fault.seconds + recovery))
                    result.outcomes.append(outcome)
                    verdict = "\n".join(outcome.verdict.findings) or "good"
                    say(f"  round {number}: {fault}, recovered in {recovery:.1f} s, {verdict}")
        finally:
            crew.close()
        result.samples = [_judged(s, result.outages, every) for s in sampler.samples]
        if crew.complaints:
            result.outcomes[-1].verdict.findings += crew.complaints
    return result


def _judged(sample: Sample, outages: Sequence[tuple[float, float]], every: float) -> Sample:
    """A look's latencies are those since the look before it: an outage in that time disturbs it."""
    near = any(begin <= sample.at and end >= sample.at - every for begin, end in outages)
    return replace(sample, calm=not near)


def table(result: Soak) -> str:
    """The table for people: ten rows over the whole time, then what it amounts to."""
    rows = [
        f"{'minute':>8} {'MiB':>7} {'p50 ms':>8} {'p99 ms':>8} {'lag':>7}   (medians; latencies between the outages)"
    ]
    size = max(len(result.samples) // 10, 1)
    for start in range(0, len(result.samples), size):
        part = result.samples[start : start + size]
        calm = [s for s in part if s.calm] or part
        rows.append(
            f"{part[0].at / 60:8.1f}{median(s.rss for s in part) / _MEBIBYTE:8.1f}"
            f"{median(s.p50 for s in calm) * 1000:8.0f}{median(s.p99 for s in calm) * 1000:8.0f}"
            f"{median(s.lag for s in calm):8.0f}"
        )
    verdicts = [outcome.verdict for outcome in result.outcomes]
    events, lost, doubled = (sum(getattr(v, name) for v in verdicts) for name in ("events", "lost", "doubled"))
    kinds = Counter(str(fault.kind) for o in result.outcomes for fault in o.schedule.faults)
    recoveries = [taken for o in result.outcomes for _, taken in o.recoveries] or [0.0]
    rows += [
        f"{len(verdicts)} rounds, {events:,} events, lost {lost}, doubled {doubled}",
        f"faults: {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}",
        f"recovery: median {median(recoveries):.1f} s, worst {max(recoveries):.1f} s",
    ]
    return "\n".join(rows)


def picture(result: Soak, path: Path) -> None:
    """Memory and latency over time, the outages shaded."""
    minutes = [s.at / 60 for s in result.samples]
    plot(
        path,
        "Load with faults: memory and latency over minutes (shaded: fault and recovery)",
        [
            Panel("resident memory of one worker, MiB", minutes, [s.rss / _MEBIBYTE for s in result.samples]),
            Panel("event to profile, p99, ms", minutes, [s.p99 * 1000 for s in result.samples], logarithmic=True),
        ],
        [(begin / 60, end / 60) for begin, end in result.outages],
    )


def main() -> int:
    """Soak, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description="a long time of load with faults")
    parser.add_argument("--minutes", type=float, default=35.0)
    parser.add_argument("--rate", type=float, default=200.0, help="events a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=BROKERS, default="embedded", help="all but embedded need KAFKA_HOME, Java")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    say = partial(print, flush=True)
    result = soak(
        arguments.broker,
        arguments.minutes,
        arguments.rate,
        arguments.seed,
        round_seconds=60.0,
        every=10.0,
        say=say,
    )
    picture(result, arguments.picture)
    say(table(result))
    findings = result.findings()
    say("\n".join(findings) or "flat: memory within 10%, p99 between the outages without a trend")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
