"""Finding known names in running text: the longest first, in either script."""

import re
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from inference.preparation.shadow import shadow

_WORD = re.compile(r"[a-z0-9]+(?:[+#]+|(?:['’.][a-z]+)*)")
_PARTING = re.compile(r"[-/&’'.]")
_LONGEST_NAME_WORDS = 6

T = TypeVar("T")


def folded(name: str) -> str:
    """One spelling for a name: lower case, half width, simplified; in Latin letters hyphens and the like are spaces."""
    plain = shadow(name.strip())
    return " ".join(_PARTING.sub(" ", plain).split()) if plain.isascii() else plain


class NameIndex(Generic[T]):
    """Values by name. Latin names are found as whole words, a trailing plural s aside; others anywhere."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = {key: value for name, value in values.items() if (key := folded(name))}
        self._lengths: dict[str, tuple[int, ...]] = {}
        sizes: dict[str, set[int]] = {}
        for name in self._values:
            if len(name) > 1 and not name.isascii():
                sizes.setdefault(name[0], set()).add(len(name))
        self._lengths = {first: tuple(sorted(lengths, reverse=True)) for first, lengths in sizes.items()}

    def get(self, name: str) -> T | None:
        """The value of a name, or None."""
        key = folded(name)
        return self._values.get(key, self._values.get(key.removesuffix("s"))) if key else None

    def find(self, text: str) -> list[tuple[T, int, int]]:
        """Values and character offsets of the names in a text, from the left. Names in one script never overlap."""
        plain = shadow(text)
        return sorted([*self._latin(plain), *self._others(plain)], key=lambda found: found[1])

    def _latin(self, plain: str) -> Iterator[tuple[T, int, int]]:
        words = list(_WORD.finditer(plain))
        at = 0
        while at < len(words):
            for size in range(min(_LONGEST_NAME_WORDS, len(words) - at), 0, -1):
                start, end = words[at].start(), words[at + size - 1].end()
                value = self.get(plain[start:end]) if end - start > 1 else None
                if value is None and plain[end - 2 : end] in ("'s", "’s"):
                    end -= 2
                    value = self.get(plain[start:end])
                if value is not None:
                    yield value, start, end
                    at += size - 1
                    break
            at += 1

    def _others(self, plain: str) -> Iterator[tuple[T, int, int]]:
        at = 0
        while at < len(plain):
            for size in self._lengths.get(plain[at], ()):
                name = plain[at : at + size]
                value = self._values.get(name) if len(name) == size and not name.isascii() else None
                if value is not None:
                    yield value, at, at + size
                    at += size - 1
                    break
            at += 1
