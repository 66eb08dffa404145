"""The typed face of ``library.lua``: what its functions are called, what goes in, what comes out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from xxhash import xxh3_64_digest, xxh32_digest

from .decay import FORGOTTEN_HALF_LIVES
from .model import Applied, Change, Conflict, Evidence, Observation, ProfileUpdate, Rules
from .policy import MICROSECONDS, Policy

APPLY = "penchant_apply"
FORGET = "penchant_forget"
RULE = "penchant_rule"
RETRACT = "penchant_retract"
START_COPY = "penchant_start_copy"
CLAIM_COPY = "penchant_claim_copy"
DROP_COPY = "penchant_drop_copy"
SWITCH = "penchant_switch"

_NO_ITEM = bytes(4)
_UNLIMITED = 999_999  # as far as the library counts
_HOUR = 3600 * MICROSECONDS
_pack = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode
RULINGS = {"mute": "muted", "unmute": "unmuted", "pin": "pinned", "unpin": "unpinned"}
"""What a user rules, as ``:rules`` spells it, and the field of Rules that holds it."""


def source() -> str:
    """The Lua library, as FUNCTION LOAD takes it."""
    return files(__package__).joinpath("library.lua").read_text(encoding="utf-8")


def config(policy: Policy, *, changes: bool = False, run: str | None = None) -> bytes:
    """The policy as the functions take it; ``changes`` asks for the new scores in the reply.

    ``run`` names the writer of a copy: the functions write to profiles that this run has started or claimed, and to
    no others.
    """
    settings = {
        "horizons": policy.half_lives,
        "max_interests": policy.max_interests,
        "evidence": policy.evidence_per_interest,
        "evidence_age": policy.evidence_age or round(FORGOTTEN_HALF_LIVES * max(policy.half_lives.values())),
        "window": policy.duplicate_window,
        "grace": policy.expiry_grace_seconds,
        "user_cap": policy.events_per_user_hour or _UNLIMITED,
        "item_cap": policy.events_per_item_hour or _UNLIMITED,
        "changes": changes,
    }
    return _pack(settings if run is None else {**settings, "run": run})


def read_ends(ends: Mapping[str, int]) -> bytes:
    """Up to where each log was read, as ``penchant_switch`` takes it."""
    return _pack(ends)


def update_arguments(
    updates: Sequence[ProfileUpdate], half_lives: Mapping[str, int]
) -> tuple[str, bytes, bytes, bytes]:
    """Updates of one log as arguments of ``penchant_apply``.

    The log, one array a user, the hashes of all event ids, the hashes of all items.
    """
    ids = [xxh3_64_digest(o.event_id.encode()) for update in updates for o in update.observations]
    items = [_item_hash(o.target) for update in updates for o in update.observations]
    arrays = _pack(
        [
            (
                update.observations[0].offset,
                update.observations[-1].offset,
                update.newest,
                update.events,
                update.rules_version,
                len(update.observations),
                _hours(update.observations),
                [place + 1 for place in update.capped] if update.capped else None,
                [
                    (f"{stance.value}:{horizon}", half_lives[horizon], list(scores), list(scores.values()))
                    for (stance, horizon), scores in update.sets.items()
                    if scores
                ],
                [
                    part
                    for interest, pieces in update.evidence.items()
                    for part in (interest, "\n".join([evidence_line(piece) for piece in pieces]))
                ],
            )
            for update in updates
        ]
    )
    return updates[0].log, arrays, b"".join(ids), b"".join(items)


def _hours(observations: Sequence[Observation]) -> int | list[int]:
    """The hour since 1970 in which the log took each of them in; one for all where it is the same."""
    first = observations[0].appended_at // _HOUR
    if len(observations) == 1:
        return first
    hours = [o.appended_at // _HOUR for o in observations]
    return first if hours.count(first) == len(hours) else hours


@lru_cache(maxsize=100_000)
def _item_hash(target: str | None) -> bytes:
    return _NO_ITEM if target is None else xxh32_digest(target.encode())


def evidence_line(evidence: Evidence) -> str:
    """A piece of evidence as one line of JSON, without its empty parts."""
    line: dict[str, object] = {
        "event": evidence.event,
        "at": evidence.at,
        "weight": evidence.weight,
        "stance": evidence.stance,
    }
    for name in ("source", "reader", "target"):
        if value := getattr(evidence, name):
            line[name] = value
    return _to_json(line).decode()


def parse_reply(update: ProfileUpdate, reply: Sequence[Any]) -> Applied | Conflict:
    """The reply of ``penchant_apply`` for one update."""
    if reply[0] == 1:
        scores = iter(reply[2:])
        return Applied(
            user=update.user,
            newest=update.newest,
            events=update.events,
            evicted=reply[1],
            changes=list(_changes(update, scores)) if len(reply) > 2 else (),  # noqa: PLR2004 - none were asked for
        )
    _, position, repeated, version, fields, capped = reply
    ids = [o.event_id for o in update.observations]
    return Conflict(
        user=update.user,
        position=position,
        duplicates=frozenset(ids[index - 1] for index in repeated),
        capped=frozenset(ids[index - 1] for index in capped),
        rules=parse_rules(version, dict(zip(map(text, fields[::2]), map(text, fields[1::2]), strict=True))),
    )


def _changes(update: ProfileUpdate, scores: Iterator[object]) -> Iterator[Change]:
    for (stance, horizon), interests in update.sets.items():
        for interest in interests:
            yield Change(interest, stance, horizon, int(text(next(scores))))


def text(value: object) -> str:
    """A reply's string, which arrives as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def strings(fields: Mapping[Any, Any]) -> dict[str, str]:
    """A reply's hash, which arrives as bytes."""
    return {text(name): text(value) for name, value in fields.items()}


def parse_rules(version: int, fields: Mapping[str, str]) -> Rules:
    """The hash ``:rules`` as a value: ``mute:INTEREST`` and its like, ``retract:REF``, ``forgotten_before``."""
    rulings: dict[str, dict[str, int]] = {name: {} for name in RULINGS.values()}
    retracted = {}
    for name, value in fields.items():
        kind, _, subject = name.partition(":")
        if kind in RULINGS:
            rulings[RULINGS[kind]][subject] = int(value)
        elif kind == "retract":
            retracted[subject] = int(value)
    return Rules(
        version=version,
        forgotten_before=int(fields.get("forgotten_before", -1)),
        retracted=retracted,
        **rulings,
    )
