"""Fitting of each part of the head on gold rows: numpy only, every step deterministic."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.embedded.candidates import SLOTS, candidates, nothing
from inference.embedded.concepts import DEFAULT_TRUST, LEXICON_FEATURES, ConceptHead, LexiconFeatures, unit
from inference.embedded.encoder import DIMENSIONS, Encoder, encode_with_closings
from inference.embedded.entities import EntityHead, padded
from inference.embedded.head import STANCES, Calibration, Head, interest_features, text_features
from inference.embedded.linear import Array, adam, fit_softmax, softmax
from inference.evaluation.gold import lines
from inference.lexicon import Lexicon, lexicon_rows
from inference.preparation import prepare, shadow
from inference.taxonomy import Taxonomy

_ANY_OF = (1.0, 0.7, 0.5, 0.4)
_ENTITY_BAR = -1.0
FIRST_SCALARS = (20.0, 3.0, 1.0, 1.0, 0.5, 1.0, 3.0, 3.0)
"""What names' vectors and each feature of the lexicon weigh before anything is learnt."""

Row = Mapping[str, Any]


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """The rows of gold files, texts prepared as the reader will see them."""
    rows = [json.loads(line) for path in paths for _, line in lines(path)]
    return [row | {"text": prepare(row["text"]).text} for row in rows]


class Trainer:
    """Fits the parts of a head, one after the other."""

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder) -> None:
        self.taxonomy, self.encoder, self.lexicon = taxonomy, encoder, Lexicon(taxonomy)
        self.index = {c.id: i for i, c in enumerate(taxonomy.concepts)}
        size = len(taxonomy.concepts)
        self.lineage = np.eye(size, dtype=np.float32)
        for concept in taxonomy.concepts:
            for ancestor in taxonomy.ancestors(concept):
                self.lineage[self.index[concept.id], self.index[ancestor.id]] = 1.0

    def name_vectors(self) -> Array:
        """The mean vector of each concept's names and of the words and names that speak for it, centred."""
        named = [
            (n, i, 1.0)
            for i, c in enumerate(self.taxonomy.concepts)
            for n in dict.fromkeys((c.name, c.name_zh, *c.aliases))
        ]
        spoken = [
            (word, self.index[self.taxonomy.by_slug[slug].id], weight)
            for slug, names, everyday in lexicon_rows()
            for words, weight in ((everyday, 0.5), (names, 0.2))
            for word in words
        ]
        texts, places, weights = zip(*named, *spoken, strict=True)
        vectors = self.encoder.encode(texts)
        sums = np.zeros((len(self.taxonomy.concepts), DIMENSIONS), np.float32)
        shares = np.asarray(weights, np.float32)[:, None]
        np.add.at(sums, list(places), shares * unit(vectors - vectors[: len(named)].mean(axis=0)))
        return unit(sums)

    def trust(self, rows: Sequence[Row]) -> dict[str, float]:
        """How often a word of the lexicon that occurs speaks for its concept, smoothed."""
        right: dict[str, float] = {}
        times: dict[str, int] = defaultdict(int)
        for row in rows:
            accepted = {self.index[c] for g in row["gold"] for c in g["concepts"]}
            for hit in self.lexicon.hits(row["text"]):
                for at, source in hit.concepts.items():
                    word = f"{hit.word}:{at}"
                    right[word] = right.get(word, 3 * DEFAULT_TRUST[source]) + (at in accepted)
                    times[word] += 1
        return {word: hits / (times[word] + 3) for word, hits in right.items()}

    def concept_targets(self, rows: Sequence[Row]) -> Array:
        """(rows, concepts): what each accepted concept of a row is worth, the best one most."""
        targets = np.zeros((len(rows), len(self.index)), np.float32)
        for target, row in zip(targets, rows, strict=True):
            for gold in row["gold"]:
                for rank, concept in enumerate(gold["concepts"]):
                    target[self.index[concept]] = _ANY_OF[min(rank, len(_ANY_OF) - 1)]
        return targets

    def stance_targets(self, rows: Sequence[Row]) -> Array:
        """(rows, stances): the share of a row's interests that has each."""
        targets = np.zeros((len(rows), len(STANCES)), np.float32)
        for target, row in zip(targets, rows, strict=True):
            for gold in row["gold"]:
                target[STANCES.index(gold["stance"])] += 1 / len(row["gold"])
        return targets

    def unseen_lexicon(self, rows: Sequence[Row]) -> Array:
        """(rows, concepts, features): what occurs in each row, trusted as the other half of the rows has it."""
        lexicon = np.zeros((len(rows), len(self.index), LEXICON_FEATURES), np.float32)
        for fold in (0, 1):
            others = LexiconFeatures(self.taxonomy, self.lexicon, self.trust(rows[1 - fold :: 2]))
            lexicon[fold::2] = others.matrix([r["text"] for r in rows[fold::2]])
        return lexicon

    def concepts(self, rows: Sequence[Row], vectors: Array, names: Array, steps: int = 150) -> ConceptHead:
        """Fit the concept head on rows with interests; any accepted concept counts, the best one most."""
        center = vectors.mean(axis=0)
        seen = unit(vectors - center)
        targets, lexicon = self.concept_targets(rows), self.unseen_lexicon(rows)
        weights = np.zeros((len(self.index), DIMENSIONS), np.float32)
        bias = np.zeros(len(self.index), np.float32)
        scalars = np.array(FIRST_SCALARS, np.float32)
        moments = [(np.zeros_like(p), np.zeros_like(p)) for p in (weights, bias, scalars)]
        similar = seen @ names.T
        for step in range(1, steps + 1):
            scores = seen @ (self.lineage @ weights).T + bias + scalars[0] * similar + lexicon @ scalars[1:]
            guess = softmax(scores)
            wanted = guess * targets
            error = (guess - wanted / (wanted.sum(axis=1, keepdims=True) + 1e-9)) / len(rows)
            gradients = (
                self.lineage.T @ (error.T @ seen) + 1e-3 * weights,
                error.sum(axis=0) + 1e-3 * bias,
                np.concatenate([[np.sum(error * similar)], np.tensordot(error, lexicon, ([0, 1], [0, 1]))]).astype(
                    np.float32
                ),
            )
            for parameter, gradient, moment in zip((weights, bias, scalars), gradients, moments, strict=True):
                adam(parameter, gradient, *moment, step, 0.02)
        return ConceptHead(self.lineage @ weights, bias, names, center, scalars, self.trust(rows))

    def entities(self, rows: Sequence[Row], steps: int = 120) -> EntityHead:
        """Fit the entity head: in each text, the accepted names against all other runs, or none against all."""
        slots: list[tuple[int, ...]] = []
        segment: list[int] = []
        right: list[bool] = []
        for at, row in enumerate(rows):
            accepted = {_folded(e) for g in row["gold"] for e in g["entities"]}
            found = candidates(row["text"], self.lexicon)
            hits = [_folded(c.text) in accepted for c in found]
            slots += [c.slots for c in found] + [nothing(row["text"]).slots]
            segment += [at] * (len(found) + 1)
            right += [*hits, not any(hits)]
        inputs, segments, hit = padded(slots), np.array(segment), np.array(right)
        starts = np.flatnonzero(np.diff(segments, prepend=-1))
        weights = np.zeros(SLOTS, np.float32)
        first, second = np.zeros_like(weights), np.zeros_like(weights)
        for step in range(1, steps + 1):
            scores = weights[inputs].sum(axis=1)
            powers = np.exp(scores - np.maximum.reduceat(scores, starts)[segments])
            guess = powers / np.add.reduceat(powers, starts)[segments]
            wanted = guess * hit
            error = (guess - wanted / (np.add.reduceat(wanted, starts)[segments] + 1e-12)) / len(rows)
            gradient = np.bincount(inputs.ravel(), np.repeat(error, inputs.shape[1]), SLOTS).astype(np.float32)
            gradient += 2e-3 * weights
            gradient[0] = 0
            adam(weights, gradient, first, second, step, 0.05)
        return EntityHead(weights, _ENTITY_BAR)

    def head(self, rows: Sequence[Row], names: Array) -> Head:
        """Fit all parts on the rows."""
        vectors, closings = encode_with_closings(self.encoder, [r["text"] for r in rows])
        with_interest = np.array([bool(r["gold"]) for r in rows])
        read = [r for r in rows if r["gold"]]
        concepts = self.concepts(read, vectors[with_interest], names)
        inputs = text_features([r["text"] for r in rows], concepts.centered(vectors), concepts.centered(closings))
        stance = fit_softmax(inputs[with_interest], self.stance_targets(read), decay=3e-4, steps=300, rate=0.05)
        two = np.eye(2, dtype=np.float32)[[int(len(r["gold"]) > 1) for r in read]]
        contrast = fit_softmax(inputs[with_interest], two, decay=3e-4, steps=200, rate=0.05)
        held_out = self._held_out_concepts(rows, vectors, names)
        lexicon = LexiconFeatures(self.taxonomy, self.lexicon, concepts.trust).matrix([r["text"] for r in rows])
        interest = fit_softmax(
            interest_features(inputs, held_out, lexicon),
            np.eye(2, dtype=np.float32)[with_interest.astype(int)],
            decay=1e-3,
        )
        return Head(
            "0",
            self.encoder.numbers,
            concepts,
            stance,
            interest,
            contrast,
            self.entities(read),
            0.5,
            0.5,
            Calibration(),
            Calibration(),
        )

    def _held_out_concepts(self, rows: Sequence[Row], vectors: Array, names: Array, folds: int = 3) -> Array:
        """Concept probabilities of each row by a head that has not seen it: what certainty looks like on new texts."""
        result = np.zeros((len(rows), len(self.index)), np.float32)
        for fold in range(folds):
            known = [i for i, row in enumerate(rows) if i % folds != fold and row["gold"]]
            head = self.concepts([rows[i] for i in known], vectors[known], names, steps=60)
            out = slice(fold, None, folds)
            features = LexiconFeatures(self.taxonomy, self.lexicon, head.trust).matrix([r["text"] for r in rows[out]])
            result[out] = softmax(head.scores(vectors[out], features))
        return result


def _folded(name: str) -> str:
    return " ".join(shadow(name).split())
