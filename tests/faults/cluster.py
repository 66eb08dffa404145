"""Three brokers of Apache Kafka, each its own controller, each behind a proxy; and who among them leads what."""

import os
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from streams.bench.apache_kafka import PROPERTIES, ApacheKafka
from streams.embedded import EmbeddedUnavailableError, free_port, speaks_kafka
from streams.events import TOPICS, TopicKind
from tests.faults.proxy import HOST, Proxy

SIZE = 3
REPLICATED = """
controller.quorum.voters={voters}
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""
_UP_SECONDS = 120.0
_ASK_MS = 2000


class _Node(ApacheKafka):
    """One of the three. It is started without waiting: alone it is no cluster, and answers nothing of use."""

    def __init__(self, number: int, controllers: list[int], cluster_id: str, advertised: Callable[[], int]) -> None:
        super().__init__(Path(os.environ["KAFKA_HOME"]).resolve())
        self.number = number
        self._controllers = controllers
        self._cluster_id = cluster_id
        self._advertised = advertised

    def prepare(self) -> None:
        voters = ",".join(f"{n}@{HOST}:{port}" for n, port in enumerate(self._controllers, 1))
        controller = self._controllers[self.number - 1]
        alone = PROPERTIES.format(port=self.port, controller=controller, folder=self.folder).splitlines()
        own = {"node.id": str(self.number), "advertised.listeners": f"PLAINTEXT://{HOST}:{self._advertised()}"}
        mine = [f"{name}={own.get(name, value)}" for name, _, value in (line.partition("=") for line in alone) if name]
        ours = REPLICATED.format(voters=voters).splitlines()
        replaced = {line.partition("=")[0] for line in ours} | {"controller.quorum.bootstrap.servers"}
        lines = [line for line in mine if line.partition("=")[0] not in replaced]
        properties = self.folder / "server.properties"
        properties.write_text("\n".join([*lines, *ours]))
        command = [str(self._home / "bin" / "kafka-storage.sh"), "format", "-t", self._cluster_id, "-c", properties]
        subprocess.run(command, env=self.environment(), cwd=self.folder, capture_output=True, check=True)

    def answers(self) -> bool:
        return True

    def speaks(self) -> bool:
        """Whether it answers by itself."""
        try:
            return speaks_kafka(self.port)
        except OSError:
            return False


class Cluster:
    """The three brokers and their proxies, open until the ``with`` ends.

    It has the face of one server and of one proxy: what hurts "the broker" hurts one of the three, drawn by ``seed``,
    and what hurts "the connections" hurts those of all.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)
        self._nodes: list[_Node] = []
        self._proxies: list[Proxy] = []

    @property
    def bootstrap(self) -> str:
        """The addresses of the proxies."""
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self._proxies)

    def start(self) -> None:
        """Start those that do not run, and wait until each answers."""
        for node in self._nodes:
            node.start()
        deadline = time.monotonic() + _UP_SECONDS
        while not all(node.speaks() for node in self._nodes):
            if time.monotonic() > deadline:
                tails = "\n".join(node.log_tail() for node in self._nodes)
                raise EmbeddedUnavailableError(f"three brokers did not answer within {_UP_SECONDS:g} s:\n{tails}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End one broker as a crash would."""
        self._rng.choice(self._nodes).kill()

    def restart(self) -> None:
        """Stop one broker in good order and start it again."""
        self._rng.choice(self._nodes).restart()

    def kill_leader(self) -> None:
        """End the broker that leads a partition of clicks."""

        def leader(admin: KafkaAdminClient) -> int:
            (topic,) = admin.describe_topics([TOPICS[TopicKind.CLICKS]])
            return int(self._rng.choice(topic["partitions"])["leader_id"])

        self._kill_who(leader)

    def kill_coordinator(self, group: str) -> None:
        """End the broker that coordinates the group."""
        self._kill_who(lambda admin: int(admin._manager.run(admin._find_coordinator_id, group)))

    def kill_controller(self) -> None:
        """End the broker that leads the cluster's own log."""

        def controller(admin: KafkaAdminClient) -> int:
            return int(admin.describe_metadata_quorum()["topics"][0]["partitions"][0]["leader_id"])

        self._kill_who(controller)

    def _kill_who(self, ask: Callable[[KafkaAdminClient], int]) -> None:
        """Kill whoever is named; one drawn where nobody can tell, for another fault that is going on."""
        number = self._rng.randint(1, SIZE)
        try:
            with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=_ASK_MS)) as admin:
                number = ask(admin)
        except KafkaError:
            pass
        self._nodes[number - 1].kill()

    def reset(self) -> None:
        """Break the connections of all."""
        for proxy in self._proxies:
            proxy.reset()

    def stall(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Let no byte through to any, while on."""
        for proxy in self._proxies:
            proxy.stall(on)

    def refuse(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Break every connection to any, while on."""
        for proxy in self._proxies:
            proxy.refuse(on)

    def calm(self) -> None:
        """The connections fail no more."""
        for proxy in self._proxies:
            proxy.calm()

    def __enter__(self) -> Self:
        home = Path(os.environ["KAFKA_HOME"]).resolve()
        cluster_id = subprocess.run(
            [home / "bin" / "kafka-storage.sh", "random-uuid"], capture_output=True, text=True, check=True
        ).stdout.strip()
        controllers = [free_port() for _ in range(SIZE)]
        with ExitStack() as opening:
            for number in range(1, SIZE + 1):
                self._proxies.append(opening.enter_context(Proxy(self._port_of(number))))
                node = _Node(number, controllers, cluster_id, self._proxy_port_of(number))
                self._nodes.append(node)
                opening.callback(node.stop)
            self.start()
            self._await_all()
            self._stack = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _port_of(self, number: int) -> Callable[[], int]:
        return lambda: self._nodes[number - 1].port

    def _proxy_port_of(self, number: int) -> Callable[[], int]:
        return lambda: self._proxies[number - 1].port

    def _await_all(self) -> None:
        """Brokers that speak are not part of the cluster yet."""
        deadline = time.monotonic() + _UP_SECONDS
        while time.monotonic() < deadline:
            try:
                with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=_ASK_MS)) as admin:
                    if len(admin.describe_cluster()["brokers"]) == SIZE:
                        return
            except KafkaError:
                pass
            time.sleep(0.2)
        raise EmbeddedUnavailableError(f"no cluster of {SIZE} within {_UP_SECONDS:g} s")
