"""The topics: their names, and making those that are missing."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import (
    InvalidConfigurationError,
    KafkaError,
    NoError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    for_code,
)

from .connections import kafka_complaint, kafka_options
from .events import DEAD_LETTERS_TOPIC, PROFILE_UPDATES_TOPIC, TOPICS, TopicKind
from .settings import Settings

_log = structlog.get_logger()

CLICKS, COMMENTS, ITEMS, COMMANDS = TopicKind
DEAD_LETTERS, PROFILE_UPDATES = "dead-letters", "profile-updates"
_NAMES: Mapping[str, str] = MappingProxyType(
    {str(kind): topic for kind, topic in TOPICS.items()}
    | {DEAD_LETTERS: DEAD_LETTERS_TOPIC, PROFILE_UPDATES: PROFILE_UPDATES_TOPIC}
)
_NO_ID = "00000000-0000-0000-0000-000000000000"
_DAY_MS = 86_400_000
_DEADLINE_MS = 15_000
_RETENTION_KEYS = frozenset({"cleanup.policy", "retention.ms"})
_MEMBERS_LINGER_SECONDS = 10.0  # a worker that ended without goodbye is a member for the rest of its session
_TRY_AGAIN_SECONDS = 0.5
DEAD_LETTER_BYTES = 64 * 2**20
"""Largest dead letter: it carries the original, however large, and must never be refused itself."""


class TopicError(RuntimeError):
    """A topic is missing and cannot be created, or Kafka does not answer; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """What the broker tells of a topic; ``topic_id`` is None where the broker knows no ids."""

    partitions: int
    topic_id: str | None


def topic_names() -> Mapping[str, str]:
    """The topic of each kind: clicks, comments, items, commands, dead-letters, profile-updates."""
    return _NAMES


def ensure_topics(settings: Settings) -> dict[str, TopicInfo]:
    """Create the topics that are missing; tell partitions and id of every one, by topic name.

    Blocks. Raises TopicError where Kafka does not answer or refuses.
    """
    names = list(topic_names().values())
    admin = _connect(settings)
    try:
        known = _describe(admin, names)
        _tell_other_retention(admin, known, settings)
        missing = [name for name in names if name not in known]
        for name in missing:
            _create(admin, name, settings)
        if missing:
            admin.wait_for_topics(missing)
            known = _describe(admin, names)
    except KafkaError as error:
        raise TopicError(f"Kafka at {settings.kafka_bootstrap} failed while topics were prepared: {error}") from error
    finally:
        admin.close()
    return known


class TopicLookup:
    """Tells of the topics time and again, over one connection. Blocks; close it when done."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: KafkaAdminClient | None = None

    def look(self) -> dict[str, TopicInfo]:
        """Partitions and id of each topic that is there, by name. Raises TopicError where Kafka does not answer."""
        self._admin = self._admin or _connect(self._settings)
        try:
            return _describe(self._admin, list(topic_names().values()))
        except KafkaError as error:
            self.close()
            raise TopicError(f"Kafka at {self._settings.kafka_bootstrap} does not tell of topics: {error}") from error

    def close(self) -> None:
        """Close the connection; looking again opens another."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()


def start_over(settings: Settings, topics: Collection[str]) -> None:
    """Let the consumer group read these topics from their beginning. Blocks.

    Raises TopicError where the group has members, or Kafka does not answer.
    """
    admin = _connect(settings)
    deadline = time.monotonic() + _MEMBERS_LINGER_SECONDS
    try:
        known = _describe(admin, list(topics))
        earliest = {TopicPartition(t, n): OffsetSpec.EARLIEST for t in known for n in range(known[t].partitions)}
        while refused := _reset(admin, settings.consumer_group, earliest):
            if time.monotonic() > deadline:
                raise TopicError(
                    f"Kafka refuses to reset the offsets of the group {settings.consumer_group} "
                    f"({', '.join(sorted(refused))}): stop all its workers, then try again"
                )
            time.sleep(_TRY_AGAIN_SECONDS)
    except KafkaError as error:
        raise TopicError(f"Kafka failed while offsets of {settings.consumer_group} were reset: {error}") from error
    finally:
        admin.close()


def _reset(admin: KafkaAdminClient, group: str, offsets: Mapping[TopicPartition, Any]) -> set[str]:
    """Reset the offsets; returns the names of what Kafka objects to."""
    outcomes = admin.reset_group_offsets(group, dict(offsets)).values()
    return {outcome["error"].__name__ for outcome in outcomes if outcome["error"] is not NoError}


def _connect(settings: Settings) -> KafkaAdminClient:
    try:
        return KafkaAdminClient(
            **kafka_options(settings), client_id="penchant-topics", bootstrap_timeout_ms=_DEADLINE_MS
        )
    except KafkaError as error:
        raise TopicError(kafka_complaint(settings)) from error


def configuration(kind: str, settings: Settings) -> dict[str, str]:
    """The configuration of a topic that is created: how long it keeps what, and whose clock stamps its records."""
    days = {DEAD_LETTERS: settings.dead_letter_days, PROFILE_UPDATES: settings.profile_update_days}
    kept_ms = str(round(days.get(kind, settings.retention_days) * _DAY_MS))
    retention = {"cleanup.policy": "compact"} if kind == ITEMS else {"retention.ms": kept_ms}
    if kind == DEAD_LETTERS:
        retention |= {
            "cleanup.policy": "compact,delete",  # so that the bytes of a letter taken back go
            "max.compaction.lag.ms": str(_DAY_MS),
            "max.message.bytes": str(DEAD_LETTER_BYTES),
        }
    # The broker's clock, because "from the future" must mean the same whenever the log is read again.
    return {**retention, "message.timestamp.type": "LogAppendTime"}


def _configuration_of(name: str, settings: Settings) -> dict[str, str]:
    return configuration(next(kind for kind, topic in topic_names().items() if topic == name), settings)


def _tell_other_retention(admin: KafkaAdminClient, known: Iterable[str], settings: Settings) -> None:
    """Say which topics keep their records otherwise than the settings ask; they may be others' to change."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in known]
    try:
        told = admin.describe_configs(resources, config_filter="all").get("topic", {}) if resources else {}
    except KafkaError as error:
        _log.info("topic_retention_unknown", reason=type(error).__name__)
        return
    for name, configs in told.items():
        wanted = _configuration_of(name, settings)
        for key in _RETENTION_KEYS & wanted.keys() & configs.keys():
            kept = configs[key]["value"]
            if sorted(kept.split(",")) != sorted(wanted[key].split(",")):
                _log.warning(
                    "topic_keeps_otherwise",
                    topic=name,
                    config=key,
                    kept=kept,
                    wanted=wanted[key],
                    hint="change the topic with kafka-configs, or the setting: existing topics are left as they are",
                )


def _create(admin: KafkaAdminClient, name: str, settings: Settings) -> None:
    configs = _configuration_of(name, settings)
    topic = {"num_partitions": settings.partitions, "replication_factor": settings.replication, "configs": configs}
    try:
        try:
            admin.create_topics({name: topic})
        except (InvalidConfigurationError, PolicyViolationError) as error:
            if "message.timestamp.type" not in str(error):
                raise
            configs.pop("message.timestamp.type")
            _log.warning("topic_without_append_time", topic=name, hint="event times are checked by producers' clocks")
            admin.create_topics({name: topic})
    except TopicAlreadyExistsError:
        return  # another worker was faster
    except KafkaError as error:
        wanted = ", ".join(f"{key}={value}" for key, value in configs.items())
        raise TopicError(
            f"Kafka refuses to create the topic {name} ({type(error).__name__}: {error}). "
            f"Create it by hand with {settings.partitions} partitions and {wanted}; "
            f"or allow this user to create topics"
        ) from error
    _log.info("topic_created", topic=name, partitions=settings.partitions)


def _describe(admin: KafkaAdminClient, names: list[str]) -> dict[str, TopicInfo]:
    known = {}
    for topic in admin.describe_topics(names):
        error = for_code(topic["error_code"])
        if topic["error_code"] == 0 and topic["partitions"]:
            topic_id = str(topic.get("topic_id") or _NO_ID)
            known[topic["name"]] = TopicInfo(len(topic["partitions"]), None if topic_id == _NO_ID else topic_id)
        elif not error.retriable and "Unknown" not in error.__name__:
            raise TopicError(
                f"Kafka does not tell of the topic {topic['name']} ({error.__name__}): allow this user to describe it"
            )
    return known
