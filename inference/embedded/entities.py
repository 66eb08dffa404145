"""Which name a text is about: every run of words that could be a name is scored, the best wins, or none does.

Quotation marks, capitals, Latin words among Chinese ones, the segmenter's parts of speech, the words around a candidate
and some well-known names decide, weighed by a trained head. A candidate is a slice of the text: it cannot be invented.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.embedded.candidates import Candidate, candidates, nothing
from inference.embedded.linear import Array
from inference.lexicon import Lexicon

MAX_FEATURES = 40


@dataclass(frozen=True)
class EntityHead:
    """One weight for each feature slot; ``bar`` is what the best candidate needs to beat having none."""

    weights: Array
    bar: float = 0.0

    def score(self, candidates: Sequence[Candidate]) -> Array:
        """One score a candidate."""
        if not candidates:
            return np.zeros(0, np.float32)
        scores: Array = self.weights[padded([c.slots for c in candidates])].sum(axis=1)
        return scores

    def best(
        self, text: str, lexicon: Lexicon, spans: Sequence[tuple[int, int]]
    ) -> list[tuple[Candidate, float] | None]:
        """The best name within each span of the text, with its probability against the others and against none."""
        found = candidates(text, lexicon)
        scores = self.score(found)
        none = float(self.score([nothing(text)])[0])
        results: list[tuple[Candidate, float] | None] = []
        for start, end in spans:
            inside = [i for i, c in enumerate(found) if start <= c.start and c.end <= end]
            if not inside:
                results.append(None)
                continue
            local = scores[inside]
            winner = int(local.argmax())
            ahead = float(local[winner]) - none - self.bar
            share = np.exp(local - local.max())
            chance = float(share[winner] / (share.sum() + np.exp(none - local.max())))
            results.append((found[inside[winner]], chance) if ahead > 0 else None)
        return results


def padded(slots: Sequence[tuple[int, ...]]) -> npt.NDArray[np.int64]:
    """Slots as a rectangle; slot 0 pads and weighs nothing."""
    rows = np.zeros((len(slots), MAX_FEATURES), np.int64)
    for row, values in zip(rows, slots, strict=True):
        row[: len(values)] = values[:MAX_FEATURES]
    return rows
