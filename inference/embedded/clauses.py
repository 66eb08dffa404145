"""Clauses of a text: a comment may praise one thing and damn another, and contrast markers part the two."""

import re
from dataclasses import dataclass

from inference.preparation import shadow

_MARKER = re.compile(
    r"(?:但是|但|不过|可是|然而|反而|反倒|倒是|却|只是|相比之下|相反|至于|唯独|就是|除了|而(?!且|已|是))"
    r"|(?<![a-z])(?:but|however|whereas|while|though|although|yet|unlike|except|instead|meanwhile|on the other hand|"
    r"can't stand|rather than|compared to|compared with|as for)(?![a-z])"
)
_PAUSE = re.compile(r"[。！？!?；;，,\n]|\. ")
_TRAILING = "。！？!?. ~～…，,😂😭🤣"
_MIN_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a text at character offsets."""

    text: str
    start: int
    end: int


def closing(text: str) -> str:
    """The last clause of a text: where people say what they think of what they told before."""
    stripped = text.rstrip(_TRAILING)
    ends = [m.end() for m in _PAUSE.finditer(stripped)]
    return (stripped[ends[-1] :] if ends else stripped).strip() or text


def halves(text: str) -> tuple[Clause, Clause] | None:
    """The two sides of the contrast in a text, or None where there is no contrast to see.

    The cut is the contrast marker nearest to the middle; without a marker, nothing is cut.
    """
    cuts = [m.start() for m in _MARKER.finditer(shadow(text))]
    cuts = [c for c in cuts if min(c, len(text) - c) >= _MIN_CHARACTERS]
    if not cuts:
        return None
    cut = min(cuts, key=lambda c: abs(c - len(text) / 2))
    return Clause(text[:cut], 0, cut), Clause(text[cut:], cut, len(text))
