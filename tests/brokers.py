"""The brokers that tests run on: the embedded one always, a real Apache Kafka where KAFKA_HOME and Java are there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.bench.apache_kafka import ApacheKafka, what_lacks
from streams.embedded import EmbeddedBroker

BROKERS = ("embedded", "apache-kafka")


def apache_kafka_home() -> Path:
    """Where Apache Kafka is. Skips the test, visibly, where it or Java is not there."""
    home = Path(os.environ.get("KAFKA_HOME", "nowhere")).resolve()
    if lacking := what_lacks(home):
        pytest.skip(lacking)
    return home


@contextmanager
def open_broker(name: str) -> Iterator[EmbeddedBroker | ApacheKafka]:
    """The broker of that name, running. Skips the test where it is not there."""
    server = EmbeddedBroker() if name == "embedded" else ApacheKafka(apache_kafka_home())
    with server:
        yield server
