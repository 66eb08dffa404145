"""Words of Chinese and English text, with their kind where the segmenter knows it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import rjieba
import stopwordsiso

from .shadow import shadow

_LATIN_RUN = re.compile(
    r"[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:(?:['’](?!s(?!\w))|[.\-&])[^\W_\u3040-\u30ff\u3400-\u9fff]+)*"
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word at character offsets ``start`` to ``end``. ``kind`` is jieba's part of speech, ``eng`` for Latin words."""

    text: str
    start: int
    end: int
    kind: str


def words(text: str) -> list[Word]:
    """The words of a text, marks and spaces left out. Latin words stay whole, Chinese is segmented."""
    return list(_words(text))


def _words(text: str) -> Iterator[Word]:
    at = 0
    for run in _LATIN_RUN.finditer(text):
        yield from _segmented(text, at, run.start())
        yield Word(run.group(), run.start(), run.end(), "m" if run.group().isdigit() else "eng")
        at = run.end()
    yield from _segmented(text, at, len(text))


def _segmented(text: str, start: int, end: int) -> Iterator[Word]:
    if start == end or not (part := text[start:end]).strip():
        return
    for piece, kind in rjieba.tag(shadow(part)):
        stop = start + len(piece)
        if any(c.isalnum() for c in piece):
            yield Word(text[start:stop], start, stop, kind)
        start = stop


def content_words(text: str) -> list[str]:
    """The words that carry content, in one spelling: no stop words, no lone letters."""
    stop = stop_words()
    return [
        w for w in (shadow(word.text) for word in words(text)) if w not in stop and not (len(w) == 1 and w.isascii())
    ]


@cache
def stop_words() -> frozenset[str]:
    """Words without content in Chinese and English."""
    return frozenset(stopwordsiso.stopwords(["en", "zh"]))
