"""Checks a sample of events offline, as the worker would take them: which line, which field, what to change."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from .decoding import Decoder, kind_of
from .events import TOPICS, Reason, Rejected, TopicKind

DEFAULT_MAX_VALUE_BYTES = 1_048_576
_ANY_FUTURE_US = 10**18
_NO_OBJECT = (Reason.INVALID_JSON, Reason.NOT_AN_OBJECT, Reason.TOO_LARGE, Reason.TOO_DEEP, Reason.BAD_NUMBER)
_UNTOLD = Rejected(
    Reason.MISSING_FIELD,
    f"neither fields nor topic tell the sort: add topic, one of {', '.join(TopicKind)}",
    "topic",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line that the worker would reject. Lines count from 1; ``topic`` is None where the line does not tell it."""

    line: int
    topic: str | None
    reason: str
    field: str | None
    message: str


@dataclass(slots=True)
class Summary:
    """What a check has seen so far: good events by topic, findings by reason; empty lines do not count."""

    good: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)


def check_lines(
    lines: Iterable[bytes], summary: Summary | None = None, *, max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES
) -> Iterator[Finding]:
    """Yield a finding for each line that would become a dead letter; count into ``summary`` on the way.

    The topic of a line is told by its ``topic`` field or by its shape. Whether an event lies in the future and
    whether the item of a click is known cannot be told offline.
    """
    decoders = {
        kind: Decoder(kind, max_future_skew_us=_ANY_FUTURE_US, max_value_bytes=max_value_bytes) for kind in TopicKind
    }
    summary = Summary() if summary is None else summary
    for number, line in enumerate(lines, start=1):
        value = line.strip(b"\r\n\t ")
        if not value:
            continue
        kind = _kind_of_line(value, max_value_bytes)
        rejected = decoders[kind or TopicKind.CLICKS].decode(value, (), 0, None)
        if kind is None and not (isinstance(rejected, Rejected) and rejected.reason in _NO_OBJECT):
            rejected = _UNTOLD
        topic = None if kind is None else TOPICS[kind]
        if isinstance(rejected, Rejected):
            summary.bad[rejected.reason.value] += 1
            yield Finding(number, topic, rejected.reason.value, rejected.field, rejected.detail)
        elif topic is not None:
            summary.good[topic] += 1


def _kind_of_line(value: bytes, max_value_bytes: int) -> TopicKind | None:
    if len(value) > max_value_bytes:
        return None
    try:
        body = msgspec.json.decode(value.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return kind_of(body) if isinstance(body, dict) else None
