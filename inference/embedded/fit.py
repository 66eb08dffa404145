"""Trains the embedded tier on the gold set: ``python -m inference.embedded.fit``. Needs the extra ``train``.

An eighth of the rows is held back: bars and calibration are set on what is said about rows that neither encoder nor
head have seen, and the results on those are printed: they are of the head that is written. It takes an hour on two
cores: half of it to tune the encoder, the rest to encode comments, names of concepts and ``words.tsv``.
"""

import argparse
import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from inference.embedded.encoder import Encoder
from inference.embedded.extractor import EmbeddedExtractor
from inference.embedded.fitting import Row, Trainer, read_rows
from inference.embedded.head import FILE, Calibration, Head
from inference.embedded.linear import Array, fit_softmax
from inference.embedded.tuning import EPOCHS, tune
from inference.evaluation import evaluate, load_rows, render
from inference.extraction import Passage
from inference.preparation import worth_reading
from inference.taxonomy import Taxonomy
from inference.tiers import GateExtractor

DATA = Path(__file__).parent.parent / "data"
_PARTS, _HELD_OUT = 8, 3
_CHATTER_LIMIT = 0.05
_CONTRAST_LIMIT = 0.03
_LOWEST_BAR = 0.3


def trained(untuned: Trainer, rows: Sequence[Row], names: Array, *, epochs: int = EPOCHS) -> Head:
    """A head, and the encoder tuned for it, from these rows. Bars and calibration are not set."""
    with Progress() as progress:
        bar = progress.add_task("tuning the encoder")
        numbers = tune(
            untuned,
            rows,
            names,
            epochs=epochs,
            tell=lambda step, steps, loss: progress.update(
                bar, completed=step, total=steps, description=f"tuning the encoder, loss {loss:.2f}"
            ),
        )
    return Trainer(untuned.taxonomy, Encoder(numbers)).head(rows, names)


def with_bars(head: Head, unseen: Sequence[Row], taxonomy: Taxonomy) -> Head:
    """The head with bars and calibration that suit rows it has not seen.

    At most 5% of the chatter passes for an interest, and at most 3% of the texts with one interest are parted: that
    costs a finding, and a wrong stance.
    """
    reader = EmbeddedExtractor(taxonomy, head)
    chatter = [r["text"] for r in unseen if not r["gold"]]
    single = [r["text"] for r in unseen if len(r["gold"]) == 1]
    passing = [
        r.interest if worth_reading(t) is None else 0.0 for t, r in zip(chatter, reader.readings(chatter), strict=True)
    ]
    head = replace(
        head,
        interest_bar=max(_LOWEST_BAR, _bar(passing, _CHATTER_LIMIT)),
        contrast_bar=_bar([r.contrast for r in reader.readings(single)], _CONTRAST_LIMIT),
    )
    reader = EmbeddedExtractor(taxonomy, head)
    return replace(
        head, calibration=comment_calibration(reader, unseen), item_calibration=item_calibration(reader, unseen)
    )


def _bar(chances: Sequence[float], share: float) -> float:
    """What at most that share of the chances is above."""
    return round(sorted(chances, reverse=True)[int(len(chances) * share)] + 1e-3, 3)


def comment_calibration(reader: EmbeddedExtractor, unseen: Sequence[Row]) -> Calibration:
    """The curve from raw confidence to the share that is right in concept and stance."""
    return _curve(
        (i.confidence, any(i.concept_id in g["concepts"] and i.stance == g["stance"] for g in row["gold"]))
        for row, interests in zip(unseen, reader.read([Passage(r["text"]) for r in unseen]), strict=True)
        for i in interests
    )


def item_calibration(reader: EmbeddedExtractor, unseen: Sequence[Row]) -> Calibration:
    """The same for texts that take no stance: right in concept. Comments with interests stand in for items."""
    rows = [row for row in unseen if row["gold"]]
    return _curve(
        (i.confidence, any(i.concept_id in g["concepts"] for g in row["gold"]))
        for row, interests in zip(rows, reader.read([Passage(r["text"], item=True) for r in rows]), strict=True)
        for i in interests
    )


def _curve(judged: Iterable[tuple[float, bool]]) -> Calibration:
    """The logistic curve through raw confidences and whether each was right."""
    confidences, right = zip(*judged, strict=True)
    raw = np.clip(confidences, 1e-4, 1 - 1e-4)
    odds = np.log(raw / (1 - raw)).astype(np.float32)[:, None]
    curve = fit_softmax(odds, np.eye(2, dtype=np.float32)[np.array(right, int)], decay=1e-4)
    slope, offset = curve.weights[1, 0] - curve.weights[0, 0], curve.bias[1] - curve.bias[0]
    return Calibration(round(float(slope), 4), round(float(offset), 4))


def main() -> None:
    """Train, measure on the rows held back, and write the head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, nargs="*", default=sorted((DATA / "gold").glob("train-*.jsonl")))
    parser.add_argument("--out", type=Path, default=DATA / "embedded" / FILE)
    options = parser.parse_args()
    rows, gold = read_rows(options.data), load_rows(options.data)
    taxonomy = Taxonomy.load()
    untuned = Trainer(taxonomy, Encoder())
    known = [row for at, row in enumerate(rows) if at % _PARTS != _HELD_OUT]
    head = with_bars(trained(untuned, known, untuned.name_vectors()), rows[_HELD_OUT::_PARTS], taxonomy)
    reader = GateExtractor(EmbeddedExtractor(taxonomy, head))
    Console(width=160).print(render(asyncio.run(evaluate(reader, gold[_HELD_OUT::_PARTS], taxonomy=taxonomy))))
    content = sha256(b"".join(np.asarray(a).tobytes() for a in head.arrays().values())).hexdigest()
    head = replace(head, version=content[:8])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **head.arrays())
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, trained on {len(known)} rows")  # noqa: T201


if __name__ == "__main__":
    main()
