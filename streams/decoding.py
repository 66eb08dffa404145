"""From the bytes of a record to an event, or to the reason why not. Pure; never raises.

A well-formed event is decoded in one step. Only where that fails is the event taken apart: other systems' names are
translated, CloudEvents are unpacked, and what is still wrong gets a reason its producer can act on.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from .events import Click, Command, CommandKind, Comment, Event, Instant, Item, Reason, Rejected, Tombstone, TopicKind

ALIASES: Mapping[str, str] = {
    "eventId": "event_id",
    "messageId": "event_id",
    "message_id": "event_id",
    "userId": "user_id",
    "anonymousId": "user_id",
    "domain_userid": "user_id",
    "timestamp": "occurred_at",
    "occurredAt": "occurred_at",
    "originalTimestamp": "occurred_at",
    "collector_tstamp": "occurred_at",
    "derived_tstamp": "occurred_at",
    "ts": "occurred_at",
    "itemId": "item_id",
    "productId": "item_id",
    "product_id": "item_id",
    "sessionId": "session_id",
    "domain_sessionid": "session_id",
    "dwellMs": "dwell_ms",
    "parentId": "parent_id",
    "eventRef": "event_ref",
    "body": "text",
    "content": "text",
    "language": "lang",
}
"""Names of Segment, Snowplow and plain camelCase, as they are translated. Our own names win where both are there."""

_TYPES: Mapping[TopicKind, type[Event]] = {
    TopicKind.CLICKS: Click,
    TopicKind.COMMENTS: Comment,
    TopicKind.ITEMS: Item,
    TopicKind.COMMANDS: Command,
}
_IDS = ("event_id", "user_id", "item_id", "session_id", "parent_id", "event_ref")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECONDS_RANGE = range(10**9, 10**10)
_LARGEST_MS = 10**14
_FIELD = re.compile(r"`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


class BadTimeError(ValueError):
    """A time that is neither RFC 3339 nor epoch milliseconds."""


def to_instant(value: object) -> Instant:
    """RFC 3339 text or epoch milliseconds as an instant. Raises BadTimeError, which says what to send instead."""
    if isinstance(value, str):
        if value.isdigit():
            value = int(value)
        else:
            return _from_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTimeError("send RFC 3339 such as 2026-11-24T12:00:00Z, or epoch milliseconds")
    if not 0 <= value < _LARGEST_MS:
        raise BadTimeError(f"{value!r} is no time in epoch milliseconds (negative, or microseconds?)")
    if value in _SECONDS_RANGE:
        raise BadTimeError(f"{value!r} looks like epoch seconds: multiply by 1000")
    return Instant(round(value * 1000))


def _from_text(text: str) -> Instant:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadTimeError("send RFC 3339 such as 2026-11-24T12:00:00Z, or epoch milliseconds") from None
    if moment.tzinfo is None:
        raise BadTimeError("the time has no offset: end it with Z or +08:00")
    microseconds = (moment - _EPOCH) // _MICROSECOND
    if microseconds < 0:
        raise BadTimeError("the time lies before 1970")
    return Instant(microseconds)


def _decode_hook(kind: type, value: object) -> object:
    if kind is Instant:
        return to_instant(value)
    raise NotImplementedError(kind)


class Decoder:
    """Decodes the events of one topic. ``clamped`` counts events from too far in the future.

    Such an event, more than ``max_future_skew_us`` after its Kafka timestamp, happens at that timestamp instead.
    """

    def __init__(self, kind: TopicKind, *, max_future_skew_us: int, max_value_bytes: int) -> None:
        self.clamped = 0
        self._kind = kind
        self._type = _TYPES[kind]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(self._type, dec_hook=_decode_hook).decode
        self._skew = max_future_skew_us
        self._max_bytes = max_value_bytes

    def decode(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes]], timestamp_ms: int, key: bytes | None
    ) -> Event | Rejected:
        """Decode a record. ``timestamp_ms`` is its Kafka timestamp."""
        if value is None:
            return self._tombstone(key)
        if len(value) > self._max_bytes:
            return Rejected(Reason.TOO_LARGE, f"{len(value)} bytes: at most {self._max_bytes} are accepted")
        try:
            event = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event = self._decode_slowly(value, headers)
            if isinstance(event, Rejected):
                return event
        problem = _check(event)
        if problem is not None:
            return problem
        latest = timestamp_ms * 1000 + self._skew
        if event.occurred_at is not None and event.occurred_at > latest:
            self.clamped += 1
            msgspec.structs.force_setattr(event, "occurred_at", Instant(timestamp_ms * 1000))
        return event  # type: ignore[no-any-return]

    def _tombstone(self, key: bytes | None) -> Event | Rejected:
        if self._kind is TopicKind.ITEMS and key:
            return Tombstone(item_id=key.decode("utf-8", "replace"))
        return Rejected(Reason.NOT_AN_OBJECT, "the record has no value: send a JSON object")

    def _decode_slowly(self, value: bytes, headers: Sequence[tuple[str, bytes]]) -> Any:
        try:
            body = msgspec.json.decode(value)
        except RecursionError:
            return Rejected(Reason.TOO_DEEP, "nested too deeply: send a flat object")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Rejected(Reason.INVALID_JSON, f"not JSON ({error}): send one JSON object in UTF-8")
        if not isinstance(body, dict):
            return Rejected(Reason.NOT_AN_OBJECT, f"a JSON {type(body).__name__}: send one JSON object")
        try:
            return msgspec.convert(normalise(body, headers), self._type, dec_hook=_decode_hook)
        except RecursionError:
            return Rejected(Reason.TOO_DEEP, "nested too deeply: send a flat object")
        except msgspec.ValidationError as error:
            return _explain(error)


def normalise(body: Mapping[str, Any], headers: Sequence[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """The event under our own names: CloudEvents unpacked, aliases translated, numeric ids as text."""
    attributes = {name.removeprefix("ce_"): _header(value) for name, value in headers if name.startswith("ce_")}
    if "specversion" in body and isinstance(body.get("data"), dict):
        attributes |= {name: body[name] for name in ("id", "time") if name in body}
        body = body["data"]
    event = dict(body)
    for theirs, ours in ALIASES.items():
        if theirs in event:
            event.setdefault(ours, event.pop(theirs))
    for attribute, ours in (("id", "event_id"), ("time", "occurred_at")):
        if attribute in attributes:
            event.setdefault(ours, attributes[attribute])
    for name in _IDS:
        if isinstance(event.get(name), int) and not isinstance(event[name], bool):
            event[name] = str(event[name])
    return event


def _header(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def kind_of(body: Mapping[str, Any]) -> TopicKind | None:
    """Which topic an event belongs to: by its ``topic`` field, or else by its shape."""
    named = body.get("topic")
    if isinstance(named, str):
        for kind in TopicKind:
            if named in (kind, f"penchant.{kind}.v1"):
                return kind
    event = normalise(body)
    if "command" in event:
        return TopicKind.COMMANDS
    if "action" in event:
        return TopicKind.CLICKS
    if "user_id" in event:
        return TopicKind.COMMENTS if "text" in event or "kind" in event else TopicKind.CLICKS
    return TopicKind.ITEMS if "item_id" in event else None


def _check(event: Any) -> Rejected | None:
    """What the types cannot say: fields that need each other, and ids that no key could hold."""
    for name in ("event_id", "user_id", "item_id"):
        if "\0" in (getattr(event, name, None) or ""):
            return Rejected(Reason.BAD_ID, "an id must not hold a NUL character", name)
    if isinstance(event, Click):
        if event.item_id is None and event.item is None:
            return Rejected(Reason.MISSING_FIELD, "a click needs item_id, or item with a title", "item_id")
    elif isinstance(event, Item):
        if not (event.title or event.text):
            return Rejected(Reason.ITEM_WITHOUT_TEXT, "an item needs a title or a text to be read", "title")
    elif isinstance(event, Command):
        return _check_command(event)
    return None


def _check_command(command: Command) -> Rejected | None:
    if command.command is CommandKind.RETRACT:
        if not command.event_ref:
            return Rejected(Reason.MISSING_FIELD, "retract needs event_ref: an event id, or item:ID", "event_ref")
    elif command.command is not CommandKind.FORGET and not command.interest:
        return Rejected(Reason.MISSING_FIELD, f"{command.command} needs interest", "interest")
    return None


def _explain(error: msgspec.ValidationError) -> Rejected:
    message = str(error)
    missing = _MISSING.search(message)
    if missing:
        return Rejected(Reason.MISSING_FIELD, f"add {missing[1]}", missing[1])
    at = _FIELD.search(message)
    field = at[1] if at else None
    detail = message.partition(" - at")[0]
    if isinstance(error.__cause__, BadTimeError) or field == "occurred_at":
        return Rejected(Reason.BAD_TIME, str(error.__cause__ or detail), field)
    if "enum value" in message:
        return Rejected(Reason.UNKNOWN_VALUE, f"{detail}: see deploy/contracts for the values", field)
    if "of length" in message:
        return Rejected(Reason.BAD_ID, detail, field)
    if ">=" in message or "out of range" in message:
        return Rejected(Reason.BAD_NUMBER, detail, field)
    return Rejected(Reason.WRONG_TYPE, detail, field)
