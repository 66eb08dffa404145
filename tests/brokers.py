"""The brokers that tests run on: the embedded one always, a real Apache Kafka where KAFKA_HOME and Java are there."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from streams.embedded import EmbeddedBroker, ServerProcess, free_port, speaks_kafka

BROKERS = ("embedded", "apache-kafka")
used_brokers: set[str] = set()
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class ApacheKafka(ServerProcess):
    """One Apache Kafka broker in KRaft mode, its own controller, on free ports in a temporary folder."""

    name = "kafka"
    deadline_seconds = 60.0

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self.controller = 0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def properties(self) -> str:
        return PROPERTIES.format(port=self.port, controller=self.controller, folder=self.folder)

    def format_options(self) -> Sequence[str]:
        return ()

    def prepare(self) -> None:
        self.controller = free_port()
        properties = self.folder / "server.properties"
        properties.write_text(self.properties())
        storage = str(self._home / "bin" / "kafka-storage.sh")
        environment = self.environment()
        cluster = subprocess.run(
            [storage, "random-uuid"], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        command = [storage, "format", "--standalone", "-t", cluster, "-c", str(properties), *self.format_options()]
        subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, check=True)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "LOG_DIR": str(self.folder)}

    def command(self) -> Sequence[str]:
        return (str(self._home / "bin" / "kafka-server-start.sh"), str(self.folder / "server.properties"))

    def answers(self) -> bool:
        """A broker that speaks may not be part of its cluster yet, so ask for that too."""
        if not speaks_kafka(int(self.bootstrap.rpartition(":")[2])):
            return False
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000)
        except KafkaError:
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()


def apache_kafka_home() -> Path:
    """Where Apache Kafka is. Skips the test, visibly, where it or Java is not there."""
    home = os.environ.get("KAFKA_HOME")
    if not home or not (Path(home) / "bin" / "kafka-server-start.sh").exists():
        pytest.skip("no Apache Kafka: set KAFKA_HOME to a distribution")
    if not shutil.which("java"):
        pytest.skip("no Apache Kafka: it needs Java 17")
    return Path(home).resolve()


@contextmanager
def open_broker(name: str) -> Iterator[EmbeddedBroker | ApacheKafka]:
    """The broker of that name, running. Skips the test where it is not there."""
    server = EmbeddedBroker() if name == "embedded" else ApacheKafka(apache_kafka_home())
    with server:
        used_brokers.add(name)
        yield server
