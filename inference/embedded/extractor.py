"""The embedded tier: interests of a text with no GPU, no network and no other process."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from inference.batching import Batcher
from inference.embedded.candidates import Candidate
from inference.embedded.clauses import Clause, halves, sides
from inference.embedded.commands import without_commands
from inference.embedded.concepts import LexiconFeatures
from inference.embedded.cues import plain_stance, worded_stance
from inference.embedded.encoder import Encoder, encode_with_closings
from inference.embedded.head import STANCES, Head, interest_features, text_features
from inference.embedded.linear import Array, softmax
from inference.extraction import Extraction, Interest, Passage, Suggestion, Tier
from inference.lexicon import Lexicon
from inference.preparation import worth_reading
from inference.taxonomy import Concept, Taxonomy
from profiles.model import Stance

A = TypeVar("A")
R = TypeVar("R")

EDITION = 3
"""Raised where other code or other words read texts differently with the same head: readings kept are made anew."""
_BATCH = 32
_LIKE, _DISLIKE = STANCES.index(Stance.LIKE), STANCES.index(Stance.DISLIKE)
_PLAIN_WORDS = 2.0
LIKELY = 6


@dataclass(frozen=True)
class Reading:
    """What the head says about one piece of text: concepts and stances by likelihood, and how likely it holds any.

    ``contrast`` is the chance of two interests, one praised and one damned.
    ``plain`` where a concept is named and a stance said in so many words: that is never chatter.
    """

    interest: float
    contrast: float
    concepts: Array
    stances: Array
    plain: bool


class EmbeddedExtractor:
    """Reads Chinese and English with a small encoder and a trained head, in one thread of its own.

    About 25 ms of a core for a text of 46 characters; the first loads the model (1 s). Reads any text, never raises.
    """

    def __init__(self, taxonomy: Taxonomy | None = None, head: Head | None = None) -> None:
        self._taxonomy = taxonomy or Taxonomy.load()
        self._head = head or Head.load()
        self._words = Lexicon(self._taxonomy)
        self._lexicon = LexiconFeatures(self._taxonomy, self._words, self._head.concepts.trust)
        self._branches = np.array([self._taxonomy.tier1(c).id for c in self._taxonomy.concepts])
        self._encoder = Encoder(self._head.encoder)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-reader")
        self._turn = asyncio.Lock()
        self._suggestions = Batcher(partial(self._aside, self.suggestions), _BATCH)

    @property
    def reader(self) -> str:
        """Version of the trained head, and edition of the code around it."""
        return f"embedded-{self._head.version}.{EDITION}"

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages off the event loop; identical ones are read once.

        Long calls take turns, so that the first is done first; short ones are read in between.
        """
        distinct = list(dict.fromkeys(passages))
        found: dict[Passage, tuple[Interest, ...]] = {}
        async with self._turn if len(distinct) > _BATCH else contextlib.nullcontext():
            for at in range(0, len(distinct), _BATCH):
                batch = distinct[at : at + _BATCH]
                answers = await self._aside(self.read, batch)
                found.update(zip(batch, answers, strict=True))
        return [Extraction(found[p], Tier.EMBEDDED, self.reader, text=p.text) for p in passages]

    async def _aside(self, work: Callable[[Sequence[A]], list[R]], arguments: Sequence[A]) -> list[R]:
        """Work in the reader's thread, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, arguments)

    def read(self, passages: Sequence[Passage]) -> list[tuple[Interest, ...]]:
        """The interests of each passage, in the calling thread. What a text commands its reader is not read."""
        passages = _heeded(passages)
        wholes = self._wholes(passages)
        return self._interests_of(passages, wholes, *self._contrasts(wholes))

    def _wholes(self, passages: Sequence[Passage]) -> dict[str, Reading]:
        """What the head says about the texts of those passages that are worth reading."""
        worthy = list({p.text for p in passages if worth_reading(p.text, item=p.item) is None})
        return dict(zip(worthy, self.readings(worthy), strict=True))

    def _contrasts(self, wholes: Mapping[str, Reading]) -> tuple[dict[str, tuple[Clause, Clause]], dict[str, Reading]]:
        """The texts that hold a contrast with its sides, and what the head says about each side."""
        pairs = {text: pair for text, whole in wholes.items() if (pair := self._parted(text, whole))}
        pieces = list({part.text for pair in pairs.values() for part in pair})
        return pairs, dict(zip(pieces, self.readings(pieces), strict=True))

    def _interests_of(
        self,
        passages: Sequence[Passage],
        wholes: Mapping[str, Reading],
        pairs: Mapping[str, tuple[Clause, Clause]],
        parts: Mapping[str, Reading],
    ) -> list[tuple[Interest, ...]]:
        return [
            self._interests(p, wholes[p.text], pairs.get(p.text), parts) if p.text in wholes else () for p in passages
        ]

    def _parted(self, text: str, whole: Reading) -> tuple[Clause, Clause] | None:
        """The sides of the contrast in a text, where the head or its words see one."""
        return sides(text) if whole.contrast > self._head.contrast_bar else _in_so_many_words(text)

    async def suggest(self, passage: Passage) -> Suggestion:
        """What a model that reads after this one is told."""
        return await self._suggestions.ask(passage)

    def suggestions(self, passages: Sequence[Passage]) -> list[Suggestion]:
        """The reading of each passage, and ``LIKELY`` concepts less those that are in the reading."""
        passages = _heeded(passages)
        wholes = self._wholes(passages)
        pairs, parts = self._contrasts(wholes)
        likely = self._likely(wholes, parts)
        return [
            Suggestion(
                interests,
                tuple(slug for slug in likely.get(p.text, ()) if slug not in {i.concept for i in interests}),
            )
            for p, interests in zip(passages, self._interests_of(passages, wholes, pairs, parts), strict=True)
        ]

    def _likely(self, wholes: Mapping[str, Reading], parts: Mapping[str, Reading]) -> dict[str, list[str]]:
        """``LIKELY`` concepts of each text: those of the whole and of both sides of a marker, in turns.

        ``parts`` holds what was read already.
        """
        marked = {text: [c.text for c in halves(text) or ()] for text in wholes}
        unread = list({piece for pair in marked.values() for piece in pair} - parts.keys())
        ranked = dict(zip(unread, map(_ranking, self._concepts(unread)), strict=True))
        ranked |= {piece: _ranking(reading.concepts) for piece, reading in parts.items()}
        slugs = [concept.slug for concept in self._taxonomy.concepts]
        likely = {}
        for text, whole in wholes.items():
            views = [_ranking(whole.concepts), *(ranked[piece] for piece in marked[text])]
            in_turns = dict.fromkeys(chain(*zip(*views, strict=True)))
            likely[text] = [slugs[place] for place in islice(in_turns, LIKELY)]
        return likely

    def _concepts(self, texts: Sequence[str]) -> Array:
        """(texts, concepts): higher is likelier."""
        return self._head.concepts.scores(self._encoder.encode(texts), self._lexicon.matrix(texts))

    def readings(self, texts: Sequence[str]) -> list[Reading]:
        """What the head says about each text."""
        if not texts:
            return []
        vectors, closings = encode_with_closings(self._encoder, texts)
        lexicon = self._lexicon.matrix(texts)
        concepts = softmax(self._head.concepts.scores(vectors, lexicon))
        inputs = text_features(texts, self._head.concepts.centered(vectors), self._head.concepts.centered(closings))
        stances = _leaning(self._head.stance.probabilities(inputs), texts)
        interest = self._head.interest.probabilities(interest_features(inputs, concepts, lexicon))[:, 1].tolist()
        contrast = self._head.contrast.probabilities(inputs)[:, 1].tolist()
        plain = [plain_stance(t) is not None and bool(self._taxonomy.mentions(t)) for t in texts]
        return list(map(Reading, interest, contrast, concepts, stances, plain))

    def _interests(
        self, passage: Passage, whole: Reading, pair: tuple[Clause, Clause] | None, parts: Mapping[str, Reading]
    ) -> tuple[Interest, ...]:
        if whole.interest < self._head.interest_bar and not (whole.plain or passage.item):
            return ()
        if pair is not None:
            one, other = (parts[clause.text] for clause in pair)
            concepts = [_blended(whole, side) for side in (one, other)]
            if concepts[0].argmax() != concepts[1].argmax() or worded_stance(passage.text) is None:
                named = self._head.entities.best(passage.text, self._words, [(c.start, c.end) for c in pair])
                return tuple(map(partial(self._interest, passage), concepts, _opposite(one, other), named))
        (found,) = self._head.entities.best(passage.text, self._words, [(0, len(passage.text))])
        return (self._interest(passage, whole.concepts, whole.stances, found),)

    def _interest(
        self, passage: Passage, concepts: Array, stances: Array, found: tuple[Candidate, float] | None
    ) -> Interest:
        at = int(concepts.argmax())
        concept: Concept = self._taxonomy.concepts[at]
        family = self._family(concepts, at)
        head = self._head
        confidence = head.item_calibration(family) if passage.item else head.calibration(family * float(stances.max()))
        entity = found[0] if found else None
        return Interest(
            concept=concept.slug,
            concept_id=concept.id,
            stance=STANCES[int(stances.argmax())],
            confidence=round(confidence, 3),
            entity=entity.text if entity else None,
            span=(entity.start, entity.end) if entity else None,
        )

    def _family(self, concepts: Array, at: int) -> float:
        """The likelihood of a concept's branch: a doubt between parent and child is no doubt about that."""
        return float(concepts[self._branches == self._branches[at]].sum())

    async def aclose(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _heeded(passages: Sequence[Passage]) -> list[Passage]:
    """The passages without what commands their reader. An item's own text commands nobody."""
    return [p if p.item else replace(p, text=without_commands(p.text)) for p in passages]


def _ranking(concepts: Array) -> list[int]:
    """The places of the ``LIKELY`` likeliest concepts."""
    ranking: list[int] = np.argsort(-concepts)[:LIKELY].tolist()
    return ranking


def _leaning(stances: Array, texts: Sequence[str]) -> Array:
    """Stances after the plain words of the texts have had their say: worth ``_PLAIN_WORDS`` in log-odds."""
    leaning = np.zeros_like(stances)
    for row, text in zip(leaning, texts, strict=True):
        stance = plain_stance(text)
        if stance is not None:
            row[STANCES.index(stance)] = _PLAIN_WORDS
    return softmax(np.log(stances + 1e-9) + leaning)


def _in_so_many_words(text: str) -> tuple[Clause, Clause] | None:
    """The sides of a contrast that has a marker, and words of praise on one side and of blame on the other."""
    pair = halves(text)
    worded = {worded_stance(clause.text) for clause in pair or ()}
    return pair if worded == {Stance.LIKE, Stance.DISLIKE} else None


def _opposite(one: Reading, other: Reading) -> tuple[Array, Array]:
    """The stances of two sides of which one praises and the other damns: which is which both have a say in."""
    praised = one.stances[_LIKE] * other.stances[_DISLIKE]
    damned = one.stances[_DISLIKE] * other.stances[_LIKE]
    stances = np.zeros((2, len(STANCES)), np.float32)
    stances[0, [_LIKE, _DISLIKE]] = stances[1, [_DISLIKE, _LIKE]] = np.array([praised, damned]) / (praised + damned)
    return stances[0], stances[1]


def _blended(whole: Reading, side: Reading) -> Array:
    """A side's concepts, helped out by the whole text where the side alone is short of words."""
    blended: Array = np.sqrt(whole.concepts * side.concepts)
    return blended
