"""The topics, and making sure that they are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from .events import TopicKind
from .settings import Settings

TOPICS: Mapping[TopicKind, str] = {kind: f"penchant.{kind}.v1" for kind in TopicKind}
DEAD_LETTERS = "penchant.dead-letters.v1"
PROFILE_UPDATES = "penchant.profile-updates.v1"

_DAY_MS = 86_400_000


class TopicMissingError(RuntimeError):
    """A topic is missing and may not be created; the message says what to create."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the broker describes it; ``topic_id`` is empty where the broker tells none."""

    name: str
    partitions: int
    topic_id: str


def topic_configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Every topic with the configuration it is created with."""
    retention = {"retention.ms": str(round(settings.retention_days * _DAY_MS))}
    timed = {"message.timestamp.type": "LogAppendTime"}
    configs = {name: {**retention, **timed} for name in TOPICS.values()}
    configs[TOPICS[TopicKind.ITEMS]] = {"cleanup.policy": "compact", **timed}
    configs[DEAD_LETTERS] = retention
    configs[PROFILE_UPDATES] = {"retention.ms": str(_DAY_MS)}
    return configs


def kafka_python_options(settings: Settings) -> dict[str, Any]:
    """How kafka-python's clients reach the brokers."""
    options: dict[str, Any] = {
        "bootstrap_servers": [address.strip() for address in settings.kafka_bootstrap.split(",")],
        "security_protocol": settings.kafka_security,
        "client_id": "penchant",
    }
    if settings.kafka_ca_file:
        options["ssl_cafile"] = settings.kafka_ca_file
    if settings.kafka_security.startswith("SASL"):
        password = settings.kafka_password
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return options


def ensure_topics(settings: Settings) -> dict[str, TopicInfo]:
    """Create the topics that are missing; describe them all.

    Raises KafkaError where the brokers do not answer, TopicMissingError where they refuse to create a topic.
    """
    admin = KafkaAdminClient(**kafka_python_options(settings))
    try:
        configs = topic_configs(settings)
        known = set(admin.list_topics())
        for name in [name for name in configs if name not in known]:
            _create(admin, name, configs[name], settings)
        return {
            topic["name"]: TopicInfo(topic["name"], len(topic["partitions"]), str(topic.get("topic_id") or ""))
            for topic in admin.describe_topics(list(configs))
        }
    finally:
        admin.close()


def _create(admin: KafkaAdminClient, name: str, config: Mapping[str, str], settings: Settings) -> None:
    """Create a topic; a broker that does not know one of the settings gets the topic without them."""
    layout = {"num_partitions": settings.partitions, "replication_factor": settings.replication}
    refusal: Exception | None = None
    for configs in (dict(config), {}):
        try:
            admin.create_topics({name: {**layout, "configs": configs}})
        except TopicAlreadyExistsError:
            return
        except KafkaError as error:
            refusal = error
        else:
            return
    raise TopicMissingError(
        f"topic {name} is missing and the brokers refuse to create it ({refusal}): create it with "
        f"{settings.partitions} partitions and {dict(config)}"
    )
