"""How well answers match gold rows, any accepted concept and entity counting. Pure; for the development split."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inference.taxonomy import Taxonomy

_Same = Callable[[Mapping[str, str], Mapping[str, Any]], bool]


def score(answers: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """F1 of concept, entity, stance and of all three together, chatter read as interest, and answers that are no JSON.

    An answer that is no JSON has no interests.
    """
    found = [_parsed(answer) for answer in answers]
    pairs = [(interests or [], row["gold"]) for interests, row in zip(found, rows, strict=True)]
    chatter = [interests for interests, gold in pairs if not gold]
    return {
        "concept": _f1(pairs, _same_concept),
        "entity": _f1(pairs, lambda i, g: _same_concept(i, g) and _same_entity(i, g)),
        "stance": _f1(pairs, lambda i, g: _same_concept(i, g) and i["s"] == g["stance"]),
        "all": _f1(pairs, lambda i, g: _same_concept(i, g) and _same_entity(i, g) and i["s"] == g["stance"]),
        "chatter": sum(map(bool, chatter)) / max(1, len(chatter)),
        "invalid": sum(interests is None for interests in found) / max(1, len(found)),
    }


def _f1(pairs: Sequence[tuple[list[dict[str, str]], Sequence[Any]]], same: _Same) -> float:
    hits = answered = wanted = 0
    for interests, gold in pairs:
        open_gold = list(gold)
        for interest in interests:
            match = next((g for g in open_gold if same(interest, g)), None)
            if match is not None:
                open_gold.remove(match)
                hits += 1
        answered += len(interests)
        wanted += len(gold)
    return 2 * hits / max(1, answered + wanted)


def _same_concept(interest: Mapping[str, str], gold: Mapping[str, Any]) -> bool:
    concept = Taxonomy.load().by_slug.get(interest["c"])
    return concept is not None and concept.id in gold["concepts"]


def _same_entity(interest: Mapping[str, str], gold: Mapping[str, Any]) -> bool:
    return interest["e"] in gold["entities"] if gold["entities"] else not interest["e"]


def _parsed(answer: str) -> list[dict[str, str]] | None:
    try:
        return [{key: str(item[key]) for key in ("e", "c", "s")} for item in json.loads(answer)]
    except (ValueError, TypeError, KeyError):
        return None
