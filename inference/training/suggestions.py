"""What is likely in each text, as the embedded reader will say it where the model is served."""

from collections.abc import Sequence
from dataclasses import replace

from inference.embedded.encoder import Encoder
from inference.embedded.fitting import Trainer
from inference.embedded.head import Head
from inference.taxonomy import Taxonomy

from .examples import Example


def with_likely(examples: Sequence[Example]) -> list[Example]:
    """The examples with what is likely in each, by a reader that has not seen it: takes a minute or two.

    One that has would put the right concept first every time, and teach the model to believe it. That goes for the
    encoder too, so it is the one that was not tuned.
    """
    rows = [{"text": example.text, "gold": (example.row or {}).get("gold", [])} for example in examples]
    trainer = Trainer(Taxonomy.load(), Encoder())
    return [
        replace(example, likely=likely)
        for example, likely in zip(examples, trainer.likely(rows, Head.load()), strict=True)
    ]
