"""Which concept a text is about: the encoder's view of it and the names that occur in it, weighed by a trained head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.embedded.linear import Array
from inference.lexicon import Hit, Lexicon, Source
from inference.taxonomy import Taxonomy

LEXICON_FEATURES = 7
DEFAULT_TRUST = {Source.TAXONOMY: 0.6, Source.WORD: 0.5, Source.NAME: 0.6}
_COLUMN = {Source.TAXONOMY: 0, Source.WORD: 5, Source.NAME: 6}


@dataclass(frozen=True)
class ConceptHead:
    """Scores of all concepts for texts.

    ``weights`` (concepts, dimensions) and ``bias`` read the centred encoder vector, ``names`` (concepts, dimensions)
    are the centred vectors of the concepts' names, ``lexicon`` weighs what names occur in the text, ``trust`` says how
    often a name that occurs is meant.
    """

    weights: Array
    bias: Array
    names: Array
    center: Array
    lexicon: Array
    trust: Mapping[str, float]

    def centered(self, vectors: Array) -> Array:
        """Encoder vectors without what all texts have in common, at unit length."""
        return unit(vectors - self.center)

    def scores(self, vectors: Array, lexicon: Array) -> Array:
        """(texts, dimensions) and (texts, concepts, features) to (texts, concepts): higher is likelier."""
        seen = self.centered(vectors)
        similar = seen @ self.names.T
        logits: Array = seen @ self.weights.T + self.bias + self.lexicon[0] * similar + lexicon @ self.lexicon[1:]
        return logits


def unit(vectors: Array) -> Array:
    """Rows at length 1."""
    result: Array = vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)
    return result


class LexiconFeatures:
    """What the concept names that occur in a text say about each concept."""

    def __init__(self, taxonomy: Taxonomy, lexicon: Lexicon, trust: Mapping[str, float]) -> None:
        self._lexicon = lexicon
        self._trust = trust
        self._size = len(taxonomy.concepts)
        index = {c.id: i for i, c in enumerate(taxonomy.concepts)}
        self._lines = [[index[a.id] for a in taxonomy.ancestors(c)] for c in taxonomy.concepts]
        top = [index[taxonomy.tier1(c).id] for c in taxonomy.concepts]
        self._branch = {t: np.flatnonzero(np.asarray(top) == t) for t in set(top)}
        self._top = top
        children: dict[int, list[int]] = {}
        for concept in taxonomy.concepts:
            if concept.parent in index:
                children.setdefault(index[concept.parent or ""], []).append(index[concept.id])
        self._children = children

    def of(self, text: str) -> Array:
        """(concepts, features) of a text.

        In this order: named by the taxonomy, named by the longest name, an ancestor of what is named, a child of it, in
        its branch, spoken for by an everyday word, spoken for by a well-known name.
        """
        hits = self._lexicon.hits(text)
        features = np.zeros((self._size, LEXICON_FEATURES), np.float32)
        for hit in hits:
            for at, source in hit.concepts.items():
                trust = self._trust.get(f"{hit.word}:{at}", DEFAULT_TRUST[source]) / len(hit.concepts) ** 0.5
                column = _COLUMN[source]
                features[at, column] = 1 - (1 - features[at, column]) * (1 - trust)
                lines, children = self._lines[at], self._children.get(at, [])
                features[lines, 2] = np.maximum(features[lines, 2], trust)
                features[children, 3] = np.maximum(features[children, 3], trust)
                features[self._branch[self._top[at]], 4] += trust / len(hits)
        if hits:
            for at in max(hits, key=_length).concepts:
                features[at, 1] = 1.0
        return features

    def matrix(self, texts: Sequence[str]) -> Array:
        """(texts, concepts, features)."""
        return (
            np.stack([self.of(t) for t in texts]) if texts else np.zeros((0, self._size, LEXICON_FEATURES), np.float32)
        )


def _length(hit: Hit) -> int:
    return (hit.end - hit.start) * (1 if hit.word.isascii() else 3)
