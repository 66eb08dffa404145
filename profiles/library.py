"""The typed face of ``library.lua``: what its functions are called, what goes in, what comes out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from xxhash import xxh3_64_digest, xxh32_digest

from .decay import FORGOTTEN_HALF_LIVES
from .model import Applied, Change, Conflict, Evidence, Observation, ProfileUpdate, Rules, Stance
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
_SetName = tuple[Stance, str]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_to_json = msgspec.json.Encoder().encode
RULINGS = {"mute": "muted", "unmute": "unmuted", "pin": "pinned", "unpin": "unpinned"}
"""What a user rules, as ``:rules`` spells it, and the field of Rules that holds it."""


def source() -> str:
    """The Lua library, as FUNCTION LOAD takes it."""
    return files(__package__).joinpath("library.lua").read_text(encoding="utf-8")


def config(policy: Policy, *, changes: bool = False, run: str | None = None, keep_seconds: int | None = None) -> bytes:
    """The policy as the functions take it; ``changes`` asks for the new scores in the reply.

    ``run`` names the writer of a copy: the functions write to profiles that this run has started or claimed, and to
    no others. ``keep_seconds`` is the longest that anything then written is kept.
    """
    settings = {
        "horizons": policy.half_lives,
        "sets": [(_suffix(*name), policy.half_lives[name[1]]) for name in _set_names(policy.half_lives)],
        "longest": max(policy.half_lives.values()),
        "max_interests": policy.max_interests,
        "evidence": policy.evidence_per_interest,
        "evidence_age": policy.evidence_age or round(FORGOTTEN_HALF_LIVES * max(policy.half_lives.values())),
        "window": policy.duplicate_window,
        "grace": policy.expiry_grace_seconds,
        "user_cap": policy.events_per_user_hour or _UNLIMITED,
        "item_cap": policy.events_per_item_hour or _UNLIMITED,
        "changes": changes,
    }
    of_copies = {"run": run, "keep": keep_seconds}
    return _pack(settings | {name: value for name, value in of_copies.items() if value is not None})


def former_sets(horizons: Iterable[str]) -> bytes:
    """The sets of horizons that the policy has no more, as ``penchant_forget`` takes them."""
    return _pack([_suffix(*name) for name in _set_names(horizons)])


def read_ends(ends: Mapping[str, int]) -> bytes:
    """Up to where each log was read, as ``penchant_switch`` takes it."""
    return _pack(ends)


def update_arguments(
    updates: Sequence[ProfileUpdate], half_lives: Mapping[str, int]
) -> tuple[str, bytes, bytes, bytes]:
    """Updates of one log as arguments of ``penchant_apply``.

    The log, the updates, the hashes of all event ids, the hashes of all items. The updates are one flat array, each
    behind its length, because Lua would spend a tenth of the whole call on making small tables.
    """
    ids = [xxh3_64_digest(o.event_id.encode()) for update in updates for o in update.observations]
    items = [_item_hash(o.target) for update in updates for o in update.observations]
    places = {name: place for place, name in enumerate(_set_names(half_lives), start=1)}
    flat: list[object] = []
    for update in updates:
        parts = _parts(update, places)
        flat.append(len(parts))
        flat += parts
    return updates[0].log, _pack(flat), b"".join(ids), b"".join(items)


def _parts(update: ProfileUpdate, places: Mapping[_SetName, int]) -> list[object]:
    """Its numbers, its sets and its evidence.

    A set is its place in the configuration, the number of its members, these, and their scores; no members: those of
    the set before, which another horizon often shares.
    """
    sets = [(name, scores) for name, scores in update.sets.items() if scores]
    parts: list[object] = [
        len(update.observations),
        update.observations[0].offset,
        update.observations[-1].offset,
        update.newest,
        update.events,
        update.rules_version,
        _hours(update.observations),
        [place + 1 for place in update.capped] if update.capped else False,
        len(sets),
        len(update.evidence),
    ]
    before: list[str] = []
    for name, scores in sets:
        members = list(scores)
        own = [] if members == before else members
        parts += (places[name], len(own), *own, *scores.values())
        before = members
    for interest, pieces in update.evidence.items():
        parts += (interest, "\n".join([evidence_line(piece) for piece in pieces]))
    return parts


def _set_names(horizons: Iterable[str]) -> list[_SetName]:
    """Every set that a profile may have, in the order in which the configuration has them."""
    return [(stance, horizon) for stance in (Stance.LIKE, Stance.DISLIKE) for horizon in horizons]


def _suffix(stance: Stance, horizon: str) -> str:
    return f":{stance}:{horizon}"


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


def parse_reply(update: ProfileUpdate, reply: Any) -> Applied | Conflict:
    """The reply of ``penchant_apply`` for one update.

    The number of interests evicted; with changes that and the new scores, packed; where nothing was written, an array.
    """
    if isinstance(reply, int):
        return Applied(user=update.user, newest=update.newest, events=update.events, evicted=reply)
    if isinstance(reply, bytes):
        evicted, scores = _unpack(reply)
        changes = list(_changes(update, scores))
        return Applied(user=update.user, newest=update.newest, events=update.events, evicted=evicted, changes=changes)
    position, repeated, version, fields, capped = reply
    ids = [o.event_id for o in update.observations]
    return Conflict(
        user=update.user,
        position=position,
        duplicates=frozenset(ids[index - 1] for index in repeated),
        capped=frozenset(ids[index - 1] for index in capped),
        rules=parse_rules(version, dict(zip(map(text, fields[::2]), map(text, fields[1::2]), strict=True))),
    )


def _changes(update: ProfileUpdate, scores: Iterable[int]) -> Iterator[Change]:
    names = [(interest, *key) for key, interests in update.sets.items() for interest in interests]
    for (interest, stance, horizon), score in zip(names, scores, strict=True):
        yield Change(interest, stance, horizon, score)


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
