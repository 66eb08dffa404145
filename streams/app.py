"""The Faust application: one agent a topic, each fed by record batches."""

import asyncio
import gc
import ssl
from collections.abc import Mapping
from typing import Any

import faust
import structlog
from faust.types import TP

from .lanes import Lanes, RecordBatch
from .record_batches import CODEC, RecordBatchTransport
from .settings import Settings

_log = structlog.get_logger()

SESSION_SECONDS = 10
_HEARTBEAT_SECONDS = 3
_COMMIT_SECONDS = 1.0
_GC_THRESHOLD = 50_000


def build_app(settings: Settings, lanes: Mapping[str, Lanes[Any]]) -> faust.App:
    """The application that feeds each topic's record batches into its lanes. Build it inside the running loop."""
    app = faust.App(
        settings.consumer_group,
        broker=[f"kafka://{address.strip()}" for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        broker_session_timeout=SESSION_SECONDS,
        broker_rebalance_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=_HEARTBEAT_SECONDS,
        broker_commit_interval=_COMMIT_SECONDS,
        broker_max_poll_records=settings.max_poll_records,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=1,
        origin="streams",
        autodiscover=False,
        loop=asyncio.get_running_loop(),
    )
    app.transport = RecordBatchTransport(app.conf.broker_consumer, app, app.loop)
    for topic, lane in lanes.items():
        _add_agent(app, topic, lane)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator, unused-ignore]
    async def drop_revoked(_: faust.App, revoked: set[TP], **__: Any) -> None:
        for tp in revoked:
            if tp.topic in lanes:
                lanes[tp.topic].drop([(tp.topic, tp.partition)])

    return app


def _add_agent(app: faust.App, topic: str, lanes: Lanes[Any]) -> None:
    """No exception leaves an agent: the lanes take whatever happens to a batch upon themselves."""

    async def consume(stream: Any) -> None:
        async for event in stream.noack().events():
            await lanes.submit(RecordBatch(topic, event.message.partition, event.value), event.ack)

    channel = app.topic(topic, value_serializer=CODEC, key_serializer=CODEC)
    app.agent(channel, name=f"penchant.{topic}")(consume)


async def run_app(app: faust.App, lanes: Mapping[str, Lanes[Any]], stop: asyncio.Event, *, started: Any = None) -> None:
    """Run until ``stop`` is set. Raises what crashed the application, if something did.

    Stopping lets batches under way be applied and acknowledged before Faust commits and leaves the group.
    """
    gc.collect()
    gc.freeze()  # what is loaded by now stays; without this, collections cost more than half of the CPU
    gc.set_threshold(_GC_THRESHOLD, 50, 100)
    await app.start()
    if started is not None:
        started()
    crashed = asyncio.create_task(app.wait_until_stopped())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({crashed, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for lane in lanes.values():
        await lane.drain(SESSION_SECONDS)
    await app.stop()
    for task in (crashed, stopping):
        task.cancel()
    if app.crash_reason is not None:
        raise app.crash_reason


def _credentials(settings: Settings) -> Any:
    context = None
    if settings.kafka_security.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_security.startswith("SASL"):
        password = settings.kafka_password
        return faust.SASLCredentials(
            username=settings.kafka_username,
            password=password.get_secret_value() if password else None,
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def aiokafka_options(settings: Settings) -> dict[str, Any]:
    """How aiokafka's own clients reach the brokers."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security,
        "client_id": "penchant",
    }
    if settings.kafka_security.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_security.startswith("SASL"):
        password = settings.kafka_password
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return options
