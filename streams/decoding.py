"""From the bytes of a record to an event, or to the reason why not. Pure; never raises.

A well-formed event is decoded in one step, quickest where it holds no other fields than ours. Only where that fails, or
where another system's name is seen, is the event taken apart: names are translated, CloudEvents are unpacked, and what
is still wrong gets a reason.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from .aliases import ALIASES, kind_of, normalise
from .events import Click, Command, CommandKind, Comment, Event, Item, Reason, Rejected, Tombstone, TopicKind
from .instants import Instant, to_instant
from .rejections import of_convert_error, of_json_error, of_other_json

__all__ = ["Decoder", "kind_of", "normalise"]

_Payload = Click | Comment | Item | Command
_TYPES: dict[TopicKind, type[_Payload]] = {
    TopicKind.CLICKS: Click,
    TopicKind.COMMENTS: Comment,
    TopicKind.ITEMS: Item,
    TopicKind.COMMANDS: Command,
}
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
_RULINGS = (CommandKind.MUTE, CommandKind.UNMUTE, CommandKind.PIN, CommandKind.UNPIN)


def _decode_hook(kind: type, value: object) -> object:
    if kind is Instant:
        return to_instant(value)
    raise NotImplementedError(kind)


def _quick_decoder(kind: type[_Payload]) -> Callable[[bytes], Any]:
    """Decodes events that hold nothing but our own fields; ``occurred_at`` stays as it was written."""
    time = next(field for field in msgspec.structs.fields(kind) if field.name == "occurred_at")
    written = int | float | str if time.required else int | float | str | None
    as_written = msgspec.defstruct(
        kind.__name__,
        [(time.name, written, time.default)],
        bases=(kind,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(as_written).decode


class Decoder:
    """Decodes the events of one topic. ``clamped`` counts events from too far in the future.

    Such an event, more than ``max_future_skew_us`` after its Kafka timestamp, happens at that timestamp instead.
    Values above ``max_value_bytes`` are rejected unread.
    """

    def __init__(self, kind: TopicKind, *, max_future_skew_us: int, max_value_bytes: int) -> None:
        self.clamped = 0
        self._kind = kind
        self._type = _TYPES[kind]
        self._decode_quickly = _quick_decoder(self._type)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(self._type, dec_hook=_decode_hook).decode
        self._other_names = _other_names_of_optional(self._type).search
        self._problem = _PROBLEMS[kind]
        self._skew = max_future_skew_us
        self._max_bytes = max_value_bytes

    def decode(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes]], timestamp_ms: int, key: bytes | None
    ) -> Event | Rejected:
        """Decode a record. ``timestamp_ms`` is its Kafka timestamp; an item without a time is of that moment."""
        if value is None:
            return self._tombstone(key)
        if len(value) > self._max_bytes:
            return Rejected(Reason.TOO_LARGE, f"{len(value)} bytes: send at most {self._max_bytes}")
        try:
            event = self._decode_quickly(value)
            if event.occurred_at is not None:
                force_setattr(event, "occurred_at", to_instant(event.occurred_at))
        except _UNREADABLE:
            event = self._decode_with_others(value, headers)
        else:
            if self._problem(event) is not None:
                event = self._decode_carefully(value, headers, None)
        if isinstance(event, Rejected):
            return event
        at = event.occurred_at
        if at is None or at > timestamp_ms * 1000 + self._skew:
            return self._dated(event, value, headers, timestamp_ms)
        return event  # type: ignore[no-any-return]

    def _decode_with_others(self, value: bytes, headers: Sequence[tuple[str, bytes]]) -> _Payload | Rejected:
        """An event with fields that are not ours, or one that is wrong."""
        try:
            event: _Payload = self._decode(value)
        except _UNREADABLE as error:
            return self._decode_carefully(value, headers, error)
        if self._other_names(value) or self._problem(event) is not None:
            return self._decode_carefully(value, headers, None)
        return event

    def _dated(
        self, event: _Payload, value: bytes, headers: Sequence[tuple[str, bytes]], timestamp_ms: int
    ) -> _Payload | Rejected:
        """An event without a time gets that of its CloudEvents header; without one, and from the future, Kafka's."""
        if event.occurred_at is None and any(name == "ce_time" for name, _ in headers):
            careful = self._decode_carefully(value, headers, None)
            if isinstance(careful, Rejected):
                return careful
            event = careful
        if event.occurred_at is None or event.occurred_at > timestamp_ms * 1000 + self._skew:
            self.clamped += event.occurred_at is not None
            force_setattr(event, "occurred_at", Instant(max(timestamp_ms, 0) * 1000))
        return event

    def _tombstone(self, key: bytes | None) -> Event | Rejected:
        if self._kind is not TopicKind.ITEMS:
            return Rejected(Reason.NOT_AN_OBJECT, "the record has no value: send a JSON object")
        if not key:
            return Rejected(Reason.BAD_ID, "a deletion names its item in the record's key: send the item_id", "item_id")
        return Tombstone(item_id=key.decode("utf-8", "replace"))

    def _decode_carefully(
        self, value: bytes, headers: Sequence[tuple[str, bytes]], typed_error: Exception | None
    ) -> _Payload | Rejected:
        try:
            body = msgspec.json.decode(value.removeprefix(b"\xef\xbb\xbf"))
        except _UNREADABLE as error:
            return of_json_error(value, error, typed_error)
        if not isinstance(body, dict):
            return of_other_json(body)
        try:
            event = msgspec.convert(normalise(body, headers), self._type, dec_hook=_decode_hook)
        except RecursionError:
            return Rejected(Reason.TOO_DEEP, "nested too deeply: send a flat object")
        except msgspec.ValidationError as error:
            return of_convert_error(error, self._type)
        return self._problem(event) or event


def _other_names_of_optional(kind: type[_Payload]) -> re.Pattern[bytes]:
    """Finds where else optional fields may stand: the one-step decoding does not miss those fields."""
    optional = {field.name for field in msgspec.structs.fields(kind) if not field.required}
    names = [name for ours, theirs in ALIASES.items() if ours in optional for name in theirs]
    return re.compile(rf'"(?:{"|".join([*names, "properties"])})"'.encode())


def _nul(field: str) -> Rejected:
    return Rejected(Reason.BAD_ID, "holds a NUL character, which no id may: remove it", field)


def _user_problem(event: Click | Comment | Command) -> Rejected | None:
    if "\0" in event.user_id:
        return _nul("user_id")
    return _nul("event_id") if "\0" in event.event_id else None


def _click_problem(click: Click) -> Rejected | None:
    if click.item_id is not None:
        return _nul("item_id") if "\0" in click.item_id else _user_problem(click)
    item = click.item
    if item is None:
        return Rejected(Reason.MISSING_FIELD, "a click needs item_id, or an item with a title", "item_id")
    if not (item.title or item.text or item.category or item.tags):
        return Rejected(Reason.ITEM_WITHOUT_TEXT, "the item inside a click needs a title: add it, or item_id", "item")
    return _user_problem(click)


def _comment_problem(comment: Comment) -> Rejected | None:
    if comment.item_id is not None and "\0" in comment.item_id:
        return _nul("item_id")
    return _user_problem(comment)


def _item_problem(item: Item) -> Rejected | None:
    if not (item.title or item.text):
        return Rejected(Reason.ITEM_WITHOUT_TEXT, "an item needs a title or a text that can be read", "title")
    return _nul("item_id") if "\0" in item.item_id else None


def _command_problem(command: Command) -> Rejected | None:
    if command.command is CommandKind.RETRACT and not command.event_ref:
        return Rejected(Reason.MISSING_FIELD, "retract needs event_ref: an event id, or item:ID", "event_ref")
    if command.command in _RULINGS and not command.interest:
        return Rejected(Reason.MISSING_FIELD, f"{command.command} needs the interest it is about", "interest")
    if "\0" in (command.event_ref or ""):
        return _nul("event_ref")
    return _nul("interest") if "\0" in (command.interest or "") else _user_problem(command)


_PROBLEMS: dict[TopicKind, Callable[[Any], Rejected | None]] = {
    TopicKind.CLICKS: _click_problem,
    TopicKind.COMMENTS: _comment_problem,
    TopicKind.ITEMS: _item_problem,
    TopicKind.COMMANDS: _command_problem,
}
