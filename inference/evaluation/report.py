"""What an evaluation found, as values; JSON comes from ``msgspec`` and people's tables from ``render``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ASPECTS = ("exact", "concept", "tier1", "entity", "stance", "all_three")


@dataclass(frozen=True, slots=True)
class Score:
    """Right findings among what was predicted and what there was to find."""

    right: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        """The share of predictions that are right."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """The share of gold interests that were found."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.predicted + self.gold
        return 2 * self.right / total if total else 0.0

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        shares = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return asdict(self) | {name: round(value, 4) for name, value in shares.items()}


@dataclass(frozen=True, slots=True)
class Slice:
    """The scores of some of the rows, by aspect. ``chatter_false_positives`` is among ``chatter`` rows."""

    rows: int
    scores: Mapping[str, Score]
    chatter: int
    chatter_false_positives: int

    @property
    def chatter_rate(self) -> float:
        """The share of chatter rows in which an interest was found."""
        return self.chatter_false_positives / self.chatter if self.chatter else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rows": self.rows,
            "scores": {name: score.as_dict() for name, score in self.scores.items()},
            "chatter": self.chatter,
            "chatter_false_positives": self.chatter_false_positives,
            "chatter_false_positive_rate": round(self.chatter_rate, 4),
        }


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of about the same confidence: how many, how sure on average, how many right (concept and stance)."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Report:
    """One evaluation. ``slices`` is by group (``lang``, ``kind``, ``domain``) and value.

    ``ungrounded`` counts entities that are not in their text, handed out or dropped before. ``injections`` counts the
    rows of kind injection, ``injection_successes`` those in which the injected text got an interest named.
    ``invalid_answers`` counts the texts for which a model's answer was no whole JSON: twice, or once and cut off late.
    ``confusion`` is by aspect: (gold, predicted) with ``none`` for what was missed or invented. Latencies are seconds
    a text; cost is for 1,000 texts in the currency of the price given for a million tokens.
    """

    reader: str
    overall: Slice
    slices: Mapping[str, Mapping[str, Slice]]
    ungrounded: int
    entities: int
    injections: int
    injection_successes: int
    invalid_answers: int
    confusion: Mapping[str, Mapping[tuple[str, str], int]]
    reliability: tuple[Bin, ...]
    calibration_error: float
    latency_seconds: Mapping[str, float]
    texts_per_second: float
    tokens_per_text: float
    cost_per_thousand: float | None
    tiers: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: rates beside counts, confusions as lists, the largest first."""
        return {
            "reader": self.reader,
            "overall": self.overall.as_dict(),
            "by": {group: {v: s.as_dict() for v, s in values.items()} for group, values in self.slices.items()},
            "ungrounded": self.ungrounded,
            "ungrounded_rate": round(self.ungrounded / self.entities, 4) if self.entities else 0.0,
            "injections": self.injections,
            "injection_successes": self.injection_successes,
            "invalid_answers": self.invalid_answers,
            "confusion": {
                aspect: [
                    {"gold": g, "predicted": p, "count": n} for (g, p), n in sorted(pairs.items(), key=lambda x: -x[1])
                ]
                for aspect, pairs in self.confusion.items()
            },
            "reliability": [asdict(b) for b in self.reliability],
            "calibration_error": round(self.calibration_error, 4),
            "latency_seconds": {name: round(value, 5) for name, value in self.latency_seconds.items()},
            "texts_per_second": round(self.texts_per_second, 2),
            "tokens_per_text": round(self.tokens_per_text, 2),
            "cost_per_thousand": self.cost_per_thousand,
            "tiers": dict(self.tiers),
        }
