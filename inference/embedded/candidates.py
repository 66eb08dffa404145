"""Every run of words in a text that could be a name, and what there is to know about it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from xxhash import xxh3_64_intdigest

from inference.lexicon import Hit, Lexicon, Source
from inference.preparation import shadow
from inference.preparation.words import Word, stop_words, words

SLOTS = 16384
_SENTENCE_ENDS = ".!?。！？\n"
_MAX_SCANNED = 400
_MAX_WORDS = {True: 6, False: 4}
_MAX_CHARACTERS = 40
_QUOTED = re.compile(
    r"《([^《》\n]{1,40})》|「([^「」\n]{1,40})」|『([^『』\n]{1,40})』|【([^【】\n]{1,40})】|“([^“”\n]{1,40})”|\"([^\"\n]{1,40})\"|(?<!\w)'([^'\n]{2,40})'(?!\w)"
)
_NAME_KINDS = frozenset({"nr", "nrt", "nrfg", "ns", "nt", "nz"})
_INNER = frozenset(
    {"of", "the", "de", "la", "and", "&", "in", "to", "a", "for", "on", "vs", "at", "with", "no", "x", "von", "van"}
)
_GLUE = re.compile(r"[ \-·&'’.:+/]{0,3}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run of the text that could be a name, and what there is to know about it as hashed features."""

    text: str
    start: int
    end: int
    slots: tuple[int, ...]


def candidates(text: str, lexicon: Lexicon) -> list[Candidate]:
    """Every run of the text that could be a name, no two of the same place, none a piece of a well-known name."""
    text = text[:_MAX_SCANNED]
    tokens = words(text)
    quoted = {(m.start(m.lastindex), m.end(m.lastindex)): m.group()[0] for m in _QUOTED.finditer(text) if m.lastindex}
    view = _View(text, tokens, quoted, lexicon.hits(text))
    spans = dict.fromkeys([*quoted, *view.names, *_runs(text, tokens)])
    found = []
    for start, end in spans:
        slice_ = text[start:end]
        piece = any(s <= start and end <= e and (s, e) != (start, end) for s, e in view.names)
        if slice_.strip() == slice_ and slice_ and not piece:
            found.append(Candidate(slice_, start, end, view.slots(start, end)))
    return found


def nothing(text: str) -> Candidate:
    """The candidate that stands for a text without a name."""
    text = text[:_MAX_SCANNED]
    capitals = len(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))
    latin = len(re.findall(r"[A-Za-z]+", text))
    han = _has_han(text)
    names = (
        f"none:{han}",
        f"none:capitals:{min(capitals, 3)}",
        f"none:quoted:{bool(_QUOTED.search(text))}",
        f"none:latin:{han}:{min(latin, 4)}",
    )
    return Candidate("", 0, 0, tuple(_slot(n) for n in names))


def _runs(text: str, tokens: Sequence[Word]) -> Iterator[tuple[int, int]]:
    stop = stop_words()
    for first, token in enumerate(tokens):
        latin = token.text[0].isascii()
        if shadow(token.text) in stop and not (latin and token.text[0].isupper()):
            continue
        for last in range(first, min(first + _MAX_WORDS[latin], len(tokens))):
            end = tokens[last].end
            if end - token.start > _MAX_CHARACTERS or (
                last > first and not _GLUE.fullmatch(text[tokens[last - 1].end : tokens[last].start])
            ):
                break
            word = shadow(tokens[last].text)
            if word in stop and not tokens[last].text[0].isupper() and not tokens[last].text.isdigit():
                if word in _INNER or not latin:
                    continue
                break
            yield token.start, end


@lru_cache(maxsize=200_000)
def _slot(name: str) -> int:
    return 1 + xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) % (SLOTS - 1)


class _View:
    """A text seen from its candidates."""

    def __init__(
        self, text: str, tokens: Sequence[Word], quoted: dict[tuple[int, int], str], hits: Sequence[Hit]
    ) -> None:
        self.text, self.tokens, self.quoted = text, tokens, quoted
        self.han = _has_han(text)
        self.by_start = {t.start: i for i, t in enumerate(tokens)}
        self.by_end = {t.end: i for i, t in enumerate(tokens)}
        self.stop = stop_words()
        self.spoken = {(h.start, h.end): min(h.concepts.values()) for h in hits}
        self.names = [(h.start, h.end) for h in hits if Source.NAME in h.concepts.values()]

    def slots(self, start: int, end: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys(_slot(name) for name in self._names(start, end)))

    def _names(self, start: int, end: int) -> Iterator[str]:
        span = _Span.of(self, start, end)
        yield from self._form(span)
        yield from self._neighbours(span)
        yield from self._knowledge(span)

    def _form(self, span: "_Span") -> Iterator[str]:
        """What it looks like: script, capitals, kinds of words, quotation marks, where in the text."""
        script, context, shape, count = span.script, span.context, span.shape, len(span.inside)
        mark = self.quoted.get((span.start, span.end), "")
        yield from ("bias", f"context:{context}", f"shape:{context}:{shape}", f"tokens:{context}:{count}")
        yield "kinds:" + "".join(f"{t.kind}," for t in span.inside[:4])
        yield f"length:{script}:{min(span.end - span.start, 12)}"
        yield f"quoted:{mark}"
        if mark:
            yield f"quoted:{mark}:{script}:{min(count, 5)}"
        elif any(s < span.end and span.start < e for s, e in self.quoted):
            yield "in-quotes"
        said = self.text[: span.start].rstrip()
        yield f"opening:{not said or said[-1] in _SENTENCE_ENDS}:{shape[:2]}:{script}"
        yield f"place:{context}:{min(3, 4 * span.start // (len(self.text) + 1))}"
        if self.text.count(span.text) > 1:
            yield "repeated"
        if script != "a":
            yield from (f"ends:{span.name[-1]}", f"begins:{span.name[0]}")
        if any(t.kind in _NAME_KINDS for t in span.inside):
            yield f"has-name-kind:{count}"

    def _neighbours(self, span: "_Span") -> Iterator[str]:
        """What stands beside it, and whether it is a whole name or a piece of a longer one."""
        start, end, context = span.start, span.end, span.context
        for side, word in (("before", span.before), ("after", span.after)):
            yield f"{side}:{shadow(word.text) if word else ''}"
            yield f"{side}-written:{word.text if word else ''}"
            yield f"{side}-kind:{word.kind if word else ''}:{_shape(word.text) if word else ''}:{context}"
        gaps = (
            self.text[span.before.end : start] if span.before else "\n",
            self.text[end : span.after.start] if span.after else "\n",
        )
        left, right = (
            word is not None and bool(_GLUE.fullmatch(gap)) and _is_namelike(word, span.script)
            for word, gap in zip((span.before, span.after), gaps, strict=True)
        )
        yield f"cut-short:{context}:{left}:{right}:{(start, end) in self.quoted}"
        yield f"whole:{context}:{not left and not right}:{span.shape}"
        yield f"before-mark:{self.text[start - 1 : start]}"
        yield f"after-mark:{self.text[end : end + 1]}"
        if span.script != "a":
            yield f"before-character:{self.text[max(0, start - 2) : start]}"

    def _knowledge(self, span: "_Span") -> Iterator[str]:
        """What is known of its words: common ones, words of a concept, names of brands, people and works."""
        place = (span.start, span.end)
        if len(span.inside) == 1:
            yield from (f"word:{span.name}", f"stop:{span.name in self.stop}:{span.shape}")
        elif span.inside:
            yield from (
                f"last:{shadow(span.inside[-1].text)}",
                f"first:{shadow(span.inside[0].text)}",
                f"first-written:{span.inside[0].text}",
            )
        yield f"lexicon:{self.spoken.get(place)}:{span.script}:{span.shape[:2]}"
        known = place in self.names
        yield f"known:{known}:{span.script}"
        if not known and any(span.start <= s and e <= span.end for s, e in self.names):
            yield f"around-known:{span.script}:{len(span.inside)}"


@dataclass(frozen=True, slots=True)
class _Span:
    """A run of a text with its words and neighbours, in the terms that features are made of."""

    start: int
    end: int
    text: str
    name: str
    script: str
    context: str
    shape: str
    inside: Sequence[Word]
    before: Word | None
    after: Word | None

    @staticmethod
    def of(view: _View, start: int, end: int) -> "_Span":
        text, name = view.text[start:end], shadow(view.text[start:end])
        first, last = view.by_start.get(start), view.by_end.get(end)
        inside = view.tokens[first : last + 1] if first is not None and last is not None else []
        script = "a" if name.isascii() else "h" if all("\u3400" <= c <= "\u9fff" for c in name) else "m"
        return _Span(
            start,
            end,
            text,
            name,
            script,
            context=f"{script}{'H' if view.han else 'A'}",
            shape="".join(_shape(t.text) for t in inside[:4]) if inside else "?",
            inside=inside,
            before=view.tokens[first - 1] if first else None,
            after=view.tokens[last + 1] if last is not None and last + 1 < len(view.tokens) else None,
        )


def _has_han(text: str) -> bool:
    return any("\u3400" <= c <= "\u9fff" for c in text)


def _is_namelike(word: Word, script: str) -> bool:
    """Whether a neighbour looks like a part of the same name: by capital or figure, or by kind in Chinese."""
    if script == "a":
        return word.text.isascii() and (word.text[0].isupper() or word.text[0].isdigit())
    return word.kind in _NAME_KINDS or word.kind == "eng"


def _shape(word: str) -> str:
    if word.isdigit():
        return "9"
    if not word.isascii():
        return "h"
    if word.isupper() and len(word) > 1:
        return "X"
    if word[0].isupper():
        return "C" if word[1:].islower() or len(word) == 1 else "M"
    return "x" if word.islower() else "m"
