"""The quality gate: texts that cannot hold an interest never reach a model."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from .shadow import shadow

_LETTERS = re.compile(r"[^\W\d_]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_NAMING = re.compile(r"[0-9+#]")
_PLACEHOLDER = re.compile(r"\[(?:email|card|id|phone|account|ip|address)\]")
_LAUGH = re.compile(r"(?!嘻哈$)(?:[哈呵嘿嘻噗嗝额呃啊哦噢嗯唉哎哇呜啦呀喔咦诶欸呐草艹]|hh+(?!h)|xs+wl)+")
_LAUGH_EN = re.compile(
    r"(?:ha|he|hi|lo+l|lmf?ao+|rofl|xd+|hmm*|umm*|ah+|oh+|wow+|yay+|ugh+|meh+|nah+|yeah*|yep|yup|nope|huh)+"
)


@cache
def _set_phrases() -> frozenset[str]:
    data = files("inference").joinpath("data", "preparation", "set-phrases.txt")
    return frozenset(data.read_text("utf-8").splitlines())


def worth_reading(text: str, *, item: bool = False) -> str | None:
    """None where the text may hold an interest, else why it cannot. An ``item`` is always about something, if in words.

    Reasons: ``empty`` (nothing left after cleaning), ``no_words`` (emoji, marks and digits only), ``too_short`` (a
    letter, unless figures or signs make it a name: F1, C++), ``interjection`` (laughter and the like), ``phrase``
    (thanks, first!, and other set phrases about nothing).
    Given in doubt: a model reads a text for nothing at small cost, a lost interest is lost.
    """
    if not text.strip():
        return "empty"
    if item:
        return None if any(c.isalnum() for c in text) else "no_words"
    return _why_not(_LETTERS.findall(_PLACEHOLDER.sub(" ", shadow(text))), named=bool(_NAMING.search(text)))


def _why_not(parts: Sequence[str], *, named: bool) -> str | None:
    """Why words cannot hold an interest; ``named`` where figures or signs may make a letter a name."""
    letters = "".join(parts)
    if not letters:
        return "no_words"
    if len(letters) == 1 and not _HAN.search(letters) and not named:
        return "too_short"
    if all(_LAUGH.fullmatch(part) or _LAUGH_EN.fullmatch(part) for part in parts):
        return "interjection"
    spaced = " ".join(parts)
    known = _set_phrases()
    if letters in known or spaced in known or all(part in known for part in parts):
        return "phrase"
    return None
