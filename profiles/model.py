"""The values that profiles are made of. Pure data: no clock, no network.

Instants are integer microseconds since the Unix epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Stance(StrEnum):
    """What a person feels about an interest."""

    LIKE = "like"
    DISLIKE = "dislike"
    NEUTRAL = "neutral"

    __hash__ = str.__hash__  # Enum's own is a call of Python, for every look into a dictionary


class Signal(NamedTuple):
    """One interest shown by one event: how strongly, and what in the event shows it.

    ``strength`` is the weight the signal has at the moment of its event (a plain click weighs 1).
    ``source`` is the text span or item that shows it, ``reader`` the model and prompt that read it.
    """

    interest: str
    stance: Stance
    strength: float
    source: str = ""
    reader: str = ""


class Observation(NamedTuple):
    """One event of one user, read: its place in the log, its time and the signals it holds.

    ``target`` is the item the event is about, if any; it is what an item can be retracted by. ``appended_at`` is when
    the log took the event in: the clock of the influence caps. A tuple, because one is made for every event.
    """

    user: str
    event_id: str
    offset: int
    at: int
    signals: tuple[Signal, ...]
    target: str | None = None
    appended_at: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an interest is in a profile: one signal of one event, as stored under ``:why``."""

    event: str
    at: int
    weight: float
    stance: Stance
    source: str = ""
    reader: str = ""
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a user has ruled: pins, mutes, retractions, and the instant before which all is forgotten.

    ``version`` counts the changes; an update planned against an older version is refused by the store.
    Each mapping holds the newest instant of its ruling; the newer of a ruling and its opposite wins.
    """

    version: int = 0
    forgotten_before: int = -1
    muted: Mapping[str, int] = field(default_factory=dict)
    unmuted: Mapping[str, int] = field(default_factory=dict)
    pinned: Mapping[str, int] = field(default_factory=dict)
    unpinned: Mapping[str, int] = field(default_factory=dict)
    retracted: Mapping[str, int] = field(default_factory=dict)

    def is_muted(self, interest: str) -> bool:
        """Whether the interest is muted now: its newest mute is not followed by an unmute."""
        return interest in self.muted and self.muted[interest] >= self.unmuted.get(interest, -1)

    def admits(self, observation: Observation) -> bool:
        """Whether the event may count at all: neither forgotten nor retracted.

        An item's retraction takes what happened up to it, so that it commutes with late events and with a forget.
        """
        return (
            observation.at > self.forgotten_before
            and observation.event_id not in self.retracted
            and observation.at > self.retracted.get(f"item:{observation.target}", -1)
        )

    def admits_interest(self, interest: str, at: int) -> bool:
        """Whether a signal of that instant may count for the interest.

        A mute takes away everything, earlier and later; an unmute lets in what happens after it.
        """
        return self.remembers(interest, at) and not self.is_muted(interest)

    def remembers(self, interest: str, at: int) -> bool:
        """Whether evidence of that instant is kept: an unmute that is still on its way may bring it back."""
        return at > max(self.muted.get(interest, -1), self.unmuted.get(interest, -1) if interest in self.muted else -1)


NO_RULES = Rules()


class ProfileUpdate(NamedTuple):
    """What one batch of one partition changes in one user's profile: the unit the store applies.

    ``observations`` are what it is made of, in the order of their partition, which ``log`` names; their ids are for
    recognising a producer's duplicates. ``capped`` are the places among them, from 0, of those beyond an influence
    cap; ``events`` is how many count. ``sets`` maps (stance, horizon) to interests and the effective time of their
    summed signals.
    """

    user: str
    log: str
    observations: Sequence[Observation]
    capped: Sequence[int]
    newest: int
    events: int
    rules_version: int
    sets: Mapping[tuple[Stance, str], Mapping[str, int]]
    evidence: Mapping[str, Sequence[Evidence]]


@dataclass(frozen=True, slots=True)
class Change:
    """The new effective time of one interest after an update."""

    interest: str
    stance: Stance
    horizon: str
    effective_time: int


class Applied(NamedTuple):
    """An update that is now in the profile. ``changes`` is empty unless they were asked for."""

    user: str
    newest: int
    events: int
    evicted: int = 0
    changes: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """An update the store refused, unwritten, because the profile knows more than its plan did.

    ``position`` is the last offset applied from that log, ``duplicates`` the event ids seen before, ``capped`` those
    beyond an influence cap (known once there are no duplicates left).
    """

    user: str
    position: int
    duplicates: frozenset[str]
    capped: frozenset[str]
    rules: Rules


class RankedInterest(NamedTuple):
    """One interest as a reader sees it: its weight at the instant asked for. A tuple, for a page shows many."""

    interest: str
    weight: float
    stance: Stance = Stance.LIKE
    pinned: bool = False
