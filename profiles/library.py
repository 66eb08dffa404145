"""The typed face of ``library.lua``: what its functions are called, what goes in, what comes out."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec
from xxhash import xxh3_64_digest

from .model import Applied, Change, Conflict, Evidence, ProfileUpdate, Rules
from .policy import Policy

APPLY = "penchant_apply"
FORGET = "penchant_forget"
RULE = "penchant_rule"
RETRACT = "penchant_retract"
START_COPY = "penchant_start_copy"
CLAIM_COPY = "penchant_claim_copy"
DROP_COPY = "penchant_drop_copy"
SWITCH = "penchant_switch"

_pack = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode
_RULINGS = {"mute": "muted", "unmute": "unmuted", "pin": "pinned", "unpin": "unpinned"}


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
        "window": policy.duplicate_window,
        "grace": policy.expiry_grace_seconds,
        "changes": changes,
    }
    return _pack(settings if run is None else {**settings, "run": run})


def read_ends(ends: Mapping[str, int]) -> bytes:
    """Up to where each log was read, as ``penchant_switch`` takes it."""
    return _pack(ends)


def update_arguments(updates: Sequence[ProfileUpdate], half_lives: Mapping[str, int]) -> tuple[str, bytes, bytes]:
    """Updates of one log as arguments of ``penchant_apply``: the log, one array a user, the hashes of all event ids."""
    ids = [xxh3_64_digest(event_id.encode()) for update in updates for event_id in update.event_ids]
    arrays = _pack(
        [
            (
                update.first,
                update.last,
                update.newest,
                update.events,
                update.rules_version,
                len(update.event_ids),
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
    return updates[0].log, arrays, b"".join(ids)


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
    _, position, repeated, version, fields = reply
    return Conflict(
        user=update.user,
        position=position,
        duplicates=frozenset(update.event_ids[index - 1] for index in repeated),
        rules=parse_rules(version, dict(zip(map(text, fields[::2]), map(text, fields[1::2]), strict=True))),
    )


def _changes(update: ProfileUpdate, scores: Iterator[object]) -> Iterator[Change]:
    for (stance, horizon), interests in update.sets.items():
        for interest in interests:
            yield Change(interest, stance, horizon, int(text(next(scores))))


def text(value: object) -> str:
    """A reply's string, which arrives as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def parse_rules(version: int, fields: Mapping[str, str]) -> Rules:
    """The hash ``:rules`` as a value: ``mute:INTEREST`` and its like, ``retract:REF``, ``forgotten_before``."""
    rulings: dict[str, dict[str, int]] = {name: {} for name in _RULINGS.values()}
    retracted = {}
    for name, value in fields.items():
        kind, _, subject = name.partition(":")
        if kind in _RULINGS:
            rulings[_RULINGS[kind]][subject] = int(value)
        elif kind == "retract":
            retracted[subject] = int(value)
    return Rules(
        version=version,
        forgotten_before=int(fields.get("forgotten_before", -1)),
        retracted=retracted,
        **rulings,
    )
