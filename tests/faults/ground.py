"""What schedules run on: a broker and a durable Valkey, each behind a proxy, and an account of the log."""

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from redis import Redis

from streams.bench.apache_kafka import ApacheKafka
from streams.embedded import EmbeddedBroker, EmbeddedRedis, speaks_kafka
from streams.settings import load_settings
from streams.topics import DEAD_LETTERS, ensure_topics, topic_names
from tests.brokers import BROKERS as ONE_BROKER
from tests.faults.cluster import Cluster
from tests.faults.proxy import HOST, Proxy
from tests.faults.story import Message
from tests.faults.vllm import StubServer

APACHE_KAFKA_3 = "apache-kafka-3"
BROKERS = (*ONE_BROKER, APACHE_KAFKA_3)
PARTITIONS = 4
Ends = Mapping[tuple[str, int], int]
_PUBLISH_SECONDS = 150.0


class ProxiedTansu(EmbeddedBroker):
    """Tansu that tells its clients the proxy's address."""

    def __init__(self, advertised: int) -> None:
        super().__init__()
        self._advertised = advertised

    def command(self) -> Sequence[str]:
        command = list(super().command())
        command[command.index("--advertised-listener-url") + 1] = f"tcp://{HOST}:{self._advertised}"
        return command


class ProxiedKafka(ApacheKafka):
    """Apache Kafka that tells its clients the proxy's address."""

    def __init__(self, advertised: int) -> None:
        super().__init__(Path(os.environ["KAFKA_HOME"]).resolve())
        self._advertised = advertised
        self._was_up = False

    def prepare(self) -> None:
        super().prepare()
        properties = self.folder / "server.properties"
        lines = properties.read_text().splitlines()
        mine = f"advertised.listeners=PLAINTEXT://{HOST}:{self._advertised}"
        properties.write_text("\n".join(mine if line.startswith("advertised.") else line for line in lines))

    def answers(self) -> bool:
        """Asking for the cluster goes through the proxy, which may be broken when a schedule starts it again."""
        self._was_up = self._was_up or super().answers()
        return self._was_up and speaks_kafka(self.port)


class Ground:
    """The servers, open until the ``with`` ends. Workers use ``environment``; the referee reads Valkey directly."""

    def __init__(self, broker: str, *, vllm: bool = False) -> None:
        self.durable_broker = broker != "embedded"
        self.cluster = Cluster() if broker == APACHE_KAFKA_3 else None
        self.vllm = StubServer() if vllm else None
        self.group = "faults"

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            enter = opening.enter_context
            self.broker: Cluster | ProxiedKafka | ProxiedTansu
            self.broker_proxy: Cluster | Proxy
            if self.cluster is not None:
                self.broker = self.broker_proxy = enter(self.cluster)
                self.bootstrap = self.cluster.bootstrap
            else:
                kind = ProxiedKafka if self.durable_broker else ProxiedTansu
                proxy = self.broker_proxy = enter(Proxy(lambda: server.port))
                server = self.broker = kind(proxy.port)
                enter(server)  # asks for itself through the proxy as it starts
                self.bootstrap = f"{HOST}:{proxy.port}"
            self.redis_server = enter(EmbeddedRedis(durable=True))
            self.redis_proxy = enter(Proxy(lambda: self.redis_server.port))
            if self.vllm is not None:
                enter(self.vllm)
            self.redis = Redis.from_url(self.redis_server.url)
            ensure_topics(load_settings(kafka_bootstrap=self.bootstrap, partitions=PARTITIONS))
            self.log = Log(self.bootstrap, lambda: self.group)
            opening.callback(self.log.close)
            self._stack = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self) -> dict[str, str]:
        """The settings of a worker here. Evidence is kept whole, so that forgetting and retracting are exact."""
        return {
            **(self.vllm.settings() if self.vllm else {}),
            "PENCHANT_KAFKA_BOOTSTRAP": self.bootstrap,
            "PENCHANT_REDIS_URL": f"redis://{HOST}:{self.redis_proxy.port}/0",
            "PENCHANT_CONSUMER_GROUP": self.group,
            "PENCHANT_WEB_PORT": "0",
            "PENCHANT_PARTITIONS": str(PARTITIONS),
            "PENCHANT_EVIDENCE_PER_INTEREST": "10000",
            "PENCHANT_ITEM_WAIT_SECONDS": "1",
            "PENCHANT_LOG_LEVEL": "WARNING",
        }

    def mend(self) -> None:
        """Everything runs and lets everything through again."""
        self.redis_proxy.calm()
        self.broker_proxy.calm()
        if self.vllm is not None:
            self.vllm.shape("ok")
        self.redis_server.start()
        self.broker.start()


def _arrived(future: Any) -> bool:
    try:
        if future is not None:
            future.get(timeout=_PUBLISH_SECONDS)
    except KafkaError:
        return False
    return future is not None


class Log:
    """What was published, and how far the group has come: asked for all the time, in a thread of its own."""

    def __init__(self, bootstrap: str, group: Callable[[], str]) -> None:
        self.ends: dict[tuple[str, int], int] = {}
        self.appended_ms: dict[str, int] = {}
        self.published = 0
        self._bootstrap = bootstrap
        self._group = group
        self._committed: Ends = {}
        self._letters: list[tuple[bytes, dict[str, Any]]] = []
        self._places: dict[TopicPartition, int] = {}
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def publish(self, messages: Sequence[Message], seconds: float) -> None:
        """Publish the messages evenly over ``seconds`` and longer where the broker is away. Blocks."""
        names, pending = topic_names(), list(messages)
        producer = self._producer()
        began, deadline, pace = time.monotonic(), time.monotonic() + _PUBLISH_SECONDS, seconds / max(len(messages), 1)
        while pending:
            sending = []
            for number, message in enumerate(pending):
                ahead = began + number * pace - time.monotonic()
                if ahead > 0.02:
                    time.sleep(ahead)
                try:
                    future = producer.send(names[message.kind], message.value, message.key.encode())
                    future.add_callback(partial(self._note, message))
                except KafkaError:
                    future = None
                sending.append((message, future))
            failed = []
            for message, future in sending:
                if not _arrived(future):
                    failed.append(message)
            pending, pace = failed, 0.0
            if pending:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the broker did not take {len(pending)} messages")
                producer.close(timeout=1)
                producer = self._producer()
        producer.close(timeout=5)

    def _producer(self) -> KafkaProducer:
        while True:
            try:
                return KafkaProducer(bootstrap_servers=self._bootstrap, acks="all", linger_ms=5, max_block_ms=120_000)
            except KafkaError:
                time.sleep(0.5)

    def _note(self, message: Message, placed: Any) -> None:
        place = (placed.topic, placed.partition)
        self.ends[place] = max(self.ends.get(place, 0), placed.offset + 1)
        self.appended_ms.setdefault(message.id, placed.timestamp)
        self.published += 1

    def behind(self, ends: Ends) -> int:
        """How many records of the log up to ``ends`` are not committed yet."""
        return sum(max(end - self._committed.get(place, 0), 0) for place, end in ends.items())

    def new_group(self) -> None:
        """Forget how far the old group had come."""
        self._committed = {}

    def _watch(self) -> None:
        admin = None
        while not self._closing.wait(0.25):
            try:
                admin = admin or KafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=4000)
                group = self._group()
                offsets = admin.list_group_offsets(group)[group]
                if group == self._group():
                    self._committed = {(tp.topic, tp.partition): found.offset for tp, found in offsets.items()}
            except Exception:  # noqa: BLE001 - the broker is away or its coordinator is: ask again
                if admin is not None:
                    admin.close()
                admin = None

    def letters(self, wanted: set[bytes], seconds: float = 10.0) -> list[tuple[bytes, dict[str, Any]]]:
        """All dead letters so far: original value and letter; waits for those ``wanted``."""
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="earliest")
        topic = topic_names()[DEAD_LETTERS]
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        for tp, place in self._places.items():
            consumer.seek(tp, place)
        deadline, quiet = time.monotonic() + seconds, 0
        missing = wanted - {value for value, _ in self._letters}
        while (missing or quiet < 2) and time.monotonic() < deadline:
            polled = consumer.poll(300)
            quiet = 0 if polled else quiet + 1
            for records in polled.values():
                for record in records:
                    letter = json.loads(record.value)
                    value = base64.b64decode(letter["value"])
                    self._letters.append((value, letter))
                    missing.discard(value)
        self._places = {tp: consumer.position(tp) for tp in partitions}
        consumer.close()
        return list(self._letters)

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        self._watcher.join(10)
