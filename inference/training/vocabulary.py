"""What concepts are called, as short texts with answers: a model then knows those that no gold row mentions."""

import random
from collections.abc import Mapping, Sequence
from functools import cache

from inference import prompt
from inference.embedded.extractor import LIKELY
from inference.embedded.head import Head
from inference.lexicon import lexicon_rows
from inference.taxonomy import Concept, Taxonomy

from .examples import Example

_Frames = Mapping[str, tuple[str, ...]]

_ENGLISH: _Frames = {
    "like": (
        "really into {} these days",
        "{} makes my day",
        "I could talk about {} for hours",
        "so happy with {}",
        "{} never gets old",
        "can't get enough of {}",
    ),
    "dislike": (
        "fed up with {}",
        "{} is such a letdown",
        "I can't stand {} anymore",
        "never again, {}",
        "done with {}",
        "{} just isn't worth it",
    ),
    "neutral": ("{}", "{} recommendations?", "looking for {}", "anyone know about {}?", "how do I start with {}"),
}
_CHINESE: _Frames = {
    "like": ("最近迷上了{}", "{}真的让人开心", "对{}越来越上头", "{}太对我胃口了", "{}怎么都不腻", "一聊{}就停不下来"),
    "dislike": ("{}让我很失望", "受不了{}了", "对{}彻底没好感", "{}真不行", "再也不碰{}了", "{}纯属浪费时间"),
    "neutral": ("{}", "求推荐{}", "{}怎么选", "有人了解{}吗", "想问问{}"),
}
_TURNS = {True: (" but ", ", while ", ". ", "; "), False: ("，但是", "，", "。", "，不过")}
_CONTRASTS = 0.25


def short_texts(per_concept: int, rng: random.Random) -> list[Example]:
    """For each concept, ``per_concept`` of its names, well-known names or everyday words, in a phrase each.

    A quarter of the texts holds a second interest with the opposite stance. What stands beside them as likely are
    the concept and its neighbours, in no order: what the words mean must decide.
    """
    near = _neighbours()
    drawn = [_phrase(concept, rng) for concept in _drawn(per_concept, rng)]
    made = []
    for at, (text, latin, interest) in enumerate(drawn):
        partner, its_latin, other = drawn[at - 1]
        opposed = {interest["s"], other["s"]} == {"like", "dislike"}
        if opposed and latin == its_latin and rng.random() < 2 * _CONTRASTS:
            made.append(_example(text + rng.choice(_TURNS[latin]) + partner, near, rng, interest, other))
        else:
            made.append(_example(text, near, rng, interest))
    return made


@cache
def _neighbours() -> Mapping[str, tuple[str, ...]]:
    """Each concept and those that are nearest to it in what they are called, the nearest first."""
    names = Head.load().concepts.names
    slugs = [concept.slug for concept in Taxonomy.load().concepts]
    nearest = (-(names @ names.T)).argsort(axis=1)[:, :LIKELY]
    return {slug: tuple(slugs[place] for place in places) for slug, places in zip(slugs, nearest.tolist(), strict=True)}


def _drawn(per_concept: int, rng: random.Random) -> list[Concept]:
    concepts = [concept for concept in Taxonomy.load().concepts for _ in range(per_concept)]
    rng.shuffle(concepts)
    return concepts


def _phrase(concept: Concept, rng: random.Random) -> tuple[str, bool, dict[str, str]]:
    """A phrase, whether it is in English, and the interest in it."""
    names, words = _terms().get(concept.slug, ((), ()))
    own = (concept.slug.replace("-", " "), concept.name_zh, *concept.aliases)
    terms = rng.choice([group for group in (own, names, words) if group])
    term = rng.choice(terms)
    stance = rng.choice(("like", "dislike", "neutral"))
    latin = term.isascii() and rng.random() < (0.6 if terms is names else 0.9)
    frame = rng.choice((_ENGLISH if latin else _CHINESE)[stance])
    return frame.format(term), latin, {"e": term if terms is names else "", "c": concept.slug, "s": stance}


@cache
def _terms() -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {slug: (names, words) for slug, names, words in lexicon_rows()}


def _example(
    text: str, near: Mapping[str, Sequence[str]], rng: random.Random, *interests: Mapping[str, str]
) -> Example:
    likely = [slug for interest in interests for slug in near[interest["c"]][: LIKELY // len(interests)]]
    rng.shuffle(likely)
    answer = prompt.answer([{"entity": i["e"], "concept": i["c"], "stance": i["s"]} for i in interests])
    return Example(text, answer, tuple(likely))
