"""Which concept a text is about: the encoder's view of it and the names that occur in it, weighed by a trained head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.embedded.linear import Array
from inference.preparation import shadow
from inference.taxonomy import Mention, Taxonomy

LEXICON_FEATURES = 5
_DEFAULT_TRUST = 0.6


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

    def __init__(self, taxonomy: Taxonomy, trust: Mapping[str, float]) -> None:
        self._taxonomy = taxonomy
        self._trust = trust
        index = {c.id: i for i, c in enumerate(taxonomy.concepts)}
        self._index = index
        self._lines = {c.id: [index[a.id] for a in taxonomy.ancestors(c)] for c in taxonomy.concepts}
        top = [index[taxonomy.tier1(c).id] for c in taxonomy.concepts]
        self._branch = {t: np.flatnonzero(np.asarray(top) == t) for t in set(top)}
        self._top = top
        children: dict[int, list[int]] = {}
        for concept in taxonomy.concepts:
            if concept.parent in index:
                children.setdefault(index[concept.parent or ""], []).append(index[concept.id])
        self._children = children

    def of(self, text: str) -> tuple[Array, list[Mention]]:
        """(concepts, features) and the mentions: named, named by the longest name, an ancestor or child of a named
        concept, in the branch of a named one."""
        mentions = self._taxonomy.mentions(text)
        features = np.zeros((len(self._index), LEXICON_FEATURES), np.float32)
        if not mentions:
            return features, mentions
        longest = max(mentions, key=lambda m: (m.end - m.start) * (1 if text[m.start].isascii() else 3))
        for mention in mentions:
            at = self._index[mention.concept.id]
            trust = self._trust.get(shadow(text[mention.start : mention.end]), _DEFAULT_TRUST)
            features[at, 0] = max(features[at, 0], trust)
            for ancestor in self._lines[mention.concept.id]:
                features[ancestor, 2] = max(features[ancestor, 2], trust)
            for child in self._children.get(at, ()):
                features[child, 3] = max(features[child, 3], trust)
            features[self._branch[self._top[at]], 4] += trust / len(mentions)
        features[self._index[longest.concept.id], 1] = 1.0
        return features, mentions

    def matrix(self, texts: Sequence[str]) -> Array:
        """(texts, concepts, features)."""
        return np.stack([self.of(t)[0] for t in texts]) if texts else np.zeros((0, len(self._index), LEXICON_FEATURES), np.float32)
