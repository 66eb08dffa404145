"""The events of one schedule, and what must come of them: profiles by the oracle, rejects by name."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests import stream
from tests.oracle import Commands, Shown

STEP_MS = 20_000
RULERS = 8
_REFERENCES = 12
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Message:
    """What is published: kind of topic, key, value; and of what needs it, the id that its fate is looked up by."""

    kind: str
    key: str
    value: bytes
    id: str = ""


@dataclass
class Story:
    """The messages in the order they are published, and what is known of them beforehand."""

    messages: list[Message]
    events: list[dict[str, Any]]
    commands: Commands
    rulers: set[str]
    rejects: dict[bytes, str]
    skewed: dict[str, dict[str, Any]]
    readings: Mapping[str, list[dict[str, Any]]] = field(repr=False)

    def shown(self, appended_ms: Mapping[str, int]) -> list[Shown]:
        """The events as the oracle takes them; one from the future happens when it was appended."""
        titles = {i: title for i, _, title in stream.ITEMS}
        late = [{**event, "occurred_at": appended_ms[i]} for i, event in self.skewed.items() if i in appended_ms]
        return [stream._shown(event, self.readings, titles) for event in [*self.events, *late]]


def read_everything() -> Mapping[str, list[dict[str, Any]]]:
    """What the embedded tier reads in every text of the stories. Takes seconds; do it once."""
    return stream.read_texts(stream.TEXTS) | stream.read_texts([title for _, _, title in stream.ITEMS], "--item")


def items() -> list[Message]:
    """The items of all stories."""
    return [
        Message("items", i, json.dumps({"item_id": i, "kind": kind, "title": title}).encode())
        for i, kind, title in stream.ITEMS
    ]


def tell(
    seed: int, prefix: str, number: int, readings: Mapping[str, list[dict[str, Any]]], *, rulers: int = RULERS
) -> Story:
    """A story of ``number`` events of users that begin with ``prefix``: also duplicates, commands and bad events.

    ``rulers`` is the number of users who command.
    """
    rng = random.Random(seed)
    events = [
        {**event, "user_id": f"{prefix} {event['user_id']}", "event_id": f"{prefix}-{event['event_id']}"}
        for event in stream.mixed_events(number, seed=seed)
        if "user_id" in event
    ]
    placed = [(float(place), _message(event)) for place, event in enumerate(events)]
    ruling = {f"{prefix} user {n}" for n in rng.sample(range(40), rulers)}
    commands = Commands()
    for user in sorted(ruling):
        placed += _rule(rng, user, [e for e in events if e["user_id"] == user], number, readings, commands)
    bad = _bad(rng, prefix)
    placed += [(rng.uniform(0, number), message) for message, _ in bad]
    skewed = {}
    for n in range(3):
        event = {
            "event_id": f"{prefix}-skew{n}",
            "user_id": f"{prefix} skewed",
            "occurred_at": stream.START_MS + 400 * _DAY_MS,
            "action": "like",
            "item_id": rng.choice(stream.ITEMS)[0],
        }
        skewed[event["event_id"]] = event
        placed.append((rng.uniform(0, number), _message(event)))
    placed.sort(key=lambda pair: pair[0])
    rejects = {message.value: reason for message, reason in bad}
    return Story([m for _, m in placed], events, commands, ruling, rejects, skewed, readings)


def _message(event: Mapping[str, Any]) -> Message:
    kind = "commands" if "command" in event else "comments" if "text" in event else "clicks"
    return Message(kind, event["user_id"], json.dumps(event).encode(), event["event_id"])


def _rule(
    rng: random.Random,
    user: str,
    own: Sequence[Mapping[str, Any]],
    number: int,
    readings: Mapping[str, list[dict[str, Any]]],
    commands: Commands,
) -> list[tuple[float, Message]]:
    """A user's commands, in the order of their time but anywhere between the events; ``commands`` takes the upshot."""
    interests = sorted({found["concept"] for rows in readings.values() for found in rows})
    count = rng.randint(1, 6)
    moments = sorted(rng.sample(range(number), count))
    places = sorted(rng.uniform(0, number) for _ in moments)
    messages = []
    for n, (moment, place) in enumerate(zip(moments, places, strict=True)):
        at_ms = stream.START_MS + moment * STEP_MS + 7_777  # between two events, never at one
        command = {"event_id": f"{user}-c{n}", "user_id": user, "occurred_at": at_ms}
        kind = rng.choice(["forget", "mute", "mute", "unmute", "retract", "retract", "pin"])
        subject = ""
        if kind == "retract":
            before = [e for e in own if e["occurred_at"] < at_ms]
            target = rng.choice(stream.ITEMS)[0]
            subject = rng.choice(before)["event_id"] if before and rng.random() < 0.8 else f"item:{target}"
            command["event_ref"] = subject
        elif kind != "forget":
            subject = command["interest"] = rng.choice(interests[:_REFERENCES])
        _take(commands, user, kind, subject, at_ms * 1000)
        messages.append((place, _message({**command, "command": kind})))
    return messages


def _take(commands: Commands, user: str, kind: str, subject: str, at: int) -> None:
    """What a command means beside the earlier ones: forgetting also forgets what the user had ruled before."""
    if kind == "forget":
        commands.forgotten_before[user] = at
        for rulings in (commands.muted, commands.unmuted, commands.retracted):
            for key in [key for key in rulings if key[0] == user]:
                del rulings[key]
    elif kind == "mute":
        commands.muted[user, subject] = at
    elif kind == "unmute":
        commands.unmuted[user, subject] = at
    elif kind == "retract":
        commands.retracted[user, subject] = at


def _bad(rng: random.Random, prefix: str) -> list[tuple[Message, str]]:
    """Events that must be rejected, each with its reason."""
    at = stream.START_MS
    bad = []
    for n in range(rng.randint(4, 16)):
        name = f"{prefix}-bad{n}"
        click = {"event_id": name, "user_id": f"{prefix} bad", "occurred_at": at, "action": "like", "item_id": "i-cat"}
        value, reason = rng.choice(
            [
                (f'{{"event_id": "{name}", not JSON'.encode(), "invalid_json"),
                (json.dumps([name]).encode(), "not_an_object"),
                (json.dumps({**click, "action": "teleport"}).encode(), "unknown_value"),
                (json.dumps({**click, "occurred_at": "yesterday"}).encode(), "bad_time"),
                (json.dumps({**click, "user_id": [1]}).encode(), "wrong_type"),
                (json.dumps({k: v for k, v in click.items() if k != "user_id"}).encode(), "missing_field"),
                (json.dumps({**click, "item_id": "i-nowhere"}).encode(), "unknown_item"),
            ]
        )
        bad.append((Message("clicks", f"{prefix} bad", value), reason))
    return bad
