"""A copy of a text for comparing: same length, one spelling. What is shown and cited is always the text itself."""

import unicodedata
from functools import cache, lru_cache

from opencc import OpenCC


@lru_cache(maxsize=4096)
def shadow(text: str) -> str:
    """The text in lower case, half width and simplified Chinese, character for character.

    Offsets in the shadow are offsets in the text: what would change the length stays as it is.
    """
    folded = text if text.isascii() else "".join(map(_fold, text))
    folded = folded.lower() if folded.isascii() else "".join(map(_lower, folded))
    if folded.isascii():
        return folded
    simplified: str = _to_simplified().convert(folded)
    return simplified if len(simplified) == len(text) else folded


@cache
def _to_simplified() -> OpenCC:
    return OpenCC("t2s")


@lru_cache(maxsize=16384)
def _fold(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character


@lru_cache(maxsize=16384)
def _lower(character: str) -> str:
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character
