"""Texts that say the same: exactly, or nearly."""

import re
from collections.abc import Iterable

from xxhash import xxh3_64_intdigest

from .shadow import shadow

_BITS = 64
_KEPT = re.compile(r"[^\w]+")
_SHINGLE_CHARACTERS = 3


def signature(text: str) -> int:
    """A 64-bit similarity hash: texts that share most three-character pieces differ in few bits."""
    counts = [0] * _BITS
    for shingle in shingles(text):
        digest = xxh3_64_intdigest(shingle.encode("utf-8", "surrogatepass"))
        for bit in range(_BITS):
            counts[bit] += 1 if digest >> bit & 1 else -1
    return sum(1 << bit for bit, count in enumerate(counts) if count > 0)


def distance(one: int, other: int) -> int:
    """In how many of 64 bits two signatures differ."""
    return (one ^ other).bit_count()


def shingles(text: str) -> set[str]:
    """The overlapping three-character pieces of a text, letters and digits only."""
    kept = _KEPT.sub("", shadow(text))
    return {kept[i : i + _SHINGLE_CHARACTERS] for i in range(max(1, len(kept) - _SHINGLE_CHARACTERS + 1))}


def resemblance(one: Iterable[str], other: Iterable[str]) -> float:
    """The share of shingles two texts have in common, from 0 to 1 (Jaccard)."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a or b else 1.0
