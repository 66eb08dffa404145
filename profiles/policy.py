"""What an action is worth, how fast interests fade, and how large a profile may grow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Stance

MICROSECONDS = 1_000_000
FULL_DWELL_MS = 30_000


@dataclass(frozen=True, slots=True)
class Horizon:
    """One time scale of a profile: its name in the Redis key and its half-life in microseconds."""

    name: str
    half_life: int


NOW = Horizon("now", 6 * 3600 * MICROSECONDS)
LASTING = Horizon("lasting", 30 * 24 * 3600 * MICROSECONDS)


@dataclass(frozen=True, slots=True)
class ActionWeight:
    """The strength of an action's signal on each interest of its item, and its direction."""

    strength: float
    stance: Stance = Stance.LIKE


ACTIONS: Mapping[str, ActionWeight] = {
    "view": ActionWeight(0.2),
    "click": ActionWeight(1.0),
    "dwell": ActionWeight(1.0),
    "like": ActionWeight(2.0),
    "share": ActionWeight(3.0),
    "save": ActionWeight(2.5),
    "cart": ActionWeight(3.0),
    "purchase": ActionWeight(5.0),
    "subscribe": ActionWeight(4.0),
    "complete": ActionWeight(2.0),
    "dislike": ActionWeight(2.0, Stance.DISLIKE),
    "hide": ActionWeight(1.5, Stance.DISLIKE),
    "return": ActionWeight(3.0, Stance.DISLIKE),
}
"""Dwell counts in proportion to its time, whole from 30 seconds on. README.md shows this table."""

COMMENT_STRENGTH = 2.0
"""A person who writes says more than one who clicks; times the confidence of the reading."""

NEUTRAL_SHARE = 0.3
"""Asking or talking about a thing without praise or blame is attention: this share of a like."""


def action_weight(action: str, dwell_ms: float | None = None) -> ActionWeight:
    """The weight of an action; ``dwell`` is scaled by its time in milliseconds (none given: half)."""
    weight = ACTIONS[action]
    if action != "dwell":
        return weight
    share = 0.5 if dwell_ms is None else min(max(dwell_ms, 0.0) / FULL_DWELL_MS, 1.0)
    return ActionWeight(weight.strength * share, weight.stance)


@dataclass(frozen=True, slots=True)
class Policy:
    """How profiles are kept. Sizes are per user and set; horizons are one to four, shortest first.

    ``evidence_age`` (microseconds before the user's newest event) is how long evidence is kept; None: as long as an
    event counts on the longest horizon. It is dropped up to a thirtieth of that later, or a day.

    Influence caps, 0 for none: of the events that the log takes in from one user within an hour, those beyond
    ``events_per_user_hour`` carry no signal; and beyond the first ``events_per_item_hour``, each item has no more
    than that many which do. Each log (a topic partition) counts for itself, in its order and by its own clock, so
    that every replay comes to the same. The first few are free of the count by item because it costs a command.
    """

    horizons: tuple[Horizon, ...] = (NOW, LASTING)
    max_interests: int = 500
    evidence_per_interest: int = 5
    evidence_age: int | None = None
    duplicate_window: int = 4096
    events_per_user_hour: int = 5000
    events_per_item_hour: int = 100
    expiry_grace_seconds: int = 7 * 24 * 3600
    half_lives: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse a policy that could not be stored."""
        if not 1 <= len(self.horizons) <= 4:  # noqa: PLR2004 - the limit the Redis format names
            msg = f"a profile has one to four horizons, not {len(self.horizons)}: change PENCHANT_HORIZONS"
            raise ValueError(msg)
        object.__setattr__(self, "half_lives", {h.name: h.half_life for h in self.horizons})
