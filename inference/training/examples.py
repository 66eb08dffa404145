"""Training examples: gold comments as prompt and answer. torch-free."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from inference import prompt
from inference.evaluation.gold import lines
from inference.extraction import Suggestion
from inference.preparation import prepare
from inference.taxonomy import Concept, Taxonomy

_TYPO_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Example:
    """What the model is shown and what it is to answer. ``row`` is the gold row it came from, if any.

    ``suggestion`` is what the embedded reader tells the model about the text.
    """

    text: str
    answer: str
    suggestion: Suggestion | None = None
    row: Mapping[str, Any] | None = None


def load(paths: Sequence[Path] = ()) -> list[Example]:
    """Read gold rows as examples; without paths, the training files that ship with Penchant.

    Raises ValueError naming file and line of a row that is not a gold row.
    """
    concepts = Taxonomy.load().by_id
    examples = []
    for path in paths or _shipped():
        for number, line in lines(path):
            try:
                row = json.loads(line)
                examples.append(Example(prepare(row["text"]).text, _answer(row["gold"], concepts), row=row))
            except (KeyError, TypeError, ValueError, IndexError) as why:
                raise ValueError(
                    f"{path}:{number} is no gold row ({why!r}): see inference/data/gold/README.md"
                ) from why
    if not examples:
        raise ValueError("no training rows: give --data files, or install Penchant with its data")
    return examples


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and development part; the same seed splits the same data the same way.

    Raises ValueError where nothing is left to train on.
    """
    order = list(examples)
    random.Random(seed).shuffle(order)  # noqa: S311 - a split, not a secret
    held = max(1, round(len(order) * share))
    if held >= len(order):
        raise ValueError(f"{len(order)} rows are too few: {held} are held out, and none is left to train on")
    return order[held:], order[:held]


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
    return replace(example, text=text) if kept else example


def _entities(example: Example) -> list[str]:
    return [item["e"] for item in json.loads(example.answer) if item["e"]]


def _answer(gold: Sequence[Mapping[str, Any]], concepts: Mapping[str, Concept]) -> str:
    return prompt.answer(
        [
            {
                "entity": g["entities"][0] if g["entities"] else None,
                "concept": concepts[g["concepts"][0]].slug,
                "stance": g["stance"],
            }
            for g in gold
        ]
    )


def _shipped() -> list[Path]:
    return sorted(Path(str(files("inference").joinpath("data", "gold"))).glob("train-*.jsonl"))
