"""The ground that contestants meet on: one broker with the clicks in it, one Redis, and one run after another."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis import Redis

from streams.embedded import EmbeddedBroker, EmbeddedRedis
from streams.settings import PREFIX, load_settings

from .apache_kafka import ApacheKafka
from .contestants import Contestant, ContestantFailedError, running
from .meters import Snapshot, cpu_seconds
from .workload import Workload, applied, fill_catalogue, fill_profiles, preload

if TYPE_CHECKING:
    import subprocess

_START_SECONDS = 90.0
_START_LOOK_SECONDS = 0.05
_LOOK_SECONDS = 0.2
_LOOK_SHARE = 0.02
_STALLED_SECONDS = 20.0
_MICRO = 1e6
_groups = count()


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what was done between the first events and the last look before the end, and what it took.

    CPU is in microseconds an event.
    """

    contestant: str
    batch: int
    events: int
    wall_seconds: float
    throughput: float
    worker_us: float
    redis_us: float
    broker_us: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ground:
    """Running servers with a workload in them."""

    workload: Workload
    redis: EmbeddedRedis
    broker: EmbeddedBroker | ApacheKafka
    settings: Mapping[str, str]

    def environment(self, **overrides: str) -> dict[str, str]:
        """The settings of one contestant, in a group of its own."""
        own = {**self.settings, "CONSUMER_GROUP": f"bench-{next(_groups)}", **overrides}
        return {PREFIX + name: value for name, value in own.items()}

    def clear(self, others: int = 0) -> None:
        """A Redis that knows the items, and profiles of so many ``others`` than the workload's users."""
        with Redis.from_url(self.redis.url) as redis:
            redis.flushall()
            fill_profiles(redis, others)
            redis.config_resetstat()
        asyncio.run(fill_catalogue(self.redis.url, self.workload.items))

    def applied(self) -> int:
        """How many events the profiles of the workload's users hold."""
        with Redis.from_url(self.redis.url) as redis:
            return applied(redis, self.workload.user_names())

    def run(
        self,
        contestant: Contestant,
        batch: int,
        longest_seconds: float,
        *,
        workers: int = 1,
        others: int = 0,
        **overrides: str,
    ) -> Run:
        """Let a contestant work on the clicks from the beginning, until all are applied or the time is over.

        With several ``workers``, its CPU is the sum of theirs. Redis holds the profiles of ``others`` meanwhile.
        """
        self.clear(others)
        size = batch if contestant.batches else 1
        environment = self.environment(MAX_POLL_RECORDS=str(batch), **overrides)
        with ExitStack() as stack, Redis.from_url(self.redis.url) as redis:
            crew = [stack.enter_context(running(contestant, environment)) for _ in range(workers)]
            first, last = self._watch(crew, redis, longest_seconds)
        events = last.events - first.events
        return Run(
            contestant.name,
            size,
            events,
            last.at - first.at,
            events / (last.at - first.at),
            (last.worker - first.worker) / events * _MICRO,
            (last.redis - first.redis) / events * _MICRO,
            (last.broker - first.broker) / events * _MICRO,
        )

    def _watch(
        self, crew: "Sequence[subprocess.Popen[bytes]]", redis: Redis, longest_seconds: float
    ) -> tuple[Snapshot, Snapshot]:
        users = self.workload.user_names()
        first = self._await_first(crew, redis, users)
        last, moved = first, first.at
        looked = 0.0
        while True:
            time.sleep(max(_LOOK_SECONDS, looked / _LOOK_SHARE))
            started = time.monotonic()
            now = self._look(crew, redis, users)
            looked = time.monotonic() - started
            if now.events >= self.workload.events and last.events > first.events:
                return first, last
            if now.events > last.events:
                moved = now.at
            last = now
            if now.at - first.at > longest_seconds and now.events > first.events:
                return first, last
            if now.at - moved > _STALLED_SECONDS:
                raise ContestantFailedError(f"nothing was applied for {_STALLED_SECONDS:.0f} s")

    def _await_first(self, crew: "Sequence[subprocess.Popen[bytes]]", redis: Redis, users: list[str]) -> Snapshot:
        deadline = time.monotonic() + _START_SECONDS
        while (now := self._look(crew, redis, users)).events == 0:
            if now.at > deadline:
                raise ContestantFailedError(f"no event was applied within {_START_SECONDS:.0f} s")
            time.sleep(_START_LOOK_SECONDS)
        return now

    def _look(self, crew: "Sequence[subprocess.Popen[bytes]]", redis: Redis, users: list[str]) -> Snapshot:
        for process in crew:
            if process.poll() is not None:
                raise ContestantFailedError(f"ended with {process.returncode}")
        before = time.monotonic()
        events = applied(redis, users)
        at = (before + time.monotonic()) / 2
        worker = sum(cpu_seconds(process.pid) for process in crew)
        return Snapshot(at, events, worker, cpu_seconds(self.redis.pid), cpu_seconds(self.broker.pid))


@contextmanager
def prepared(workload: Workload, kafka_home: Path | None = None) -> Iterator[Ground]:
    """Servers with the clicks of the workload in the broker; profile updates and evidence are off for everyone.

    The broker is the embedded one, or the Apache Kafka of ``kafka_home``.
    """
    with EmbeddedRedis() as redis, ApacheKafka(kafka_home) if kafka_home else EmbeddedBroker() as broker:
        settings = {
            "KAFKA_BOOTSTRAP": broker.bootstrap,
            "REDIS_URL": redis.url,
            "WEB_PORT": "0",
            "PARTITIONS": str(workload.partitions),
            "PROFILE_UPDATES": "false",
            "EVIDENCE_PER_INTEREST": "0",
            "MAX_EVENTS_PER_USER_HOUR": "0",  # the busiest users of the workload are beyond it
            "MAX_EVENTS_PER_ITEM_HOUR": "0",
            "LOG_LEVEL": "WARNING",
        }
        asyncio.run(preload(load_settings(**{name.lower(): value for name, value in settings.items()}), workload))
        yield Ground(workload, redis, broker, settings)
