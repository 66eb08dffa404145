"""Training examples: gold comments as prompt and answer, and the names of concepts as short texts. torch-free."""

import csv
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from inference import prompt
from inference.preparation import prepare

_GOLD = ("train-1.jsonl", "train-2.jsonl", "train-3.jsonl", "train-4.jsonl")
_TYPO_LENGTH = 12

_FRAMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "like": (
        ("really into {} these days", "{} makes my day", "I could talk about {} for hours", "so happy with {}"),
        ("最近迷上了{}", "{}真的让人开心", "对{}越来越上头", "{}太对我胃口了"),
    ),
    "dislike": (
        ("fed up with {}", "{} is such a letdown", "I can't stand {} anymore", "never again, {}"),
        ("{}让我很失望", "受不了{}了", "对{}彻底没好感", "{}真不行"),
    ),
    "neutral": (
        ("{}", "{} recommendations?", "looking for {} near me", "anyone know about {}?"),
        ("{}", "求推荐{}", "{}怎么选", "有人了解{}吗"),
    ),
}


@dataclass(frozen=True, slots=True)
class Example:
    """What the model is shown and what it is to answer. ``row`` is the gold row it came from, if any."""

    text: str
    answer: str
    row: Mapping[str, Any] | None = None


def load(paths: Sequence[Path] = ()) -> list[Example]:
    """Read gold rows as examples; without paths, the training files that ship with Penchant.

    Raises ValueError naming file and line of a row that is not a gold row.
    """
    slugs = {row["id"]: row["slug"] for row in concepts()}
    examples = []
    for path in paths or tuple(_shipped()):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                examples.append(Example(prepare(row["text"]).text, _answer(row["gold"], slugs), row))
            except (KeyError, TypeError, ValueError, IndexError) as why:
                raise ValueError(f"{path}:{number} is no gold row ({why!r}): see inference/data/README.md") from why
    if not examples:
        raise ValueError("no training rows: give --data files, or install Penchant with its data")
    return examples


@cache
def concepts() -> tuple[Mapping[str, str], ...]:
    """The rows of our list of concepts, by column name."""
    text = files("inference").joinpath("data", "concepts.tsv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and development part; the same seed splits the same data the same way."""
    order = list(examples)
    random.Random(seed).shuffle(order)  # noqa: S311 - a split, not a secret
    held = max(1, round(len(order) * share))
    return order[held:], order[:held]


def aliases(per_concept: int, rng: random.Random) -> list[Example]:
    """Names of every concept in short texts, drawn anew on each call: a model learns the list from them."""
    made = []
    for row in concepts():
        names = [(name, 0) for name in _names(row["aliases_en"])] + [(name, 1) for name in _names(row["aliases_zh"])]
        names += [(row["slug"].replace("-", " "), 0)] + ([(row["name_zh"], 1)] if row["name_zh"] else [])
        for name, language in rng.sample(names, min(per_concept, len(names))):
            stance = rng.choice(list(_FRAMES))
            text = rng.choice(_FRAMES[stance][language]).format(name)
            made.append(Example(text, prompt.answer([{"concept": row["slug"], "stance": stance}])))
    return made


def with_typos(example: Example, share: float, rng: random.Random) -> Example:
    """The example, with that probability, with one slip of the keyboard outside of its entities."""
    text = example.text
    if rng.random() >= share or len(text) < _TYPO_LENGTH:
        return example
    at = rng.randrange(1, len(text) - 1)
    if any(text[at - 1 : at + 2] in entity or entity in text[at - 3 : at + 4] for entity in _entities(example)):
        return example
    swapped = text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
    text = rng.choice((swapped, text[:at] + text[at] + text[at:], text[:at] + text[at + 1 :]))
    kept = all(entity in text for entity in _entities(example))
    return Example(text, example.answer, example.row) if kept else example


def _entities(example: Example) -> list[str]:
    return [item["e"] for item in json.loads(example.answer) if item["e"]]


def _answer(gold: Sequence[Mapping[str, Any]], slugs: Mapping[str, str]) -> str:
    return prompt.answer(
        [
            {
                "entity": g["entities"][0] if g["entities"] else None,
                "concept": slugs[g["concepts"][0]],
                "stance": g["stance"],
            }
            for g in gold
        ]
    )


def _names(cell: str | None) -> list[str]:
    return [name.strip() for name in (cell or "").split("|") if name.strip()]


def _shipped() -> Iterator[Path]:
    for name in _GOLD:
        path = Path(str(files("inference").joinpath("data", "gold", name)))
        if path.exists():
            yield path
