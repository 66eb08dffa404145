"""The dead-letter topic, read to its end: what is a letter, whose it is, and which were taken back.

A letter's key names where the rejected record was read. A later record of the same key without a value takes the
letter back: it is replayed no more, and compaction removes its bytes.
"""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from .aliases import normalise
from .connections import kafka_options
from .events import DeadLetter, TopicKind
from .settings import Settings
from .topics import DEAD_LETTER_BYTES, DEAD_LETTERS, TopicError, topic_names

_POLL_MS = 500
_SILENT_SECONDS = 30.0
_FLUSH_SECONDS = 60.0
_decode = msgspec.json.Decoder(DeadLetter).decode
Progress = Callable[[int, int], Any]
"""Called with the records read and the records to read."""


def letter_key(topic: str, partition: int, offset: int) -> bytes:
    """The key of the letter about the record that was read there."""
    return f"{topic}/{partition}/{offset}".encode()


def letter_of(value: bytes | None) -> DeadLetter | None:
    """The letter, or None where the record is none, holds what is no base64 or names a topic that is none of ours."""
    try:
        letter = _decode(value or b"")
        for held in (letter.key or "", letter.value, *letter.headers.values()):
            base64.b64decode(held)
    except (ValueError, RecursionError):
        return None
    names = topic_names()
    return letter if letter.topic in {names[kind] for kind in TopicKind} else None


def belongs_to(users: AbstractSet[str]) -> Callable[[DeadLetter], bool]:
    """Tells whether a rejected event was one of these users': by its key or the user it names.

    One that cannot be read is theirs where their id stands in it in quotes.
    """
    quoted = {json.dumps(user, ensure_ascii=ascii_only).encode() for user in users for ascii_only in (True, False)}

    def belongs(letter: DeadLetter) -> bool:
        if letter.topic == topic_names()[TopicKind.ITEMS]:
            return False
        if letter.key is not None and base64.b64decode(letter.key).decode(errors="surrogateescape") in users:
            return True
        value = base64.b64decode(letter.value)
        headers = [(name, base64.b64decode(held)) for name, held in letter.headers.items()]
        try:
            named = normalise(msgspec.json.decode(value), headers).get("user_id")
        except Exception:  # noqa: BLE001 - it was rejected because something is wrong with it, whatever that is
            return any(quote in value for quote in quoted)
        return isinstance(named, str) and named in users

    return belongs


def open_consumer(settings: Settings, group: str | None) -> tuple[KafkaConsumer, dict[TopicPartition, int]]:
    """A consumer of all partitions, where its group ended or else at their beginning, and where they end now.

    Raises TopicError where there is no such topic, KafkaError where the brokers do not tell.
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
    try:
        ends = consumer.end_offsets(partitions)
        return consumer, {tp: max(int(end), _position(consumer, tp)) for tp, end in ends.items()}
    except Exception:
        consumer.close(autocommit=False)
        raise


def _position(consumer: KafkaConsumer, partition: TopicPartition) -> int:
    position: int | None = consumer.position(partition, timeout_ms=_SILENT_SECONDS * 1000)
    if position is None:
        raise KafkaTimeoutError(f"the brokers do not tell where {partition.topic}/{partition.partition} begins")
    return position


def read_until(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], progress: Progress, *, settled: bool = False
) -> Iterator[Any]:
    """The records up to ``ends``, which the first fetch corrects unless ``settled``: Tansu tells too low ends.

    Raises KafkaTimeoutError where nothing comes for half a minute: a poll of brokers that are away only waits.
    """
    starts = {tp: _position(consumer, tp) for tp in ends}
    places, read, moved = dict(starts), 0, time.monotonic()
    while any(places[tp] < end for tp, end in ends.items()):
        for tp, records in consumer.poll(_POLL_MS).items():
            if places[tp] == starts[tp] and not settled:
                ends[tp] = max(ends[tp], consumer.highwater(tp) or 0)
            wanted = [record for record in records if record.offset < ends[tp]]
            yield from wanted
            read += len(wanted)
        before, places = places, {tp: _position(consumer, tp) for tp in ends}
        if places != before:
            moved = time.monotonic()
        elif time.monotonic() - moved > _SILENT_SECONDS:
            raise KafkaTimeoutError(f"the brokers sent no dead letters for {_SILENT_SECONDS:.0f} seconds")
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
    """A walk through all letters for those of some users.

    ``seen`` counts records; ``found`` the users' letters that nothing had taken back, ``without_key`` those among
    them that cannot be, because an older version wrote them without a key; ``unreadable`` what is no letter of ours.
    """

    seen: int = 0
    found: int = 0
    without_key: int = 0
    unreadable: int = 0


def sweep(
    settings: Settings, users: AbstractSet[str], *, take_back: bool = True, progress: Progress = lambda *_: None
) -> Swept:
    """Take back the users' letters, up to where the topic ends now; without ``take_back`` only count them.

    Raises TopicError where there is no such topic, KafkaError where the brokers do not take it all.
    """
    consumer, ends = open_consumer(settings, None)
    swept, found, theirs = Swept(), dict[tuple[int, bytes], int](), belongs_to(users)
    try:
        for record in read_until(consumer, ends, progress):
            swept.seen += 1
            place = (record.partition, record.key)
            letter = letter_of(record.value)
            if record.value is None:
                found.pop(place, None)
            elif letter is None:
                swept.unreadable += 1
            elif theirs(letter):
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


class _StoppedError(Exception):
    """Nobody waits for the sweep any more."""


async def sweep_in_thread(settings: Settings, users: AbstractSet[str]) -> None:
    """Take back the users' letters beside the event loop; where there is no topic of letters it is nothing.

    Raises KafkaError. Where the caller is cancelled the thread ends too, at its next poll: a worker that stops would
    wait for it.
    """
    stopped = threading.Event()

    def look(*_: int) -> None:
        if stopped.is_set():
            raise _StoppedError

    try:
        await asyncio.to_thread(sweep, settings, users, progress=look)
    except TopicError:
        return
    finally:
        stopped.set()


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
