"""From what was read to signals: where a click and a comment become the same value. Pure."""

import unicodedata
from collections.abc import Iterable

from inference.extraction import Interest
from profiles.model import Signal, Stance
from profiles.planning import Signals
from profiles.policy import COMMENT_STRENGTH, ActionWeight

MAX_ENTITY_CHARACTERS = 48


def entity_interest(concept: str, entity: str) -> str:
    """The interest in one named thing: its concept, a colon, its name in one spelling."""
    name = " ".join(unicodedata.normalize("NFKC", entity).casefold().split())
    return f"{concept}:{name[:MAX_ENTITY_CHARACTERS].rstrip()}"


def comment_signals(interests: Iterable[Interest], text: str, reader: str) -> tuple[Signal, ...]:
    """The signals of a text its user wrote: the stance is the writer's."""
    return _signals(interests, COMMENT_STRENGTH, None, text, reader)


def item_signals(interests: Iterable[Interest], action: ActionWeight, source: str, reader: str) -> Signals:
    """The signals of an action on an item: the stance is the action's, whatever the item's text praises."""
    return Signals(_signals(interests, action.strength, action.stance, source, reader))


def _signals(
    interests: Iterable[Interest], strength: float, stance: Stance | None, source: str, reader: str
) -> tuple[Signal, ...]:
    """One signal for each concept and each named entity; a name repeated in one event counts once, at its strongest."""
    strongest: dict[tuple[str, Stance], Signal] = {}
    for interest in interests:
        if interest.confidence * strength <= 0:
            continue
        names = [interest.concept]
        if interest.entity:
            names.append(entity_interest(interest.concept, interest.entity))
        for name in names:
            signal = Signal(name, stance or interest.stance, strength * interest.confidence, source, reader)
            known = strongest.get((name, signal.stance))
            if known is None or known.strength < signal.strength:
                strongest[name, signal.stance] = signal
    return tuple(strongest.values())
