"""Where a microsecond goes: the worker's steps on clicks in memory, one after another, and what Redis is asked."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from profiles import keys, library
from profiles.model import Observation
from profiles.planning import by_user, plan, without_repeats
from profiles.policy import Policy
from streams.embedded import EmbeddedRedis
from streams.intake import Placed, take_in
from streams.record_batches import RecordBatch
from streams.settings import load_settings

from .meters import cpu_seconds
from .peers.job import ClickJob, Record
from .workload import Workload, fill_catalogue

if TYPE_CHECKING:
    from streams.events import Click

_USERS_PER_CALL = 50
_MICRO = 1e6


class _Stages:
    """CPU time of this process, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] += time.process_time() - started


def measure(*, events: int, batch: int) -> dict[str, Any]:
    """Microseconds of CPU an event: of each step in the worker, and of Redis; commands of one user and batch."""
    with EmbeddedRedis() as server:
        return asyncio.run(_measure(server, events, batch))


async def _measure(server: EmbeddedRedis, events: int, batch: int) -> dict[str, Any]:
    workload = Workload(events, until_ms=int(time.time() * 1000))
    partitions: dict[int, list[Record]] = defaultdict(list)
    for partition, key, value in workload.clicks():
        partitions[partition].append(Record(value, key, len(partitions[partition]), workload.until_ms))
    await fill_catalogue(server.url)
    job = ClickJob(load_settings(redis_url=server.url, evidence_per_interest=0))
    stages, users = _Stages(), 0
    await job.start()
    await job.redis.config_resetstat()
    before = cpu_seconds(server.pid)
    for partition, records in partitions.items():
        for start in range(0, len(records), batch):
            users += await _one_batch(job, stages, partition, records[start : start + batch])
    redis = cpu_seconds(server.pid) - before
    statistics = await job.redis.info("commandstats")
    await job.redis.aclose()
    return {
        "batch": batch,
        "events_per_user_and_batch": events / users,
        "worker_us": {name: seconds / events * _MICRO for name, seconds in stages.seconds.items()},
        "worker_total_us": sum(stages.seconds.values()) / events * _MICRO,
        "redis_us": redis / events * _MICRO,
        "redis_us_per_user_and_batch": redis / users * _MICRO,
        "commands_per_user_and_batch": {
            name.removeprefix("cmdstat_"): figures["calls"] / users for name, figures in sorted(statistics.items())
        },
    }


async def _one_batch(job: ClickJob, stages: _Stages, partition: int, records: list[Record]) -> int:
    policy = Policy(evidence_per_interest=0, events_per_user_hour=0, events_per_item_hour=0)
    with stages.timed("decode"):
        intake = take_in(RecordBatch(job.topic, partition, records), job.decoder)
    with stages.timed("find the item"):
        results = await job.clicks.observe(cast("Sequence[Placed[Click]]", intake.events))
    with stages.timed("group by user"):
        observations = [result for result in results if isinstance(result, Observation)]
        distinct = [without_repeats(own) for own in by_user(observations).values()]
    with stages.timed("plan"):
        updates = [plan(f"clicks/{partition}", own, policy) for own in distinct]
    chunks = [updates[i : i + _USERS_PER_CALL] for i in range(0, len(updates), _USERS_PER_CALL)]
    with stages.timed("pack"):
        calls = [
            ([keys.profile(u.user) for u in chunk], library.update_arguments(chunk, policy.half_lives))
            for chunk in chunks
        ]
    with stages.timed("redis-py"):
        async with job.redis.pipeline(transaction=False) as pipe:
            for stems, arguments in calls:
                pipe.fcall(library.APPLY, len(stems), *stems, library.config(policy), *arguments)
            replies = await pipe.execute()
    with stages.timed("read the replies"):
        for chunk, reply in zip(chunks, replies, strict=True):
            for update, part in zip(chunk, reply, strict=True):
                library.parse_reply(update, part)
    return len(updates)
