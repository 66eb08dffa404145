"""The batch recomputation that every profile is held against: plain decayed sums over events.

It shares no code with the product, and knows neither Kafka, Faust, Redis nor Lua: only the rules of the contract.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HOUR_US = 3600 * 10**6
HALF_LIVES_US = {"now": 6 * 3600 * 10**6, "lasting": 30 * 86400 * 10**6}


@dataclass(frozen=True)
class Shown:
    """One event, read by hand: who, when, and the (interest, stance, strength) it shows.

    ``log`` is the topic partition that took it in, at ``appended``.
    """

    user: str
    event_id: str
    at: int
    signals: tuple[tuple[str, str, float], ...]
    target: str | None = None
    log: str = ""
    appended: int = 0


@dataclass(frozen=True)
class Caps:
    """The most events of a user, and of an item beyond a user's first so many, that count in an hour of one log."""

    per_user: int
    per_item: int


@dataclass
class Commands:
    """What users ruled, by user."""

    forgotten_before: dict[str, int] = field(default_factory=dict)
    muted: dict[tuple[str, str], int] = field(default_factory=dict)
    unmuted: dict[tuple[str, str], int] = field(default_factory=dict)
    retracted: dict[tuple[str, str], int] = field(default_factory=dict)


def weights(
    events: Iterable[Shown], commands: Commands | None = None, at: int | None = None, caps: Caps | None = None
) -> dict[str, dict[tuple[str, str], dict[str, float]]]:
    """user -> (stance, horizon) -> interest -> weight, at ``at`` or else at each user's newest counted event.

    With ``caps``, the events of each log are given in its order.
    """
    commands = commands or Commands()
    first: dict[tuple[str, str], Shown] = {}
    for event in events:
        first.setdefault((event.user, event.event_id), event)
    within = first.values() if caps is None else within_caps(first.values(), caps)
    counted = [e for e in within if _counts(e, commands)]
    newest: dict[str, int] = defaultdict(lambda: -1)
    for event in counted:
        newest[event.user] = max(newest[event.user], event.at)
    result: dict[str, dict[tuple[str, str], dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for event in counted:
        moment = newest[event.user] if at is None else at
        for interest, stance, strength in event.signals:
            if not _admitted(event, interest, commands):
                continue
            direction = "dislike" if stance == "dislike" else "like"
            amount = strength * (0.3 if stance == "neutral" else 1.0)
            for horizon, half_life in HALF_LIVES_US.items():
                sums = result[event.user][direction, horizon]
                sums[interest] = sums.get(interest, 0.0) + amount * 0.5 ** ((moment - event.at) / half_life)
    return result


def within_caps(events: Iterable[Shown], caps: Caps) -> list[Shown]:
    """The distinct events that carry a signal: hour by hour of each log, the earlier ones."""
    hour: dict[tuple[str, str], int] = defaultdict(int)
    lines: dict[tuple[str, str, int], list[Shown]] = defaultdict(list)
    for event in events:
        place = (event.user, event.log)
        hour[place] = max(hour[place], event.appended // HOUR_US)
        lines[*place, hour[place]].append(event)
    kept = []
    for line in lines.values():
        head, rest = line[: caps.per_item], line[caps.per_item : caps.per_user]
        kept += head
        items: dict[str | None, int] = defaultdict(int)
        for event in rest:
            items[event.target] += 1
            if event.target is None or items[event.target] <= caps.per_item:
                kept.append(event)
    return kept


def _counts(event: Shown, commands: Commands) -> bool:
    return (
        event.at > commands.forgotten_before.get(event.user, -1)
        and (event.user, event.event_id) not in commands.retracted
        and event.at > commands.retracted.get((event.user, f"item:{event.target}"), -1)
    )


def _admitted(event: Shown, interest: str, commands: Commands) -> bool:
    key = (event.user, interest)
    if key not in commands.muted:
        return True
    unmuted = commands.unmuted.get(key, -1)
    return commands.muted[key] < unmuted < event.at


def assert_same(
    found: Mapping[tuple[str, str], Mapping[str, float]],
    expected: Mapping[tuple[str, str], Mapping[str, float]],
    *,
    relative: float = 1e-6,
    least: float = 1e-8,
) -> None:
    """Every weight of at least ``least`` is there on both sides and equal to ``relative``."""
    for key in {*found, *expected}:
        ours, theirs = found.get(key, {}), expected.get(key, {})
        for interest in {*ours, *theirs}:
            a, b = ours.get(interest, 0.0), theirs.get(interest, 0.0)
            if max(a, b) >= least:
                assert abs(a - b) <= relative * max(a, b), f"{key} {interest}: {a!r} in the profile, {b!r} expected"
