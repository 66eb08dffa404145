"""A real Apache Kafka for measurements and tests, from a distribution that is already there; it needs Java 17."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from streams.embedded import EmbeddedUnavailableError, ServerProcess, free_port, speaks_kafka

_START_SCRIPT = "bin/kafka-server-start.sh"
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


def what_lacks(home: Path) -> str:
    """What keeps Apache Kafka from being started from this folder; nothing where all is there."""
    if not (home / _START_SCRIPT).exists():
        return f"no Apache Kafka in {home}: name the folder of a distribution (KAFKA_HOME)"
    return "" if shutil.which("java") else "no Apache Kafka: it needs Java 17"


class ApacheKafka(ServerProcess):
    """One Apache Kafka broker in KRaft mode, its own controller, on free ports in a temporary folder.

    ``home``: the folder of the distribution. ``start`` raises EmbeddedUnavailableError without that or without Java.
    """

    name = "kafka"
    deadline_seconds = 60.0

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self.controller = 0

    @property
    def bootstrap(self) -> str:
        """The address, for Kafka clients."""
        return f"127.0.0.1:{self.port}"

    def properties(self) -> str:
        """What stands in its server.properties."""
        return PROPERTIES.format(port=self.port, controller=self.controller, folder=self.folder)

    def format_options(self) -> Sequence[str]:
        """Further options for the formatting of its storage."""
        return ()

    def prepare(self) -> None:
        """Format the log's folder for a cluster of one."""
        if lacking := what_lacks(self._home):
            raise EmbeddedUnavailableError(lacking)
        self.controller = free_port()
        properties = self.folder / "server.properties"
        properties.write_text(self.properties())
        storage = str(self._home / "bin/kafka-storage.sh")
        environment = self.environment()
        cluster = subprocess.run(  # noqa: S603 - our own command line
            [storage, "random-uuid"], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        command = [storage, "format", "--standalone", "-t", cluster, "-c", str(properties), *self.format_options()]
        subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, check=True)  # noqa: S603

    def environment(self) -> dict[str, str]:
        """With its own log beside its data."""
        return {**os.environ, "LOG_DIR": str(self.folder)}

    def command(self) -> Sequence[str]:
        """The distribution's own start script, on our properties."""
        return (str(self._home / _START_SCRIPT), str(self.folder / "server.properties"))

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
