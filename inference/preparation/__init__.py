"""From a raw text to one that is worth reading: clean, without personal data, in a known language."""

from .gate import worth_reading
from .language import detect_language
from .pipeline import MAX_CHARACTERS, Prepared, prepare
from .shadow import shadow

__all__ = ["MAX_CHARACTERS", "Prepared", "detect_language", "prepare", "shadow", "worth_reading"]
