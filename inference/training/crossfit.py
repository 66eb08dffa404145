"""What the embedded reader suggests about gold rows that it has not seen: ``python -m inference.training.crossfit``.

A model that is trained beside the reader must meet the mistakes that the reader makes on new texts. So the rows are cut
in halves, and each half is read by a reader trained on the other one, each in a process of its own. Needs the extra
``train``; forty minutes on two cores.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from inference.embedded.encoder import Encoder
from inference.embedded.extractor import EmbeddedExtractor
from inference.embedded.fit import DATA, trained
from inference.embedded.fitting import Trainer, read_rows
from inference.embedded.head import Head
from inference.extraction import Suggestion
from inference.taxonomy import Taxonomy

from .suggestions import FILE, read, write

_HALVES = 2
_EPOCHS = 4


def suggestions_of_others(half: int, data: Sequence[Path]) -> dict[str, Suggestion]:
    """Suggestions for every second row, from ``half`` on, by a reader trained on the others.

    Its bars are the shipped reader's.
    """
    torch.set_num_threads(1)
    rows, taxonomy, shipped = read_rows(data), Taxonomy.load(), Head.load()
    known = [row for at, row in enumerate(rows) if at % _HALVES != half]
    head = trained(Trainer(taxonomy, Encoder()), known, shipped.concepts.names, epochs=_EPOCHS)
    head = replace(head, interest_bar=shipped.interest_bar, contrast_bar=shipped.contrast_bar)
    return read(EmbeddedExtractor(taxonomy, head), [row["text"] for row in rows[half::_HALVES]])


def main() -> None:
    """Train the readers of both halves, and write what each says about the other's rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, nargs="*", default=sorted((DATA / "gold").glob("train-*.jsonl")))
    parser.add_argument("--out", type=Path, default=DATA / "gold" / FILE)
    options = parser.parse_args()
    with ProcessPoolExecutor(_HALVES, mp_context=get_context("spawn")) as pool:
        halves = list(pool.map(partial(suggestions_of_others, data=options.data), range(_HALVES)))
    write({text: suggestion for half in halves for text, suggestion in half.items()}, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, {sum(map(len, halves))} texts")  # noqa: T201


if __name__ == "__main__":
    main()
