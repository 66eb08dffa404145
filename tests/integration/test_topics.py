"""Topics are created where they are missing, as their readers need them, and what is refused is said."""

import uuid

import pytest
import structlog
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from streams import topics
from streams.embedded import free_port
from streams.settings import Settings
from streams.topics import TopicError, ensure_topics, topic_names


@pytest.fixture
def own_names(monkeypatch):
    """Names of this test alone: the broker is shared by the session."""
    names = {kind: f"t{uuid.uuid4().hex[:8]}.{kind}" for kind in topics._NAMES}
    monkeypatch.setattr(topics, "_NAMES", names)
    return names


def settings_for(broker, **more):
    return Settings(kafka_bootstrap=broker.bootstrap, partitions=3, retention_days=2, **more)


def test_missing_topics_are_created_once(broker, own_names):
    settings = settings_for(broker)
    created = ensure_topics(settings)
    assert set(created) == set(own_names.values())
    assert {info.partitions for info in created.values()} == {3}
    assert len({info.topic_id for info in created.values()}) == len(created)
    assert ensure_topics(settings_for(broker).model_copy(update={"partitions": 5})) == created


def test_a_topic_that_is_made_again_is_another_one(broker, own_names):
    before = ensure_topics(settings_for(broker))
    clicks = own_names["clicks"]
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_topics([clicks])
    admin.close()
    after = ensure_topics(settings_for(broker))
    assert after[clicks].topic_id != before[clicks].topic_id
    assert after[own_names["items"]] == before[own_names["items"]]


def test_each_topic_keeps_what_its_readers_need(broker, own_names):
    ensure_topics(settings_for(broker))
    if type(broker).__name__ != "ApacheKafka":
        pytest.skip("the embedded broker does not tell the configuration of topics")
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    kinds = {name: kind for kind, name in own_names.items()}
    answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in kinds])["topic"]
    admin.close()
    told = {kinds[name]: {key: config["value"] for key, config in configs.items()} for name, configs in answer.items()}
    assert told["items"] == {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
    assert told["clicks"] == {"retention.ms": str(2 * 86_400_000), "message.timestamp.type": "LogAppendTime"}
    assert told["dead-letters"]["cleanup.policy"] == "compact,delete"
    assert told["dead-letters"]["retention.ms"] == str(14 * 86_400_000)
    assert told["profile-updates"]["retention.ms"] == str(3 * 86_400_000)
    assert int(told["dead-letters"]["max.message.bytes"]) > 4 / 3 * 10 * 2**20, "a dead letter holds 10 MB in base64"


def test_a_topic_that_keeps_its_records_otherwise_is_left_so_and_named(broker, own_names):
    settings = settings_for(broker)
    ensure_topics(settings)
    if type(broker).__name__ != "ApacheKafka":
        pytest.skip("the embedded broker does not tell the configuration of topics")
    with structlog.testing.capture_logs() as logs:
        ensure_topics(settings)
    assert logs == []
    with structlog.testing.capture_logs() as logs:
        ensure_topics(settings.model_copy(update={"dead_letter_days": 5.0}))
    (said,) = logs
    assert (said["topic"], said["config"]) == (own_names["dead-letters"], "retention.ms")
    assert (said["kept"], said["wanted"]) == (str(14 * 86_400_000), str(5 * 86_400_000))


def test_a_refusal_says_what_to_create_by_hand(broker, own_names):
    if type(broker).__name__ != "ApacheKafka":
        pytest.skip("the embedded broker refuses nothing")
    with pytest.raises(TopicError, match=rf"{own_names['clicks']}.*3 partitions.*retention\.ms"):
        ensure_topics(settings_for(broker, replication=7))


def test_without_a_broker_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(topics, "_DEADLINE_MS", 500)
    with pytest.raises(TopicError, match="PENCHANT_KAFKA_BOOTSTRAP"):
        ensure_topics(Settings(kafka_bootstrap=f"127.0.0.1:{free_port()}"))


def test_names_are_versioned():
    assert topic_names()["profile-updates"] == "penchant.profile-updates.v1"
