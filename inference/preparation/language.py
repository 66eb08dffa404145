"""The language of a text: Chinese, English, a mix of both, or another one."""

from functools import cache
from typing import Literal

from lingua import Language, LanguageDetector, LanguageDetectorBuilder

LanguageCode = Literal["zh", "en", "mixed", "other"]

_HAN = ("\u3400", "\u9fff")
_KANA = ("\u3040", "\u30ff")
_HANGUL = ("\uac00", "\ud7af")
_MIN_LETTERS_FOR_DETECTOR = 24
_SURE = 0.7
_MIXED_LATIN_LETTERS = 3
_MIXED_HAN = 2


def detect_language(text: str) -> LanguageCode:
    """The language, judged by script first: statistics about words are wrong on three of them.

    Only a longer text in Latin letters goes to the statistical detector, to tell English from its neighbours.
    """
    han = sum(_HAN[0] <= c <= _HAN[1] for c in text)
    other = sum(_KANA[0] <= c <= _KANA[1] or _HANGUL[0] <= c <= _HANGUL[1] for c in text)
    latin = sum(c.isascii() and c.isalpha() for c in text)
    if other > han // 4:
        return "other"
    if han >= _MIXED_HAN and latin >= _MIXED_LATIN_LETTERS:
        return "mixed"
    if han:
        return "zh"
    letters = sum(c.isalpha() for c in text)
    if letters and latin < letters * 0.8:
        return "other"
    if latin < _MIN_LETTERS_FOR_DETECTOR:
        return "en"
    best = _detector().compute_language_confidence_values(text[:400])[0]
    return "en" if best.language == Language.ENGLISH or best.value < _SURE else "other"


@cache
def _detector() -> LanguageDetector:
    names = ("ENGLISH", "SPANISH", "FRENCH", "GERMAN", "PORTUGUESE", "ITALIAN", "INDONESIAN", "VIETNAMESE", "TURKISH")
    return LanguageDetectorBuilder.from_languages(*(getattr(Language, n) for n in names)).build()
