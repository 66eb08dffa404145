"""Which name a text is about: every run of words that could be a name is scored, the best wins, or none does.

There is no list of names. Quotation marks, capitals, Latin words among Chinese ones, the segmenter's parts of speech
and the words around a candidate decide, weighed by a trained head. A candidate is a slice of the text: it cannot be
invented.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from inference.embedded.lexicon import Lexicon, Source
from inference.embedded.linear import Array
from inference.preparation import shadow
from inference.preparation.words import Word, stop_words, words

SLOTS = 16384
MAX_FEATURES = 40
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


@dataclass(frozen=True)
class EntityHead:
    """One weight for each feature slot; ``bar`` is what the best candidate needs to beat having none."""

    weights: Array
    bar: float = 0.0

    def score(self, candidates: Sequence[Candidate]) -> Array:
        """One score a candidate."""
        if not candidates:
            return np.zeros(0, np.float32)
        scores: Array = self.weights[padded([c.slots for c in candidates])].sum(axis=1)
        return scores

    def best(
        self, text: str, lexicon: Lexicon, spans: Sequence[tuple[int, int]]
    ) -> list[tuple[Candidate, float] | None]:
        """The best name within each span of the text, with its probability against the others and against none."""
        found = candidates(text, lexicon)
        scores = self.score(found)
        none = float(self.score([nothing(text)])[0])
        results: list[tuple[Candidate, float] | None] = []
        for start, end in spans:
            inside = [i for i, c in enumerate(found) if start <= c.start and c.end <= end]
            if not inside:
                results.append(None)
                continue
            local = scores[inside]
            winner = int(local.argmax())
            ahead = float(local[winner]) - none - self.bar
            share = np.exp(local - local.max())
            chance = float(share[winner] / (share.sum() + np.exp(none - local.max())))
            results.append((found[inside[winner]], chance) if ahead > 0 else None)
        return results


def padded(slots: Sequence[tuple[int, ...]]) -> npt.NDArray[np.int64]:
    """Slots as a rectangle; slot 0 pads and weighs nothing."""
    rows = np.zeros((len(slots), MAX_FEATURES), np.int64)
    for row, values in zip(rows, slots, strict=True):
        row[: len(values)] = values[:MAX_FEATURES]
    return rows


def candidates(text: str, lexicon: Lexicon) -> list[Candidate]:
    """Every run of the text that could be a name, no two of the same place."""
    text = text[:_MAX_SCANNED]
    tokens = words(text)
    quoted = {(m.start(m.lastindex), m.end(m.lastindex)): m.group()[0] for m in _QUOTED.finditer(text) if m.lastindex}
    han = any("\u3400" <= c <= "\u9fff" for c in text)
    named = [(h.start, h.end) for h in lexicon.hits(text) if Source.NAME in h.concepts.values()]
    spans = dict.fromkeys([*quoted, *named, *_runs(text, tokens)])
    view = _View(text, tokens, quoted, han, lexicon)
    found = []
    for start, end in spans:
        slice_ = text[start:end]
        if slice_.strip() == slice_ and slice_:
            found.append(Candidate(slice_, start, end, view.slots(start, end)))
    return found


def nothing(text: str) -> Candidate:
    """The candidate that stands for a text without a name."""
    text = text[:_MAX_SCANNED]
    capitals = len(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))
    latin = len(re.findall(r"[A-Za-z]+", text))
    han = any("\u3400" <= c <= "\u9fff" for c in text)
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
        self,
        text: str,
        tokens: Sequence[Word],
        quoted: dict[tuple[int, int], str],
        han: bool,  # noqa: FBT001 - a fact
        lexicon: Lexicon,
    ) -> None:
        self.text, self.tokens, self.quoted, self.han, self.lexicon = text, tokens, quoted, han, lexicon
        self.by_start = {t.start: i for i, t in enumerate(tokens)}
        self.by_end = {t.end: i for i, t in enumerate(tokens)}
        self.stop = stop_words()
        hits = lexicon.hits(text)
        self.spoken = {(h.start, h.end): min(h.concepts.values()) for h in hits}
        self.names = [(h.start, h.end) for h in hits if Source.NAME in h.concepts.values()]

    def slots(self, start: int, end: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys(_slot(name) for name in self._names(start, end)))

    def _names(self, start: int, end: int) -> Iterator[str]:  # noqa: PLR0915 - one statement a feature
        text, name = self.text[start:end], shadow(self.text[start:end])
        first, last = self.by_start.get(start), self.by_end.get(end)
        inside = self.tokens[first : last + 1] if first is not None and last is not None else []
        shape = "".join(_shape(t.text) for t in inside[:4]) if inside else "?"
        kinds = "".join(f"{t.kind}," for t in inside[:4])
        script = "a" if name.isascii() else "h" if all("\u3400" <= c <= "\u9fff" for c in name) else "m"
        mark = self.quoted.get((start, end), "")
        context = f"{script}{'H' if self.han else 'A'}"
        yield "bias"
        yield f"context:{context}"
        yield f"shape:{context}:{shape}"
        yield f"kinds:{kinds}"
        yield f"tokens:{context}:{len(inside)}"
        yield f"length:{script}:{min(end - start, 12)}"
        yield f"quoted:{mark}"
        if mark:
            yield f"quoted:{mark}:{script}:{min(len(inside), 5)}"
        elif any(s < end and start < e for s, e in self.quoted):
            yield "in-quotes"
        opening = not self.text[:start].strip() or self.text[:start].rstrip()[-1:] in ".!?。！？\n"
        yield f"opening:{opening}:{shape[:2]}:{script}"
        before = self.tokens[first - 1] if first else None
        after = self.tokens[last + 1] if last is not None and last + 1 < len(self.tokens) else None
        yield f"before:{shadow(before.text) if before else ''}"
        yield f"after:{shadow(after.text) if after else ''}"
        yield f"before-kind:{before.kind if before else ''}:{_shape(before.text) if before else ''}:{context}"
        yield f"after-kind:{after.kind if after else ''}:{_shape(after.text) if after else ''}:{context}"
        left = (
            before is not None and bool(_GLUE.fullmatch(self.text[before.end : start])) and _is_namelike(before, script)
        )
        right = (
            after is not None and bool(_GLUE.fullmatch(self.text[end : after.start])) and _is_namelike(after, script)
        )
        yield f"cut-short:{context}:{left}:{right}:{bool(mark)}"
        yield f"whole:{context}:{not left and not right}:{shape}"
        yield f"before-mark:{self.text[start - 1 : start]}"
        yield f"after-mark:{self.text[end : end + 1]}"
        if script != "a":
            yield f"ends:{name[-1]}"
            yield f"begins:{name[0]}"
            yield f"before-character:{self.text[max(0, start - 2) : start]}"
        if len(inside) == 1:
            yield f"word:{name}"
            yield f"stop:{name in self.stop}:{shape}"
        elif inside:
            yield f"last:{shadow(inside[-1].text)}"
            yield f"first:{shadow(inside[0].text)}"
        if any(t.kind in _NAME_KINDS for t in inside):
            yield f"has-name-kind:{len(inside)}"
        source = self.spoken.get((start, end))
        yield f"lexicon:{source}:{script}:{shape[:2]}"
        known = self.lexicon.is_name(text) and (script != "a" or not text.islower())
        yield f"known:{known}:{script}"
        if not known and any(s <= start and end <= e for s, e in self.names):
            yield f"inside-known:{script}"
        if not known and any(start <= s and e <= end for s, e in self.names):
            yield f"around-known:{script}:{len(inside)}"
        yield f"place:{context}:{min(3, 4 * start // (len(self.text) + 1))}"
        if self.text.count(text) > 1:
            yield "repeated"


def _is_namelike(word: Word, script: str) -> bool:
    """Whether a neighbour looks like a part of the same name: a capital or figure in Latin, by kind in Chinese."""
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
