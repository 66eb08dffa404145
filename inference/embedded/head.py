"""The trained head of the embedded tier, as it is kept on disk, and what it says about texts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np

from inference.embedded.concepts import ConceptHead
from inference.embedded.cues import cues
from inference.embedded.entities import EntityHead
from inference.embedded.linear import Array, Softmax, hashed
from inference.embedded.weights import Numbers
from inference.preparation import shadow
from inference.preparation.words import words
from profiles.model import Stance

STANCES = (Stance.LIKE, Stance.DISLIKE, Stance.NEUTRAL)
TEXT_SLOTS = 4096
FILE = "head.npz"
_ENCODER = "encoder:"


@dataclass(frozen=True)
class Calibration:
    """How a raw probability becomes an honest one: a logistic curve, ``slope`` and ``offset`` in log odds."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, probability: float) -> float:
        """The share of findings of that probability that are right."""
        p = min(max(probability, 1e-6), 1 - 1e-6)
        return float(1 / (1 + np.exp(-(self.slope * np.log(p / (1 - p)) + self.offset))))


@dataclass(frozen=True)
class Head:
    """All trained parts. ``version`` names the training: it is part of the reader's identity.

    ``encoder`` holds the numbers that the encoder was tuned to; all other parts are for its vectors. An item takes no
    stance, so ``item_calibration`` is of the concept's probability alone; ``calibration`` is of concept and stance.
    """

    version: str
    encoder: Numbers
    concepts: ConceptHead
    stance: Softmax
    interest: Softmax
    contrast: Softmax
    entities: EntityHead
    interest_bar: float
    contrast_bar: float
    calibration: Calibration
    item_calibration: Calibration

    @staticmethod
    @cache
    def load() -> "Head":
        """The head that ships with Penchant."""
        data = files("inference").joinpath("data", "embedded", FILE).read_bytes()
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            part = {name: arrays[name].astype(np.float32) for name in arrays.files if name != "facts"}
            facts: dict[str, Any] = json.loads(str(arrays["facts"]))
        return Head(
            version=facts["version"],
            encoder={name.removeprefix(_ENCODER): part[name] for name in part if name.startswith(_ENCODER)},
            concepts=ConceptHead(
                part["concept_weights"],
                part["concept_bias"],
                part["concept_names"],
                part["center"],
                part["concept_lexicon"],
                facts["trust"],
            ),
            stance=Softmax(part["stance_weights"], part["stance_bias"]),
            interest=Softmax(part["interest_weights"], part["interest_bias"]),
            contrast=Softmax(part["contrast_weights"], part["contrast_bias"]),
            entities=EntityHead(part["entity_weights"], facts["entity_bar"]),
            interest_bar=facts["interest_bar"],
            contrast_bar=facts["contrast_bar"],
            calibration=Calibration(*facts["calibration"]),
            item_calibration=Calibration(*facts["item_calibration"]),
        )

    def arrays(self) -> Mapping[str, Any]:
        """What :meth:`load` reads, in half precision."""
        facts = {
            "version": self.version,
            "trust": {name: round(value, 3) for name, value in self.concepts.trust.items()},
            "entity_bar": self.entities.bar,
            "interest_bar": self.interest_bar,
            "contrast_bar": self.contrast_bar,
            "calibration": [self.calibration.slope, self.calibration.offset],
            "item_calibration": [self.item_calibration.slope, self.item_calibration.offset],
        }
        parts: dict[str, Array] = {
            "concept_weights": self.concepts.weights,
            "concept_bias": self.concepts.bias,
            "concept_names": self.concepts.names,
            "center": self.concepts.center,
            "concept_lexicon": self.concepts.lexicon,
            "stance_weights": self.stance.weights,
            "stance_bias": self.stance.bias,
            "interest_weights": self.interest.weights,
            "interest_bias": self.interest.bias,
            "contrast_weights": self.contrast.weights,
            "contrast_bias": self.contrast.bias,
            "entity_weights": self.entities.weights,
        }
        encoder = {_ENCODER + name: array for name, array in self.encoder.items()}
        return {name: array.astype(np.float16) for name, array in (parts | encoder).items()} | {
            "facts": json.dumps(facts)
        }


def text_features(texts: Sequence[str], centered: Array, closings: Array) -> Array:
    """(texts, inputs) for stance and contrast: the vectors of all and of the last clause, cues, words."""
    return np.hstack([centered, closings, np.stack([hashed(_word_features(t), TEXT_SLOTS) for t in texts])])


def interest_features(stance_inputs: Array, concept_probabilities: Array, lexicon: Array) -> Array:
    """(texts, inputs) for the interest classifier: the same, how sure the concept is, and whether one is named."""
    ranked = np.sort(concept_probabilities, axis=1)[:, ::-1]
    certainty = np.stack([ranked[:, 0], ranked[:, :3].sum(axis=1), np.log(ranked[:, 0] + 1e-6) / 5], axis=1)
    spoken = lexicon[:, :, [0, 5, 6]]
    named = np.hstack([spoken.max(axis=1), np.minimum(spoken.sum(axis=1), 3) / 3])
    return np.hstack([stance_inputs, certainty.astype(np.float32), named.astype(np.float32)])


def _word_features(text: str) -> dict[str, float]:
    found = {f"cue:{name}": count for name, count in cues(text).items()}
    found["length:" + str(min(8, len(text) // 10))] = 0.5
    tokens = [shadow(w.text) for w in words(text)][:120]
    weight = 1.0 / max(4.0, len(tokens)) ** 0.5
    for token in tokens:
        found[f"w:{token}"] = found.get(f"w:{token}", 0.0) + weight
    for one, other in pairwise(tokens):
        found[f"p:{one} {other}"] = weight
    for mark in "?!？！~…":
        if mark in text:
            found[f"m:{shadow(mark)}"] = 0.5
    return found
