"""Running the app: what happens without a broker, at a stop while it starts, and around its services."""

import asyncio
import contextlib
import ssl
import uuid

import faust
import pytest
from kafka.admin import KafkaAdminClient

from streams.app import _credentials, build_app, run_app
from streams.connections import kafka_options
from streams.embedded import free_port
from streams.lanes import Lanes
from streams.settings import Settings


async def nothing(_):
    return None


def app_on(bootstrap, topic):
    settings = Settings(kafka_bootstrap=bootstrap, consumer_group=f"group-{topic}")
    return build_app(settings, {topic: Lanes(nothing, nothing, max_in_flight=2)})


@pytest.fixture
def topic(broker):
    name = f"app-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    return name


async def test_services_live_around_the_app(broker, topic):
    events, stop = [], asyncio.Event()

    @contextlib.asynccontextmanager
    async def service():
        events.append("service started")
        yield
        events.append(f"service ended, app {'runs' if app.started and not app.should_stop else 'ended'}")

    def ready():
        events.append("ready")
        stop.set()

    app = app_on(broker.bootstrap, topic)
    await asyncio.wait_for(run_app(app, services=[service()], ready=ready, stop=stop), 30)
    assert events == ["service started", "ready", "service ended, app ended"]


async def test_a_stop_while_it_starts_is_heard(broker, topic):
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    await asyncio.wait_for(run_app(app_on(broker.bootstrap, topic), stop=stop), 15)


async def test_how_far_behind_is_not_known_before_the_consumer_has_started(broker, topic, monkeypatch):
    app = app_on(broker.bootstrap, topic)
    monkeypatch.setattr(type(app), "started", True)
    assert await app.lags(0.0) is None


async def test_without_a_broker_it_raises():
    app = app_on(f"127.0.0.1:{free_port()}", "nowhere")
    with pytest.raises(Exception, match=r"[Bb]ootstrap|connect"):
        await asyncio.wait_for(run_app(app, stop=asyncio.Event()), 30)


def test_credentials_reach_every_client():
    settings = Settings(
        kafka_security="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_username="u",
        kafka_password="p",  # noqa: S106
    )
    ours = kafka_options(settings)
    assert (ours["sasl_mechanism"], ours["sasl_plain_username"], ours["sasl_plain_password"]) == (
        "SCRAM-SHA-256",
        "u",
        "p",
    )
    assert isinstance(ours["ssl_context"], ssl.SSLContext)
    credentials = _credentials(settings)
    assert (credentials.protocol.value, credentials.mechanism.value, credentials.password) == (
        "SASL_SSL",
        "SCRAM-SHA-256",
        "p",
    )
    assert isinstance(_credentials(Settings(kafka_security="SSL")), faust.SSLCredentials)
    assert _credentials(Settings()) is None
