"""The dead-letter topic, read to its end: what is a letter, whose it is, and which were taken back.

A letter's key names where the rejected record was read. A later record of the same key without a value takes the
letter back: it is replayed no more, and compaction removes its bytes.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from .aliases import normalise
from .connections import kafka_options
from .events import DeadLetter, TopicKind
from .settings import Settings
from .topics import DEAD_LETTER_BYTES, DEAD_LETTERS, TopicError, topic_names

_POLL_MS = 500
_FLUSH_SECONDS = 60.0
_decode = msgspec.json.Decoder(DeadLetter).decode
Progress = Callable[[int, int], Any]
"""Called with the records read and the records to read."""


def letter_key(topic: str, partition: int, offset: int) -> bytes:
    """The key of the letter about the record that was read there."""
    return f"{topic}/{partition}/{offset}".encode()


def letter_of(value: bytes | None) -> DeadLetter | None:
    """The letter, or None where the record is none or names a topic that is none of ours."""
    try:
        letter = _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    names = topic_names()
    return letter if letter.topic in {names[kind] for kind in TopicKind} else None


def is_of(letter: DeadLetter, user: str) -> bool:
    """Whether the rejected event was the user's: by its key or the user it names.

    One that cannot be read is theirs where their id stands in it in quotes.
    """
    if letter.topic == topic_names()[TopicKind.ITEMS]:
        return False
    if letter.key is not None and base64.b64decode(letter.key) == user.encode():
        return True
    value = base64.b64decode(letter.value)
    headers = [(name, base64.b64decode(held)) for name, held in letter.headers.items()]
    try:
        return bool(normalise(msgspec.json.decode(value), headers).get("user_id") == user)
    except Exception:  # noqa: BLE001 - it was rejected because something is wrong with it, whatever that is
        return any(json.dumps(user, ensure_ascii=ascii_only).encode() in value for ascii_only in (True, False))


def open_consumer(settings: Settings, group: str | None) -> tuple[KafkaConsumer, dict[TopicPartition, int]]:
    """A consumer of all partitions, where its group ended or else at their beginning, and where they end now.

    Raises TopicError where there is no such topic.
    """
    consumer = KafkaConsumer(
        **kafka_options(settings),
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=DEAD_LETTER_BYTES,
    )
    topic = topic_names()[DEAD_LETTERS]
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    if not partitions:
        consumer.close(autocommit=False)
        raise TopicError(f"there is no topic {topic}: a worker creates it when it starts")
    consumer.assign(partitions)
    return consumer, {tp: max(int(end), consumer.position(tp)) for tp, end in consumer.end_offsets(partitions).items()}


def read_until(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], progress: Progress, *, settled: bool = False
) -> Iterator[Any]:
    """The records up to ``ends``, which the first fetch corrects unless ``settled``: Tansu tells too low ends."""
    starts = {tp: consumer.position(tp) for tp in ends}
    places, read = dict(starts), 0
    while any(places[tp] < end for tp, end in ends.items()):
        for tp, records in consumer.poll(_POLL_MS).items():
            if places[tp] == starts[tp] and not settled:
                ends[tp] = max(ends[tp], consumer.highwater(tp) or 0)
            wanted = [record for record in records if record.offset < ends[tp]]
            yield from wanted
            read += len(wanted)
        places = {tp: consumer.position(tp) for tp in ends}
        progress(read, sum(end - starts[tp] for tp, end in ends.items()))


def standing(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], progress: Progress
) -> Iterator[DeadLetter | None]:
    """The letters from here to ``ends`` that no later record takes back; None for a record that holds none.

    Reads twice: what takes a letter back comes after it, and letters are too large to be held.
    """
    starts = {tp: consumer.position(tp) for tp in ends}
    taken_back = {
        (record.partition, record.key): record.offset
        for record in read_until(consumer, ends, lambda done, total: progress(done, 2 * total))
        if record.value is None and record.key is not None
    }
    for tp, start in starts.items():
        consumer.seek(tp, start)
    for record in read_until(consumer, ends, lambda done, total: progress(total + done, 2 * total), settled=True):
        if record.value is not None and record.offset > taken_back.get((record.partition, record.key), -1):
            yield letter_of(record.value)


@dataclass(slots=True)
class Swept:
    """A walk through all letters for those of one user.

    ``seen`` counts records; ``found`` the user's letters that nothing had taken back, ``without_key`` those among
    them that cannot be, because an older version wrote them without a key; ``unreadable`` what is no letter of ours.
    """

    seen: int = 0
    found: int = 0
    without_key: int = 0
    unreadable: int = 0


def sweep(settings: Settings, user: str, *, take_back: bool = True, progress: Progress = lambda *_: None) -> Swept:
    """Take back the user's letters, up to where the topic ends now; without ``take_back`` only count them.

    Raises TopicError where there is no such topic, KafkaError where the brokers do not take it all.
    """
    consumer, ends = open_consumer(settings, None)
    swept, found = Swept(), dict[tuple[int, bytes], int]()
    try:
        for record in read_until(consumer, ends, progress):
            swept.seen += 1
            place = (record.partition, record.key)
            letter = letter_of(record.value)
            if record.value is None:
                found.pop(place, None)
            elif letter is None:
                swept.unreadable += 1
            elif is_of(letter, user):
                if record.key is None:
                    swept.without_key += 1
                else:
                    found[place] = record.offset
    finally:
        consumer.close(autocommit=False)
    swept.found = len(found) + swept.without_key
    if take_back and found:
        _take_back(settings, list(found))
    return swept


def _take_back(settings: Settings, places: list[tuple[int, bytes]]) -> None:
    topic = topic_names()[DEAD_LETTERS]
    producer = KafkaProducer(**kafka_options(settings), acks="all")
    try:
        sending = [producer.send(topic, key=key, partition=partition) for partition, key in places]
        producer.flush(timeout=_FLUSH_SECONDS)
        for sent in sending:
            sent.get(timeout=_FLUSH_SECONDS)
    finally:
        producer.close(timeout=5)
