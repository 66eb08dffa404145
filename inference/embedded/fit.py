"""Trains the head of the embedded tier on the gold set: ``python -m inference.embedded.fit``, numpy only.

Three times an eighth of the rows is held back: bars and calibration are set on what heads say about rows they have
not seen, and the results on those are printed. Then all rows are trained on. It takes half an hour on two cores, most
of it to encode comments, names of concepts and ``words.tsv``.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from rich.console import Console

from inference.embedded.encoder import Encoder
from inference.embedded.extractor import EmbeddedExtractor
from inference.embedded.fitting import Row, Trainer, read_rows
from inference.embedded.head import FILE, Calibration, Head
from inference.embedded.linear import fit_softmax
from inference.evaluation import GoldRow, evaluate, load_rows, render
from inference.extraction import Extraction, Interest, Passage, Tier
from inference.preparation import worth_reading
from inference.taxonomy import Taxonomy
from inference.tiers import GateExtractor

DATA = Path(__file__).parent.parent / "data"
_PARTS, _HELD_OUT = 8, (0, 3, 6)
_CHATTER_LIMIT = 0.05
_CONTRAST_LIMIT = 0.03
_LOWEST_BAR = 0.3


@dataclass(frozen=True)
class Fold:
    """A head and the rows it has not seen."""

    head: Head
    rows: Sequence[Row]


def interest_bar(folds: Sequence[Fold], taxonomy: Taxonomy) -> float:
    """The bar that at most 5% of the chatter passes."""
    chances: list[float] = []
    for fold in folds:
        texts = [r["text"] for r in fold.rows if not r["gold"]]
        readings = EmbeddedExtractor(taxonomy, fold.head).readings(texts)
        chances += [r.interest if worth_reading(t) is None else 0.0 for t, r in zip(texts, readings, strict=True)]
    return max(_LOWEST_BAR, _bar(chances, _CHATTER_LIMIT))


def contrast_bar(folds: Sequence[Fold], taxonomy: Taxonomy) -> float:
    """The bar that at most 3% of the texts with one interest pass: to part them costs a finding, and a wrong stance."""
    chances: list[float] = []
    for fold in folds:
        texts = [r["text"] for r in fold.rows if len(r["gold"]) == 1]
        chances += [r.contrast for r in EmbeddedExtractor(taxonomy, fold.head).readings(texts)]
    return _bar(chances, _CONTRAST_LIMIT)


def _bar(chances: Sequence[float], share: float) -> float:
    """What at most that share of the chances is above."""
    return round(sorted(chances, reverse=True)[int(len(chances) * share)] + 1e-3, 3)


def calibration(found: Sequence[tuple[Row, tuple[Interest, ...]]]) -> Calibration:
    """The curve from raw confidence to the share that is right in concept and stance."""
    judged = [
        (i.confidence, any(i.concept_id in g["concepts"] and i.stance == g["stance"] for g in row["gold"]))
        for row, interests in found
        for i in interests
    ]
    raw = np.clip([confidence for confidence, _ in judged], 1e-4, 1 - 1e-4)
    odds = np.log(raw / (1 - raw)).astype(np.float32)[:, None]
    right = np.eye(2, dtype=np.float32)[np.array([r for _, r in judged], int)]
    curve = fit_softmax(odds, right, decay=1e-4)
    slope, offset = curve.weights[1, 0] - curve.weights[0, 0], curve.bias[1] - curve.bias[0]
    return Calibration(round(float(slope), 4), round(float(offset), 4))


class Recorded:
    """An extractor that repeats what was found before, for the evaluation of several folds as one."""

    reader = "embedded, held-out rows"

    def __init__(self, found: Mapping[str, tuple[Interest, ...]]) -> None:
        self._found = found

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """What was found in these texts."""
        return [Extraction(self._found[p.text], Tier.EMBEDDED, self.reader, p.text) for p in passages]

    async def aclose(self) -> None:
        """Nothing is held."""


def read_held_out(folds: Sequence[Fold], taxonomy: Taxonomy) -> list[tuple[Row, tuple[Interest, ...]]]:
    """The held-out rows and what the heads that have not seen them find in them."""
    return [
        pair
        for fold in folds
        for pair in zip(
            fold.rows,
            EmbeddedExtractor(taxonomy, fold.head).read([Passage(r["text"]) for r in fold.rows]),
            strict=True,
        )
    ]


def show(found: Sequence[tuple[Row, tuple[Interest, ...]]], gold: Sequence[GoldRow], taxonomy: Taxonomy) -> None:
    """Print how well the held-out rows are read; speed says nothing here."""
    recorded = GateExtractor(Recorded({row["text"]: interests for row, interests in found}))
    Console(width=160).print(render(asyncio.run(evaluate(recorded, gold, taxonomy=taxonomy))))


def main() -> None:
    """Measure on rows held back, then train on all and write the head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, nargs="*", default=sorted((DATA / "gold").glob("train-*.jsonl")))
    parser.add_argument("--out", type=Path, default=DATA / "embedded" / FILE)
    options = parser.parse_args()
    rows, gold = read_rows(options.data), load_rows(options.data)
    taxonomy = Taxonomy.load()
    trainer = Trainer(taxonomy, Encoder())
    names = trainer.name_vectors()
    folds = [
        Fold(trainer.head([r for i, r in enumerate(rows) if i % _PARTS != part], names), rows[part::_PARTS])
        for part in _HELD_OUT
    ]
    bar, parting = interest_bar(folds, taxonomy), contrast_bar(folds, taxonomy)
    folds = [Fold(replace(f.head, interest_bar=bar, contrast_bar=parting), f.rows) for f in folds]
    curve = calibration(read_held_out(folds, taxonomy))
    folds = [Fold(replace(f.head, calibration=curve), f.rows) for f in folds]
    show(read_held_out(folds, taxonomy), [g for part in _HELD_OUT for g in gold[part::_PARTS]], taxonomy)
    head = replace(trainer.head(rows, names), interest_bar=bar, contrast_bar=parting, calibration=curve)
    content = sha256(b"".join(np.asarray(a).tobytes() for a in head.arrays().values())).hexdigest()
    head = replace(head, version=content[:8])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **head.arrays())
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, {len(rows)} rows, bars {bar} and {parting}")  # noqa: T201


if __name__ == "__main__":
    main()
