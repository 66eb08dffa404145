"""Two profiles of one user side by side: whether they know the same events, and how far their weights are apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from .decay import weight_at

LEAST_WEIGHT = 1e-8
"""What weighs less at the newest event does not count: ten times what is forgotten, and when that goes is chance."""

IDENTICAL = 1e-6
"""Profiles whose weights differ by no more than this share are the same: whole microseconds cost less."""

SetName = tuple[str, str]
"""Stance (like, dislike) and horizon."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A profile as it was at one moment. ``newest`` is in epoch microseconds, -1 without events.

    ``positions`` is the last offset applied of each log; ``run`` who may write to it where it is a copy.
    """

    positions: Mapping[str, int]
    newest: int
    rules: Mapping[str, str]
    sets: Mapping[SetName, Mapping[str, float]]
    run: str | None = None


class Standing(StrEnum):
    """What a copy knows, measured by the live profile. Only where it is EVEN do weights tell a difference."""

    EVEN = "even"
    BEHIND = "behind"
    AHEAD = "ahead"
    RULES = "rules"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a copy is from its live profile, at the newest event of both.

    ``share`` is the largest difference of two weights as a share of the larger one (1 where one is not there), found
    at ``interest`` in the set ``where``. ``only_live`` and ``only_copy`` count interests that the other lacks.
    """

    share: float = 0.0
    interest: str | None = None
    where: SetName | None = None
    live: float = 0.0
    copy: float = 0.0
    only_live: int = 0
    only_copy: int = 0

    @property
    def identical(self) -> bool:
        """Whether the two are the same but for rounding."""
        return self.share <= IDENTICAL


def standing(live: Snapshot, copy: Snapshot, run: str, ends: Mapping[str, int], done: Mapping[str, int]) -> Standing:
    """Where the copy of this ``run`` stands.

    ``ends`` is the offset up to which the copy's writer has read each log, ``done`` the same of the live writer: an
    event that one of them has read and rejected is not waited for.
    """
    if copy.run != run:
        return Standing.GONE
    if copy.rules != live.rules:
        return Standing.RULES
    if _knows_more(live, copy, ends):
        return Standing.BEHIND
    return Standing.AHEAD if _knows_more(copy, live, done) else Standing.EVEN


def _knows_more(one: Snapshot, other: Snapshot, read: Mapping[str, int]) -> bool:
    return any(
        position > other.positions.get(log, -1) and position >= read.get(log, 0)
        for log, position in one.positions.items()
    )


def difference(live: Snapshot, copy: Snapshot, half_lives: Mapping[str, int]) -> Difference:
    """The largest difference between the weights of two profiles. ``half_lives`` are microseconds by horizon."""
    found = Difference()
    only_live = only_copy = 0
    for where, interest, ours, theirs in _pairs(live, copy, half_lives):
        only_live += theirs == 0.0
        only_copy += ours == 0.0
        share = abs(ours - theirs) / max(ours, theirs)
        if share > found.share:
            found = Difference(share, interest, where, ours, theirs)
    return Difference(found.share, found.interest, found.where, found.live, found.copy, only_live, only_copy)


def _pairs(
    live: Snapshot, copy: Snapshot, half_lives: Mapping[str, int]
) -> Iterator[tuple[SetName, str, float, float]]:
    at = max(live.newest, copy.newest)
    for where in sorted({*live.sets, *copy.sets}):
        ours, theirs = live.sets.get(where, {}), copy.sets.get(where, {})
        for interest in sorted({*ours, *theirs}):
            a, b = (
                weight_at(scores[interest], at, half_lives[where[1]]) if interest in scores else 0.0
                for scores in (ours, theirs)
            )
            if max(a, b) >= LEAST_WEIGHT:
                yield where, interest, a, b
