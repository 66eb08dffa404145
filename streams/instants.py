"""Event times as producers write them, and as integer microseconds since the Unix epoch."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MS_DIGITS = 13
FIRST_SECONDS, AFTER_SECONDS = 10**9, 10**10
"""Numbers from 2001 to 2286 if read as seconds: as milliseconds they would all lie before May 1970."""
AFTER_MS = 10**14
"""No event happens after the year 5138; what is larger was meant as microseconds or nanoseconds."""
_ACCEPTED = "send RFC 3339 such as 2026-11-24T12:00:00Z, or epoch milliseconds"


class Instant(int):
    """A moment, in microseconds since the Unix epoch. On the wire: RFC 3339 text or epoch milliseconds."""

    __slots__ = ()


class BadTimeError(ValueError):
    """A time that is neither RFC 3339 nor epoch milliseconds; the message says what to send instead."""


def to_instant(value: object) -> Instant:
    """RFC 3339 text or epoch milliseconds (a number, or 13 digits of text) as an instant.

    Years before 1970 or after 5138 and numbers that look like seconds or microseconds raise BadTimeError: a guess here
    would silently move events by years.
    """
    if type(value) is int and AFTER_SECONDS <= value < AFTER_MS:  # as nearly all are
        return Instant(value * 1000)
    if isinstance(value, str):
        if not (len(value) == _MS_DIGITS and value.isascii() and value.isdigit()):
            return _from_text(value)
        value = int(value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTimeError(_ACCEPTED)
    if not 0 <= value < AFTER_MS:
        raise BadTimeError(f"{value!r} is no time in epoch milliseconds (negative, or microseconds?)")
    if FIRST_SECONDS <= value < AFTER_SECONDS:
        raise BadTimeError(f"{value!r} looks like epoch seconds: multiply by 1000")
    return Instant(round(value * 1000))


def _from_text(text: str) -> Instant:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _from_lower_case(text)
    if moment.tzinfo is None:
        raise BadTimeError("the time has no offset: end it with Z or +08:00")
    microseconds = (moment - _EPOCH) // _MICROSECOND
    if microseconds < 0:
        raise BadTimeError("the time lies before 1970")
    if microseconds >= AFTER_MS * 1000:
        raise BadTimeError("the time lies after the year 5138")
    return Instant(microseconds)


def _from_lower_case(text: str) -> datetime:
    """RFC 3339 allows ``t`` and ``z``; Python does not."""
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        raise BadTimeError(_ACCEPTED) from None


def rfc3339(microseconds: int) -> str:
    """An instant as text, in UTC."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat()
