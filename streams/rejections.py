"""What a decoding error means to the producer: a reason of the closed list, the field, and what to send instead."""

import re
from enum import EnumType
from typing import Any, get_args

import msgspec

from .events import Reason, Rejected
from .instants import BadTimeError

_AT = re.compile(r" - at .*`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_TYPES = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)\s*[,\]}]")
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
        return Rejected(Reason.BAD_NUMBER, f"{name} is no JSON number: leave the field out, or send null")
    if isinstance(error, msgspec.ValidationError):
        return Rejected(Reason.BAD_NUMBER, "a number is too large: send one that a double can hold", _field(f"{typed_error}"))
    if value[:1] == b"\0":
        return Rejected(Reason.INVALID_JSON, "starts with a schema registry's frame: send plain JSON without it")
    return Rejected(Reason.INVALID_JSON, f"{error}: send one JSON object in UTF-8")


def of_convert_error(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> Rejected:
    """The reject of a JSON object that is no event of this kind."""
    message = str(error)
    field = _field(message)
    if missing := _MISSING.search(message):
        return Rejected(Reason.MISSING_FIELD, f"add {missing[1]}", missing[1])
    if isinstance(error.__cause__, BadTimeError):
        return Rejected(Reason.BAD_TIME, str(error.__cause__), field)
    what = message.split(" - at")[0]
    if what.startswith("Invalid enum value"):
        return Rejected(Reason.UNKNOWN_VALUE, f"{what[8:]} is not known here: send one of {_choices(kind, field)}", field)
    if "of length" in what:
        return Rejected(Reason.BAD_ID, f"{what[0].lower()}{what[1:]} characters", field)
    if types := _TYPES.search(what):
        wanted = " or ".join(_JSON_NAMES.get(name, name) for name in types[1].split(" | "))
        return Rejected(Reason.WRONG_TYPE, f"send {wanted}, not {_JSON_NAMES.get(types[2], types[2])}", field)
    return Rejected(Reason.BAD_NUMBER, f"{what[0].lower()}{what[1:]}", field)


def _field(message: str) -> str | None:
    at = _AT.search(message)
    return (at[1] or None) if at else None


def _choices(kind: type[msgspec.Struct], field: str | None) -> str:
    types: list[Any] = [f.type for f in msgspec.structs.fields(kind) if f.name == field]
    enums = [t for t in (*types, *(a for t in types for a in get_args(t))) if isinstance(t, EnumType)]
    return ", ".join(str(member.value) for enum in enums for member in enum)
