"""Dead letters, sent through again once what was wrong is mended: original bytes, key and headers."""

import base64
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.structs import OffsetAndMetadata

from streams.connections import kafka_options
from streams.events import DeadLetter, Reason
from streams.letters import Progress, open_consumer, standing
from streams.settings import Settings
from streams.topics import DEAD_LETTER_BYTES

_FLUSH_SECONDS = 60.0


@dataclass(slots=True)
class Replayed:
    """What became of the dead letters of one reason that were not replayed before.

    ``seen`` counts letters of all reasons, without those taken back; ``sent`` those of the reason wanted;
    ``unreadable`` records that are no dead letters or name a topic that is none of ours: they are left where they are.
    """

    reason: Reason
    seen: int = 0
    sent: int = 0
    unreadable: int = 0


def replay_dead_letters(
    settings: Settings, reason: Reason, *, dry_run: bool = False, progress: Progress = lambda *_: None
) -> Replayed:
    """Publish the letters of ``reason`` to the topics they came from; each once, by a consumer group of its own.

    What arrives in the topic meanwhile waits for the next call. ``dry_run`` counts and leaves everything as it is.
    Raises KafkaError where the brokers do not take it all: then nothing counts as replayed, and what arrives twice is
    recognised by its event id.
    """
    consumer, ends = open_consumer(settings, f"{settings.consumer_group}.replay.{reason}")
    producer = KafkaProducer(**kafka_options(settings), acks="all", max_request_size=DEAD_LETTER_BYTES)
    refused: list[Exception] = []
    try:
        replayed = Replayed(reason)
        for letter in standing(consumer, ends, progress):
            replayed.seen += 1
            if letter is None:
                replayed.unreadable += 1
            elif letter.reason is reason:
                replayed.sent += 1
                if not dry_run:
                    _send(producer, letter).add_errback(refused.append)
        if not dry_run:
            producer.flush(timeout=_FLUSH_SECONDS)
            if refused:  # which flush keeps to itself
                raise refused[0]
            consumer.commit({tp: OffsetAndMetadata(end, "", -1) for tp, end in ends.items()})
    finally:
        producer.close(timeout=5)
        consumer.close(autocommit=False)
    return replayed


def _send(producer: KafkaProducer, letter: DeadLetter) -> Any:
    return producer.send(
        letter.topic,
        value=base64.b64decode(letter.value),
        key=None if letter.key is None else base64.b64decode(letter.key),
        headers=[(name, base64.b64decode(value)) for name, value in letter.headers.items()],
        timestamp_ms=letter.timestamp_ms,  # a broker without append time keeps what "from the future" meant
    )
