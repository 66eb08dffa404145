"""Steps that clean a text without respelling it: each takes a text and returns it with a count of what was changed.

Names must stay as their writer spelled them, so nothing here folds case, width or script; see ``shadow`` for that.
"""

import re

_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|&(?:nbsp|amp|lt|gt|quot|#\d{1,6});")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'，。！？、；）】》\u3400-\u9fff]+", re.IGNORECASE)
_MENTION = re.compile(r"(?<![A-Za-z0-9_@])@(?:[\w.-]{1,30}(?=[\s:：]|$)|[A-Za-z0-9_.-]{1,30})[:：]?")
_HASHTAG = re.compile(r"(?<![A-Za-z0-9#&])#([^\s#]{1,60})#|(?<![\w#&])#(?=[^\W\d])")
_EMOTE = re.compile(r"\[[\u4e00-\u9fff]{1,4}\]")
_STRETCHED_LETTER = re.compile(r"([a-z\u3041-\u30ff\u4e00-\u9fff])\1{3,}")
_STRETCHED_MARK = re.compile(r"([!?.,~！？。，～…—\-*=_])\1{2,}")
_SPACES = re.compile(r"[^\S\n]+|\s*\n\s*")


def drop_unprintable(text: str) -> tuple[str, int]:
    """Without control characters, direction marks, zero-width spaces and broken surrogates."""
    return _UNPRINTABLE.subn("", text)


def drop_markup(text: str) -> tuple[str, int]:
    """Without HTML tags and entities."""
    return _MARKUP.subn(" ", text)


def drop_urls(text: str) -> tuple[str, int]:
    """Without web addresses: they name a page, not an interest."""
    return _URL.subn(" ", text)


def drop_mentions(text: str) -> tuple[str, int]:
    """Without @names: other people's accounts are their own business."""
    return _MENTION.subn(" ", text)


def open_hashtags(text: str) -> tuple[str, int]:
    """Hashtags as the words in them."""
    return _HASHTAG.subn(lambda m: f"{m.group(1)} " if m.group(1) else "", text)


def drop_emotes(text: str) -> tuple[str, int]:
    """Without the bracketed emotes of Chinese networks, such as [笑哭]. Emoji stay: they carry stance."""
    return _EMOTE.subn(" ", text)


def shorten_stretches(text: str) -> tuple[str, int]:
    """Stretched letters twice ("soooo" is "soo"), stretched marks once. Capitals stay: they may be a name (AAAA)."""
    text, letters = _STRETCHED_LETTER.subn(r"\1\1", text)
    text, marks = _STRETCHED_MARK.subn(r"\1", text)
    return text, letters + marks


def tidy_spaces(text: str) -> tuple[str, int]:
    """One space for a run of them, one line break for a run of those. Never counted: it says nothing."""
    return _SPACES.sub(lambda m: "\n" if "\n" in m.group() else " ", text).strip(), 0
