"""Dead letters, sent through again once what was wrong is mended: original bytes, key and headers."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streams.events import DeadLetter, Reason, TopicKind
from streams.settings import Settings
from streams.topics import DEAD_LETTER_BYTES, DEAD_LETTERS, TopicError, kafka_python_options, topic_names

_POLL_MS = 500
_FLUSH_SECONDS = 60.0
_decode = msgspec.json.Decoder(DeadLetter).decode


@dataclass(slots=True)
class Replayed:
    """What became of the dead letters of one reason that were not replayed before.

    ``seen`` counts letters of all reasons, ``sent`` those of the reason wanted, ``unreadable`` records that are no
    dead letters or name a topic that is none of ours: they are left where they are.
    """

    reason: Reason
    seen: int = 0
    sent: int = 0
    unreadable: int = 0


def replay_dead_letters(
    settings: Settings, reason: Reason, *, dry_run: bool = False, progress: Callable[[int, int], Any] = lambda *_: None
) -> Replayed:
    """Publish the letters of ``reason`` to the topics they came from; each once, by a consumer group of its own.

    What arrives in the topic meanwhile waits for the next call. ``dry_run`` counts and leaves everything as it is.
    ``progress`` is called with records read and records to read. Raises KafkaError where the brokers do not take it
    all: then nothing counts as replayed, and what arrives twice is recognised by its event id.
    """
    consumer = KafkaConsumer(
        **kafka_python_options(settings),
        group_id=f"{settings.consumer_group}.replay.{reason}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=DEAD_LETTER_BYTES,
    )
    producer = KafkaProducer(**kafka_python_options(settings), acks="all", max_request_size=DEAD_LETTER_BYTES)
    try:
        replayed = Replayed(reason)
        ends = _assign(consumer)
        for record in _until(consumer, ends, progress):
            replayed.seen += 1
            letter = _letter(record.value)
            if letter is None:
                replayed.unreadable += 1
            elif letter.reason is reason:
                replayed.sent += 1
                if not dry_run:
                    _send(producer, letter)
        if not dry_run:
            producer.flush(timeout=_FLUSH_SECONDS)
            consumer.commit({tp: OffsetAndMetadata(end, "", -1) for tp, end in ends.items()})
    finally:
        producer.close(timeout=5)
        consumer.close(autocommit=False)
    return replayed


def _assign(consumer: KafkaConsumer) -> dict[TopicPartition, int]:
    """Take all partitions, where the last replay ended; returns where they end now."""
    topic = topic_names()[DEAD_LETTERS]
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    if not partitions:
        raise TopicError(f"there is no topic {topic}: a worker creates it when it starts")
    consumer.assign(partitions)
    return {tp: max(int(end), consumer.position(tp)) for tp, end in consumer.end_offsets(partitions).items()}


def _until(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], progress: Callable[[int, int], Any]
) -> Iterator[Any]:
    """The records up to ``ends``, which is corrected by the first fetch: Tansu tells ends that are too low."""
    starts = {tp: consumer.position(tp) for tp in ends}
    places, read = dict(starts), 0
    while any(places[tp] < end for tp, end in ends.items()):
        for tp, records in consumer.poll(_POLL_MS).items():
            if places[tp] == starts[tp]:
                ends[tp] = max(ends[tp], consumer.highwater(tp) or 0)
            wanted = [record for record in records if record.offset < ends[tp]]
            yield from wanted
            read += len(wanted)
        places = {tp: consumer.position(tp) for tp in ends}
        progress(read, sum(end - starts[tp] for tp, end in ends.items()))


def _letter(value: bytes | None) -> DeadLetter | None:
    try:
        letter = _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    names = topic_names()
    return letter if letter.topic in {names[kind] for kind in TopicKind} else None


def _send(producer: KafkaProducer, letter: DeadLetter) -> None:
    producer.send(
        letter.topic,
        value=base64.b64decode(letter.value),
        key=None if letter.key is None else base64.b64decode(letter.key),
        headers=[(name, base64.b64decode(value)) for name, value in letter.headers.items()],
        timestamp_ms=letter.timestamp_ms,  # a broker without append time keeps what "from the future" meant
    )
