"""Clauses of a text: a comment may praise one thing and damn another, and a marker or a pause parts the two."""

import re
from dataclasses import dataclass

from inference.preparation import shadow

_MARKER = re.compile(
    r"(?:但是|但|不过|可是|然而|反而|反倒|倒是|却|只是|相比之下|相反|至于|唯独|就是|除了|而(?!且|已|是))"
    r"|(?<![a-z])(?:but|however|whereas|while|though|although|yet|unlike|except|instead|meanwhile|on the other hand|"
    r"can't stand|rather than|compared to|compared with|as for)(?![a-z])"
)
_STOP = re.compile(r"[。！？!?；;\n~～…]|\. ")
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
    ends = _ends(_PAUSE, stripped)
    return (stripped[ends[-1] :] if ends else stripped).strip() or text


def halves(text: str) -> tuple[Clause, Clause] | None:
    """The two sides of the contrast that a marker shows in a text, or None where there is no marker.

    The cut is the marker nearest to the middle.
    """
    return _cut(text, [m.start() for m in _MARKER.finditer(shadow(text))])


def sides(text: str) -> tuple[Clause, Clause] | None:
    """The two parts of a text that is known to hold a contrast: at a marker, else a full stop, else a comma."""
    return halves(text) or _cut(text, _ends(_STOP, text)) or _cut(text, _ends(_PAUSE, text))


def _ends(mark: re.Pattern[str], text: str) -> list[int]:
    return [found.end() for found in mark.finditer(text)]


def _cut(text: str, places: list[int]) -> tuple[Clause, Clause] | None:
    """The text cut at the place nearest to its middle, if any leaves enough on both sides."""
    places = [place for place in places if min(place, len(text) - place) >= _MIN_CHARACTERS]
    if not places:
        return None
    cut = min(places, key=lambda place: abs(place - len(text) / 2))
    return Clause(text[:cut], 0, cut), Clause(text[cut:], cut, len(text))
