"""The contract of each topic as JSON Schema 2020-12, made from the structs and from what the types cannot say."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from . import instants
from .aliases import ALIASES
from .events import (
    DEAD_LETTERS_TOPIC,
    PROFILE_UPDATES_TOPIC,
    TOPICS,
    Click,
    Command,
    Comment,
    DeadLetter,
    Item,
    ProfileUpdated,
    TopicKind,
)
from .examples import EXAMPLES

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contract:
    """One topic: its message, who writes it, what keys its records, and what the types alone cannot say."""

    topic: str
    message: type[msgspec.Struct]
    consumed: bool
    key: str
    rules: tuple[Schema, ...] = ()


def _needs(name: str) -> Schema:
    """The field is there and says something."""
    return {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}


def _when(commands: list[str], name: str) -> Schema:
    condition = {"required": ["command"], "properties": {"command": {"enum": commands}}}
    return {"if": condition, "then": _needs(name)}


_ITEM_WITH_WORDS: Schema = {
    "required": ["item"],
    "properties": {
        "item": {
            "type": "object",
            "anyOf": [
                *(_needs(name) for name in ("title", "text", "category")),
                {"required": ["tags"], "properties": {"tags": {"type": "array", "minItems": 1}}},
            ],
        }
    },
}

CONTRACTS: tuple[Contract, ...] = (
    Contract(TOPICS[TopicKind.CLICKS], Click, True, "user_id", ({"anyOf": [_needs("item_id"), _ITEM_WITH_WORDS]},)),
    Contract(TOPICS[TopicKind.COMMENTS], Comment, True, "user_id"),
    Contract(TOPICS[TopicKind.ITEMS], Item, True, "item_id", ({"anyOf": [_needs("title"), _needs("text")]},)),
    Contract(
        TOPICS[TopicKind.COMMANDS],
        Command,
        True,
        "user_id",
        (_when(["mute", "unmute", "pin", "unpin"], "interest"), _when(["retract"], "event_ref")),
    ),
    Contract(DEAD_LETTERS_TOPIC, DeadLetter, False, "where the rejected record was read, topic/partition/offset"),
    Contract(PROFILE_UPDATES_TOPIC, ProfileUpdated, False, "user_id"),
)

_INSTANT: Mapping[str, Any] = MappingProxyType(
    {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": instants.AFTER_MS,
                "not": {"minimum": instants.FIRST_SECONDS, "exclusiveMaximum": instants.AFTER_SECONDS},
            },
        ]
    }
)


def components(contract: Contract, ref: str) -> tuple[str, dict[str, Schema]]:
    """The name of the contract's message, and the schemas of it and its parts, which refer to each other by ``ref``."""
    _, schemas = msgspec.json.schema_components(
        (contract.message,), schema_hook=_schema_of, ref_template=ref + "{name}"
    )
    finished = {name: _finish(schema) for name, schema in sorted(schemas.items())}
    name = contract.message.__name__
    if contract.consumed:
        for ours, theirs in ALIASES.items():
            if ours in finished[name]["properties"]:
                finished[name]["properties"][ours]["x-also-accepted-as"] = list(theirs)
    if contract.rules:
        finished[name]["allOf"] = list(contract.rules)
    return name, finished


def json_schema(contract: Contract) -> Schema:
    """The JSON Schema of one topic's values, complete in itself."""
    name, schemas = components(contract, "#/$defs/")
    body = schemas.pop(name)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{contract.topic.replace('.', ':')}",
    }
    parts = {"$defs": schemas} if schemas else {}
    return head | body | parts | {"examples": list(EXAMPLES[contract.topic])}


def _schema_of(kind: type) -> Schema:
    if kind is instants.Instant:
        return dict(_INSTANT)
    raise NotImplementedError(kind)


def _finish(node: Any) -> Any:
    """Mark-up out of descriptions, defaults of null out, NUL characters out of ids."""
    if isinstance(node, list):
        return [_finish(part) for part in node]
    if not isinstance(node, dict):
        return node
    finished = {name: _finish(part) for name, part in node.items() if not (name == "default" and part is None)}
    if isinstance(finished.get("description"), str):
        finished["description"] = " ".join(finished["description"].replace("``", "`").split())
    if "minLength" in finished:
        finished["pattern"] = r"^[^\u0000]*$"
    return finished
