"""Publishing events from our own tools: checked before they are sent, keyed as producers should key them."""

import json
import uuid
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from .connections import kafka_complaint, kafka_options
from .decoding import Decoder, kind_of, normalise
from .events import Item, Rejected, Tombstone, TopicKind
from .settings import Settings
from .topics import topic_names


class InvalidEventError(ValueError):
    """The event would be dead-lettered; the message says why and what to change."""


class PublishError(ConnectionError):
    """The brokers do not take events; the message says why and what to change."""


class Publisher:
    """A Kafka producer for events given as JSON bytes or dictionaries.

    An event without an id or a time, under whatever name, gets a new id and the present moment.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refused: list[KafkaError] = []
        self._topics = topic_names()
        self._decoders = {
            kind: Decoder(kind, max_future_skew_us=10**18, max_value_bytes=settings.max_value_bytes)
            for kind in TopicKind
        }
        try:
            self._producer = KafkaProducer(
                **kafka_options(settings), linger_ms=5, retries=5, max_request_size=64 * 1024 * 1024
            )
        except KafkaError as error:
            raise PublishError(kafka_complaint(settings)) from error

    def send(self, event: bytes | dict[str, Any]) -> None:
        """Check an event and publish it. Raises InvalidEventError, where nothing is sent, and PublishError."""
        try:
            body = json.loads(event) if isinstance(event, bytes) else dict(event)
        except (ValueError, RecursionError) as error:
            raise InvalidEventError(f"no JSON that can be read: {error}") from error
        if not isinstance(body, dict):
            raise InvalidEventError("an event is a JSON object")
        kind = kind_of(body)
        if kind is None:
            raise InvalidEventError("neither a click, a comment, an item nor a command: see deploy/contracts")
        if kind is not TopicKind.ITEMS:
            ours = {"event_id": f"cli-{uuid.uuid4()}", "occurred_at": datetime.now(UTC).isoformat()}
            known = normalise(body)
            body |= {name: value for name, value in ours.items() if name not in known}
        body.pop("topic", None)
        value = json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")  # the decoder says what is wrong
        decoded = self._decoders[kind].decode(value, (), int(datetime.now(UTC).timestamp() * 1000), None)
        if isinstance(decoded, Rejected):
            where = f" ({decoded.field})" if decoded.field else ""
            raise InvalidEventError(f"{decoded.reason}{where}: {decoded.detail}")
        key = decoded.item_id if isinstance(decoded, Item | Tombstone) else decoded.user_id
        self.send_raw(kind, value, key.encode())

    def send_raw(self, kind: TopicKind, value: bytes, key: bytes | None) -> None:
        """Publish bytes unchecked. Raises PublishError."""
        topic = self._topics[kind]
        try:
            self._producer.send(topic, value=value, key=key).add_errback(self._refused.append)
        except KafkaTimeoutError as error:
            raise PublishError(
                f"Kafka at {self._settings.kafka_bootstrap} does not tell of the topic {topic}: "
                "start a worker, which creates it"
            ) from error
        except KafkaError as error:
            raise PublishError(kafka_complaint(self._settings, error)) from error

    def flush(self) -> None:
        """Wait until the brokers have everything. Raises PublishError, also for what they refused before."""
        try:
            self._producer.flush(timeout=60)
        except KafkaError as error:
            raise PublishError(kafka_complaint(self._settings, error)) from error
        if self._refused:  # which flush keeps to itself
            raise PublishError(kafka_complaint(self._settings, self._refused[0])) from self._refused[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._producer.close(timeout=5)
