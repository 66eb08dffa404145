"""From an event to its profile, at several loads: what a user would wait."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from profiles import keys
from streams.settings import PREFIX
from streams.topics import CLICKS, topic_names

from .contestants import OURS, Contestant, ContestantFailedError, by_name, running
from .ground import Ground, prepared
from .workload import BATCH_BYTES, ITEMS, Workload, item_id, send_in_batches

LOADS = (0.2, 0.5, 0.8)
_REPLAY = Contestant("replay", "streams.cli", ("replay", "--all", "--json"))
_TICK_SECONDS = 0.02
_WARM_SECONDS = 1.0
_PROBE_SECONDS = 0.02
_PROBE_LIMIT_SECONDS = 30.0
_LOOK_SECONDS = 0.005
_DRAINED_PROBES = 32
_encode = msgspec.json.Encoder().encode


def measure(
    *,
    events: int,
    seconds: float,
    kafka_home: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Latency of probe clicks, in milliseconds, while a producer keeps the worker at shares of its capacity.

    Capacity is what gets into profiles, events a second, while the producer offers as much as the worker makes of a
    backlog (``backlog``): producer, broker, worker and Redis share this machine then, as they do while latency is
    measured. A probe is a click of a user of its own, timed from before it is sent until its profile is there. The
    broker is the embedded one, or the Apache Kafka of ``kafka_home``. At the lowest load it is measured a second time
    while ``penchant replay --all`` works through the backlog beside: what live traffic waits that a replay lets pass.
    """
    workload = Workload(events, until_ms=int(time.time() * 1000))
    with prepared(workload, kafka_home) as ground:
        backlog = ground.run(by_name(OURS), 5000, 10.0).throughput
        capacity = asyncio.run(_sustained(ground, backlog, seconds))
        tell(f"capacity {capacity:,.0f} events/s, of a backlog {backlog:,.0f}")
        loads = {}
        for load in LOADS:
            loads[f"{load:.0%}"] = asyncio.run(_at(ground, capacity * load, seconds))
            tell(f"at {load:.0%}: {loads[f'{load:.0%}']}")
        beside = asyncio.run(_at(ground, capacity * LOADS[0], seconds, _REPLAY))
        tell(f"at {LOADS[0]:.0%} beside a replay: {beside}")
    return {
        "broker": ground.broker.name,
        "backlog": backlog,
        "capacity": capacity,
        "loads": loads,
        "beside_a_replay": beside,
    }


async def _sustained(ground: Ground, offered: float, seconds: float) -> float:
    """Events a second that are applied while so many are offered."""
    async with _live(ground, offered):
        started, before = time.monotonic(), await asyncio.to_thread(ground.applied)
        await asyncio.sleep(seconds)
        return (await asyncio.to_thread(ground.applied) - before) / (time.monotonic() - started)


async def _at(ground: Ground, rate: float, seconds: float, beside: Contestant | None = None) -> dict[str, float]:
    async with _live(ground, rate, beside) as probing:
        probing.waits.clear()
        await probing.watch(seconds)
    return {"rate": rate, "probes": len(probing.waits), **quantiles(probing.waits)}


@asynccontextmanager
async def _live(ground: Ground, rate: float, beside: Contestant | None = None) -> AsyncIterator["_Probing"]:
    """A worker that begins at the end of the log and gets clicks at that rate; ``beside`` has to outlast the block."""
    await asyncio.to_thread(ground.clear)
    topic = topic_names()[CLICKS]
    producer = AIOKafkaProducer(bootstrap_servers=ground.broker.bootstrap, linger_ms=2, max_batch_size=BATCH_BYTES)
    redis = Redis.from_url(ground.redis.url)
    probing = _Probing(producer, redis, topic)
    environment = ground.environment()
    await _begin_at_the_end(ground, topic, environment)
    await producer.start()
    try:
        with ExitStack() as stack:
            stack.enter_context(running(by_name(OURS), environment))
            for _ in range(_DRAINED_PROBES):
                await probing.send()
            await probing.watch()
            other = stack.enter_context(running(beside, environment)) if beside else None
            load = asyncio.create_task(_keep_sending(producer, topic, ground.workload, rate))
            await asyncio.sleep(_WARM_SECONDS)
            yield probing
            if load.done():
                raise ContestantFailedError(f"the load ended before the measurement did: {load.exception()!r}")
            load.cancel()
            if other is not None and other.poll() is not None:
                raise ContestantFailedError(f"what ran beside ended with {other.returncode} before the measurement did")
    finally:
        await producer.stop()
        await redis.aclose()


async def _begin_at_the_end(ground: Ground, topic: str, environment: Mapping[str, str]) -> None:
    """Let the environment's group begin at the end of the log. The embedded broker's lies a batch before it."""
    group = environment[PREFIX + "CONSUMER_GROUP"]
    consumer = AIOKafkaConsumer(bootstrap_servers=ground.broker.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(ground.workload.partitions)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


class _Probing:
    """Sends clicks of users of their own and notes in ``waits``, in milliseconds, when each shows.

    One look asks for all who wait: a look of each would take the more of a core the longer they wait.
    """

    def __init__(self, producer: AIOKafkaProducer, redis: "Redis", topic: str) -> None:
        self.waits: list[float] = []
        self._producer = producer
        self._redis = redis
        self._topic = topic
        self._waiting: dict[str, float] = {}

    async def send(self) -> None:
        user = f"probe-{uuid.uuid4()}"
        self._waiting[user] = time.monotonic()
        await self._producer.send(self._topic, click(user, user), key=user.encode())

    async def watch(self, seconds: float = 0.0) -> None:
        """Go on sending for that long, and look until all show."""
        due = started = time.monotonic()
        while self._waiting or time.monotonic() < started + seconds:
            if due <= time.monotonic() < started + seconds:
                await self.send()
                due += _PROBE_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        users = list(self._waiting)
        pipeline = self._redis.pipeline(transaction=False)
        for user in users:
            pipeline.exists(keys.meta(user))
        there, now = await pipeline.execute(), time.monotonic()
        for user in (user for user, shows in zip(users, there, strict=True) if shows):
            self.waits.append((now - self._waiting.pop(user)) * 1000)
        if any(now - sent > _PROBE_LIMIT_SECONDS for sent in self._waiting.values()):
            raise ContestantFailedError(f"an event did not show within {_PROBE_LIMIT_SECONDS:.0f} s")


def click(user: str, event_id: str) -> bytes:
    """A click of this moment on an item of the catalogue."""
    event = {
        "event_id": event_id,
        "user_id": user,
        "occurred_at": round(time.time() * 1000),
        "action": "click",
        "item_id": item_id(crc32(event_id.encode()) % ITEMS),
    }
    return _encode(event)


async def _keep_sending(producer: AIOKafkaProducer, topic: str, workload: Workload, rate: float) -> None:
    """Clicks of the workload's users at a steady rate, for ever."""
    names, run = workload.user_names(), uuid.uuid4().hex[:8]
    started, sent = time.monotonic(), 0
    while True:
        due = round((time.monotonic() - started) * rate)
        users = ((n, names[n * 7919 % len(names)]) for n in range(sent, due))
        clicks = (
            (crc32(user.encode()) % workload.partitions, user.encode(), click(user, f"{run}-{n}")) for n, user in users
        )
        await send_in_batches(producer, topic, clicks)
        sent = due
        await asyncio.sleep(_TICK_SECONDS)


def quantiles(waits: list[float]) -> dict[str, float]:
    """The waits at p50, p99 and p99.9."""
    ordered = sorted(waits)
    last = len(ordered) - 1
    return {f"p{q:g}".replace(".", "_"): ordered[min(last, int(len(ordered) * q / 100))] for q in (50, 99, 99.9)}
