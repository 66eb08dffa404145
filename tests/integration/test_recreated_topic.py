"""A topic recreated while a worker reads it: the worker ends and says why; accepted, nothing of it is missed."""

import json
import os
import subprocess
import sys
import time

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from redis import Redis

from profiles import keys
from streams.demo.stack import await_ready
from streams.settings import Settings
from streams.topics import ensure_topics
from tests.stream import START_MS

CLICKS = "penchant.clicks.v1"
OLD, NEW = 200, 500


@pytest.fixture
def penchant(own_broker, redis_url):
    settings = {"KAFKA_BOOTSTRAP": own_broker.bootstrap, "REDIS_URL": redis_url, "WEB_PORT": "0", "PARTITIONS": "2"}
    environment = {**os.environ, **{f"PENCHANT_{name}": value for name, value in settings.items()}}
    started = []

    def start(command):
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def publish(broker, number, name):
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for n in range(number):
        event = {"event_id": f"{name}{n}", "user_id": "u", "occurred_at": START_MS, "action": "view"}
        event["item"] = {"title": "Trail running"}
        producer.send(CLICKS, json.dumps(event).encode(), b"u")
    producer.flush(30)
    producer.close()


def await_events(redis, number):
    deadline = time.monotonic() + 30
    while (counted := int(redis.hget(keys.meta("u"), "events") or 0)) < number:
        assert time.monotonic() < deadline, f"{counted} of {number} events are counted"
        time.sleep(0.1)
    return counted


def test_a_topic_recreated_under_a_worker_is_noticed_and_read_whole_once_accepted(own_broker, redis_url, penchant):
    redis = Redis.from_url(redis_url)
    worker = penchant("worker")
    await_ready(worker)
    publish(own_broker, OLD, "old")
    await_events(redis, OLD)
    admin = KafkaAdminClient(bootstrap_servers=own_broker.bootstrap)
    admin.delete_topics([CLICKS])
    admin.close()
    ensure_topics(Settings(kafka_bootstrap=own_broker.bootstrap, partitions=2))
    publish(own_broker, NEW, "new")
    _, complaint = worker.communicate(timeout=30)
    assert worker.returncode == 1
    assert "the topics of clicks were recreated" in complaint
    assert "penchant accept-log" in complaint
    if type(own_broker).__name__ != "ApacheKafka":
        return  # the embedded broker lets nobody reset the offsets of a group that had members

    accepting = penchant("accept-log")
    told, _ = accepting.communicate(timeout=30)
    assert (accepting.returncode, told) == (0, "new logs: clicks\n")
    await_ready(penchant("worker"))
    assert await_events(redis, OLD + NEW) == OLD + NEW
