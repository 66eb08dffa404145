"""The Faust app: one agent a topic, each hands its record batches to the lanes of that topic."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types.auth import CredentialsT
from yarl import URL

from .connections import kafka_options
from .lanes import Lanes
from .observer import Lag
from .record_batches import FETCH_BYTES, Partition
from .settings import Settings
from .transport import RecordBatchTransport

_log = structlog.get_logger()

_SESSION_SECONDS = 6.0  # the least that Kafka allows: a dead worker's partitions wait for it, Tansu's joins for half
_REBALANCE_SECONDS = 10.0
_HEARTBEAT_SECONDS = 2.0
_REQUEST_TIMEOUT_SECONDS = 40.0
_COMMIT_SECONDS = 1.0
_LAG_SECONDS = 3.0
_DRAIN_SECONDS = 8.0
_STOP_SECONDS = 15.0
_WAITING_BEYOND_FLIGHT = 2
_EVENT_QUEUE = 10_000  # never full: the transport stops polling a topic long before
_POLL_INTERVAL_SECONDS = 7 * 86_400.0  # a topic may wait for a language model for days without leaving the group
_GC_THRESHOLD = (100_000, 20, 50)


class WorkerCrashedError(RuntimeError):
    """The consumer ended by itself; nothing is lost, a restarted worker goes on where this one had committed."""


class PenchantApp(faust.App):  # type: ignore[misc]
    """A Faust app that knows its lanes."""

    def __init__(self, *args: Any, lanes: Mapping[str, Lanes[Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lanes = lanes
        self.given_up: Exception | None = None

    def _create_directories(self) -> None:
        """Faust keeps tables in a folder; there are none here, and nothing is written to disk."""

    async def drop(self, partitions: Collection[Partition]) -> None:
        """Stop the work on these partitions."""
        by_topic: dict[str, list[Partition]] = {}
        for topic, number in partitions:
            by_topic.setdefault(topic, []).append((topic, number))
        await asyncio.gather(*(self.lanes[t].drop(p) for t, p in by_topic.items() if t in self.lanes))

    async def lags(self, now: float) -> Mapping[Partition, Lag] | None:
        """How far the assigned partitions are behind at ``now`` (epoch seconds); None where Kafka does not tell."""
        if not self.started or self.crashed:
            return None
        try:
            async with asyncio.timeout(_LAG_SECONDS):
                lags: Mapping[Partition, Lag] = await self.consumer.lags(now)
        except (KafkaError, TimeoutError, ConsumerNotStarted):  # the app has started before its consumer's thread has
            return None
        return lags

    def give_up(self, reason: Exception) -> None:
        """End now and commit nothing more; ``run_app`` raises the reason."""
        self.given_up = reason
        self._crash(reason)

    async def drain(self, seconds: float) -> bool:
        """Finish what is in flight, commit it; False where something was not finished in time."""
        finished = await asyncio.gather(*(lanes.drain(seconds) for lanes in self.lanes.values()))
        return all(finished)


def build_app(settings: Settings, handlers: Mapping[str, Lanes[Any]]) -> PenchantApp:
    """A Faust app that consumes the topics of ``handlers`` (by name) into their lanes.

    Build it inside the event loop that runs it. It keeps no tables, serves no web page and listens on no port.
    """
    urls = [URL(f"kafka://{address.strip()}") for address in settings.kafka_bootstrap.split(",")]
    app = PenchantApp(
        settings.consumer_group,
        lanes=handlers,
        broker=urls,
        broker_credentials=_credentials(settings),
        broker_commit_interval=_COMMIT_SECONDS,
        broker_heartbeat_interval=_HEARTBEAT_SECONDS,
        broker_max_poll_interval=_POLL_INTERVAL_SECONDS,
        broker_max_poll_records=settings.max_poll_records,
        broker_rebalance_timeout=_REBALANCE_SECONDS,
        broker_request_timeout=_REQUEST_TIMEOUT_SECONDS,
        broker_session_timeout=_SESSION_SECONDS,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        processing_guarantee="at_least_once",
        producer_request_timeout=_REQUEST_TIMEOUT_SECONDS,  # twenty minutes unless told
        store="memory://",
        stream_buffer_maxsize=_EVENT_QUEUE,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = RecordBatchTransport(
        urls, app, max_waiting=settings.max_in_flight + _WAITING_BEYOND_FLIGHT, on_dropped=app.drop
    )
    for topic, lanes in handlers.items():
        channel = app.topic(topic, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name=f"penchant.{topic}")(_agent(app, lanes))
    return app


def _agent(app: PenchantApp, lanes: Lanes[Any]) -> Callable[[Any], Awaitable[None]]:
    async def consume(stream: Any) -> None:
        async for event in stream.noack().events():
            batch = event.value
            if app.consumer.take(batch):
                await lanes.submit(batch, partial(app.consumer.acknowledge, batch))

    return consume


async def run_app(
    app: PenchantApp,
    *,
    services: Sequence[AbstractAsyncContextManager[Any]] = (),
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run the app in the current event loop until ``stop`` is set; without one, until SIGTERM or SIGINT.

    ``services`` are entered before the app starts and left, in reverse, after it ended. ``ready`` is called once the
    app has joined its group. On the way out batches in flight are finished within seconds and committed; what is not
    finished comes again. Raises WorkerCrashedError where the app ends by itself, and the reason where it was given up.
    """
    async with contextlib.AsyncExitStack() as stack:
        if stop is None:
            stop = await stack.enter_async_context(_stop_signals())
        for service in services:
            await stack.enter_async_context(service)
        stopping = asyncio.create_task(stop.wait())
        stack.callback(stopping.cancel)
        starting = asyncio.create_task(app.start())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                _tune_garbage_collection()
                if ready is not None:
                    ready()
                crashed = asyncio.create_task(app._crashed.wait())  # noqa: SLF001 - mode has no public way to wait for it
                stack.callback(crashed.cancel)
                await asyncio.wait([stopping, crashed], return_when=asyncio.FIRST_COMPLETED)
            else:
                starting.cancel()
        finally:
            await _stop(app)
        if app.given_up is not None:
            raise app.given_up
        if app.crashed:
            reason = app._crash_reason  # noqa: SLF001 - mode has no public name for it
            raise WorkerCrashedError(
                f"the consumer ended by itself ({type(reason).__name__}: {reason}); start the worker again"
            ) from reason


async def _stop(app: PenchantApp) -> None:
    started = app.started and not app.crashed
    if started:
        app.consumer.stop_flow()
    if not await app.drain(_DRAIN_SECONDS if started else 0.0):
        _log.warning("stopped_with_batches_in_flight", hint="they come again after the next start")
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            if started:
                await app.consumer.commit()
            await app.stop()
    except TimeoutError:
        _log.warning("stopped_without_goodbye", hint="the brokers did not answer; the group notices within seconds")


@contextlib.asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Event]:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _tune_garbage_collection() -> None:
    """What a worker holds for its whole life is not looked through again; the largest single gain in throughput."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)


def _credentials(settings: Settings) -> CredentialsT | None:
    options = kafka_options(settings)
    context = options.get("ssl_context")
    if settings.kafka_security.startswith("SASL"):
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
