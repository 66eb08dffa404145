"""Clauses of a text: a comment may praise one thing and damn another, and contrast markers part the two."""

import re
from dataclasses import dataclass
from itertools import pairwise

from inference.preparation import shadow

_MARKER = re.compile(
    r"(?:但是|但|不过|可是|然而|反而|反倒|倒是|却|只是|相比之下|相反|至于|唯独|就是|除了|而(?!且|已|是))"
    r"|(?<![a-z])(?:but|however|whereas|while|though|although|yet|unlike|except|instead|meanwhile|on the other hand|"
    r"can't stand|rather than|compared to|compared with|as for)(?![a-z])"
)
_BOUNDARY = re.compile(r"[。！？!?；;，,、\n]+|(?<!\d)\.(?=\s|$)|\s[-–—]+\s|[:：](?=\s)|…+")
_MIN_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a text at character offsets; ``contrasts`` where a contrast marker opens or stands in it."""

    text: str
    start: int
    end: int
    contrasts: bool


def clauses(text: str) -> list[Clause]:
    """The clauses of a text, from the left; pieces too short to mean anything join their neighbour."""
    bounds = [0, *(mark.end() for mark in _BOUNDARY.finditer(text))]
    bounds.extend(m.start() for m in _MARKER.finditer(shadow(text)))
    edges = sorted({*bounds, len(text)})
    found: list[tuple[int, int]] = []
    for start, end in pairwise(edges):
        if found and (end - start < _MIN_CHARACTERS or found[-1][1] - found[-1][0] < _MIN_CHARACTERS):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [Clause(text[s:e], s, e, bool(_MARKER.search(shadow(text[s:e])))) for s, e in found if text[s:e].strip()]


def halves(text: str) -> tuple[Clause, Clause] | None:
    """The two sides of the contrast in a text, or None where there is no contrast to see.

    The cut is the contrast marker nearest to the middle; without a marker, nothing is cut.
    """
    cuts = [m.start() for m in _MARKER.finditer(shadow(text))]
    cuts = [c for c in cuts if min(c, len(text) - c) >= _MIN_CHARACTERS]
    if not cuts:
        return None
    cut = min(cuts, key=lambda c: abs(c - len(text) / 2))
    return Clause(text[:cut], 0, cut, contrasts=False), Clause(text[cut:], cut, len(text), contrasts=True)
