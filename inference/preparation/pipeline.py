"""All steps of preparation, in order."""

from collections import Counter
from dataclasses import dataclass

from .language import LanguageCode, detect_language
from .normalise import (
    drop_emotes,
    drop_markup,
    drop_mentions,
    drop_unprintable,
    drop_urls,
    open_hashtags,
    shorten_stretches,
    tidy_spaces,
)
from .personal import drop_personal

MAX_CHARACTERS = 2000
_SCANNED_CHARACTERS = 4 * MAX_CHARACTERS


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text ready to be read: spans of interests point into ``text``.

    ``steps`` counts what each step changed, by step, those that changed nothing left out.
    """

    text: str
    lang: LanguageCode
    steps: tuple[tuple[str, int], ...] = ()


def prepare(text: str) -> Prepared:
    """Clean a text and take personal data out of it; at most the first 2,000 characters are kept.

    What is left is spelled as its writer spelled it, so that a name found in it is found in the original too.
    """
    counts: Counter[str] = Counter()
    if len(text) > _SCANNED_CHARACTERS:
        text, counts["cut"] = text[:_SCANNED_CHARACTERS], 1
    for step in (drop_unprintable, drop_markup, drop_urls):
        text, changed = step(text)
        counts[step.__name__] = changed
    text, personal = drop_personal(text)
    counts.update({f"personal_{kind}": count for kind, count in personal.items()})
    for step in (drop_mentions, open_hashtags, drop_emotes, shorten_stretches, tidy_spaces):
        text, changed = step(text)
        counts[step.__name__] = changed
    if len(text) > MAX_CHARACTERS:
        text, counts["cut"] = text[:MAX_CHARACTERS].rstrip(), 1
    return Prepared(text, detect_language(text), tuple((step, n) for step, n in counts.items() if n))
