"""Which prediction answers which gold interest, and in what it is right. Pure."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from inference.evaluation.gold import GoldInterest
from inference.extraction import Interest
from inference.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Verdict:
    """In what one prediction agrees with one gold interest.

    ``exact``: its concept is the best accepted one; ``concept``: any accepted one; ``tier1``: one of the same tier-1
    branch; ``entity``: an accepted name in another spelling of width, case or space, or none on both sides; ``stance``.
    """

    exact: bool
    concept: bool
    tier1: bool
    entity: bool
    stance: bool

    @property
    def all_three(self) -> bool:
        """Concept, entity and stance are right."""
        return self.concept and self.entity and self.stance

    @property
    def agreement(self) -> tuple[int, bool]:
        """How much agrees: concept weighs most, entity and stance the same; an exact concept settles ties."""
        return 4 * self.concept + 2 * self.entity + 2 * self.stance + self.tier1, self.exact


def judge(prediction: Interest, gold: GoldInterest, taxonomy: Taxonomy) -> Verdict:
    """Compare one prediction with one gold interest."""
    branches = {tier1_slug(c, taxonomy) for c in gold.concepts}
    names = {spelled_alike(e) for e in gold.entities}
    named = spelled_alike(prediction.entity) in names if prediction.entity else not names
    return Verdict(
        exact=prediction.concept_id == gold.concepts[0],
        concept=prediction.concept_id in gold.concepts,
        tier1=tier1_slug(prediction.concept_id, taxonomy) in branches,
        entity=named,
        stance=prediction.stance == gold.stance,
    )


def match(
    predictions: Sequence[Interest], gold: Sequence[GoldInterest], taxonomy: Taxonomy
) -> list[tuple[int, int, Verdict]]:
    """Pair predictions with gold interests, the best agreement first, each used once: (prediction, gold, verdict).

    Pairs that agree in nothing are paired too: both stand for the same text. What is left over on either side is
    invented or missed.
    """
    verdicts = [(i, j, judge(p, g, taxonomy)) for i, p in enumerate(predictions) for j, g in enumerate(gold)]
    verdicts.sort(key=lambda v: v[2].agreement, reverse=True)
    pairs: list[tuple[int, int, Verdict]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for i, j, verdict in verdicts:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            pairs.append((i, j, verdict))
    return pairs


def spelled_alike(name: str) -> str:
    """A name without differences of width, case and space."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def tier1_slug(concept_id: str, taxonomy: Taxonomy) -> str:
    """The slug of the branch a concept belongs to; ``unknown`` where the taxonomy has no such node."""
    concept = taxonomy.by_id.get(concept_id)
    return taxonomy.tier1(concept).slug if concept else "unknown"
