"""What a decoding error means to the producer: a reason of the closed list, the field, and what to send instead."""

import re
from enum import Enum
from typing import Any

import msgspec

from .events import Reason, Rejected
from .instants import BadTimeError

_AT = re.compile(r" - at .*`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_TYPES = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)\s*[,\]}]")
_LIMIT = re.compile(r"Expected `([^`]+)` (.+)")
_TOO_LARGE = "a number is too large for a double: send a smaller one"
_PYTHON_NAMES = ((list, "an array"), (str, "a string"), (int | float, "a number or a boolean"))
_JSON_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def of_json_error(value: bytes, error: Exception, typed_error: Exception | None) -> Rejected:
    """The reject of bytes that are no JSON, or of JSON that holds something no event may.

    ``typed_error`` is how decoding straight to the event failed; only it may know the field.
    """
    if isinstance(error, RecursionError):
        return Rejected(Reason.TOO_DEEP, "nested too deeply: send a flat object")
    if isinstance(error, UnicodeDecodeError):
        return Rejected(Reason.INVALID_JSON, "not UTF-8: encode the JSON in UTF-8")
    if not_finite := _NOT_FINITE.search(value):
        name = not_finite[1].decode()
        return Rejected(Reason.INVALID_JSON, f"{name} is no JSON number: leave the field out, or send null")
    if isinstance(error, msgspec.ValidationError):
        return Rejected(Reason.BAD_NUMBER, _TOO_LARGE, _field(f"{typed_error}"))
    if value[:1] == b"\0":
        return Rejected(Reason.INVALID_JSON, "starts with a schema registry's frame: send plain JSON without it")
    return Rejected(Reason.INVALID_JSON, f"{error}: send one JSON object in UTF-8")


def of_other_json(body: object) -> Rejected:
    """The reject of JSON that is no object."""
    sort = next((name for kind, name in _PYTHON_NAMES if isinstance(body, kind)), "null")
    return Rejected(Reason.NOT_AN_OBJECT, f"{sort} is no event: send one JSON object")


def of_convert_error(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> Rejected:
    """The reject of a JSON object that is no event of this kind."""
    message = str(error)
    field = _field(message)
    if missing := _MISSING.search(message):
        return Rejected(Reason.MISSING_FIELD, f"add {missing[1]}", missing[1])
    if isinstance(error.__cause__, BadTimeError):
        return Rejected(Reason.BAD_TIME, str(error.__cause__), field)
    what = message.split(" - at", maxsplit=1)[0]
    if types := _TYPES.search(what):
        return Rejected(Reason.WRONG_TYPE, f"send {_named(types[1])}, not {_named(types[2])}", field)
    if limit := _LIMIT.search(what):
        reason = Reason.BAD_ID if limit[1] == "str" else Reason.BAD_NUMBER
        return Rejected(reason, f"send {_named(limit[1])} {limit[2]}", field)
    if what.startswith("Invalid enum value"):
        choices = ", ".join(_choices(kind, field))
        return Rejected(Reason.UNKNOWN_VALUE, f"{what.split(maxsplit=3)[3]} is not known: send one of {choices}", field)
    return Rejected(Reason.BAD_NUMBER, _TOO_LARGE, field)


def _field(message: str) -> str | None:
    at = _AT.search(message)
    return (at[1] or None) if at else None


def _named(types: str) -> str:
    return " or ".join(_JSON_NAMES.get(name, name) for name in types.removesuffix(" | null").split(" | "))


def _choices(kind: type[msgspec.Struct], field: str | None) -> list[str]:
    types: list[Any] = [f.type for f in msgspec.structs.fields(kind) if f.name == field]
    return [str(member.value) for enum in types if isinstance(enum, type) and issubclass(enum, Enum) for member in enum]
