"""``penchant extract``, ``eval`` and ``train``: reading texts, and how well it is done."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import UNREACHABLE, WRONG_USE, Json, fail, print_json, settings

if TYPE_CHECKING:
    from inference.extraction import Extraction, Extractor
    from streams.settings import Settings

_BATCH = 32
Tier = Annotated[str | None, typer.Option(help="embedded or vllm; default: as configured")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(extract)
    app.command("eval")(evaluate)
    app.command()(train)


def extract(
    text: Annotated[str, typer.Argument(help="a text, or - for one text a line on standard input")],
    *,
    extractor: Tier = None,
    item: Annotated[bool, typer.Option("--item", help="read it as an item's text: never chatter")] = False,
    as_json: Json = False,
) -> None:
    """Name the interests in a text, and explain the reading."""
    effective = _settings(extractor)
    texts = (line.rstrip("\r\n") for line in sys.stdin) if text == "-" else iter([text])
    asyncio.run(_extract(effective, texts, item=item, as_json=as_json))


async def _extract(effective: "Settings", texts: Iterator[str], *, item: bool, as_json: bool) -> None:
    from inference.extraction import Passage

    reader = _build(effective)
    try:
        while batch := list(islice(texts, _BATCH)):
            with _reaching_vllm():
                extractions = await reader.extract([Passage(t, item=item) for t in batch])
            for given, extraction in zip(batch, extractions, strict=True):
                if as_json:
                    print_json(_as_dict(given, extraction))
                else:
                    _explain(given, extraction)
    finally:
        await reader.aclose()


@contextmanager
def _reaching_vllm() -> Iterator[None]:
    """Turn servers that do not take requests into one clear line."""
    from inference.extraction import Overloaded

    try:
        yield
    except Overloaded as overloaded:
        fail(UNREACHABLE, f"{overloaded}: check PENCHANT_VLLM_URLS")


def _as_dict(text: str, extraction: "Extraction") -> dict[str, Any]:
    return {
        "text": text,
        "interests": [
            {
                "concept": i.concept,
                "concept_id": i.concept_id,
                "entity": i.entity,
                "stance": i.stance,
                "confidence": i.confidence,
                "span": list(i.span) if i.span else None,
            }
            for i in extraction.interests
        ],
        "tier": extraction.tier,
        "reader": extraction.reader,
        "cleaned": extraction.text,
        "tokens": extraction.tokens,
        "dropped": dict(extraction.dropped),
        "steps": dict(extraction.steps),
    }


def _explain(text: str, extraction: "Extraction") -> None:
    from inference.taxonomy import Taxonomy

    taxonomy = Taxonomy.load()
    typer.echo(text)
    if extraction.text != text:
        typer.echo(f"  read as     {extraction.text}")
    for step, count in extraction.steps:
        typer.echo(f"  prepared    {count} {step}")
    typer.echo(f"  tier        {extraction.tier} ({extraction.reader}, {extraction.tokens} tokens)")
    for i in extraction.interests:
        path = " > ".join(taxonomy.by_id[i.concept_id].path)
        where = f"  '{i.entity}' at {i.span[0]}-{i.span[1]}" if i.entity and i.span else ""
        typer.echo(f"  {i.stance:<10}  {i.concept} ({path}){where}  confidence {i.confidence:.2f}")
    for reason, count in extraction.dropped:
        typer.echo(f"  dropped     {count} {reason}")
    if not extraction.interests:
        typer.echo("  no interest")


def evaluate(
    data: Annotated[Path, typer.Option(help="JSONL of texts with their gold interests")],
    *,
    extractor: Tier = None,
    price: Annotated[
        float | None, typer.Option(help="price of a million tokens, for the cost of 1,000 comments")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how well interests are read: precision, recall and F1 of concept, entity and stance, and more."""
    from rich.console import Console
    from rich.progress import Progress

    from inference.evaluation import evaluate as run_evaluation
    from inference.evaluation import load_rows, render

    effective = _settings(extractor)
    try:
        rows = load_rows([data])
    except (OSError, ValueError) as error:
        fail(WRONG_USE, str(error))

    async def run() -> Any:
        reader = _build(effective)
        concurrency = effective.vllm_concurrency if effective.extraction == "vllm" else 1
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("texts read", total=len(rows))
            try:
                return await run_evaluation(
                    reader,
                    rows,
                    concurrency=concurrency,
                    price_per_million_tokens=price,
                    progress=lambda done: progress.update(task, completed=done),
                )
            finally:
                await reader.aclose()

    with _reaching_vllm():
        report = asyncio.run(run())
    if as_json:
        print_json(report.as_dict())
    else:
        Console().print(render(report))


def train(
    base: Annotated[Path, typer.Argument(help="a Hugging Face causal model folder")],
    out: Annotated[Path, typer.Argument(help="where the tuned model goes; vLLM serves it from there")],
    *,
    data: Annotated[list[Path] | None, typer.Option(help="JSONL training files; default: our gold set")] = None,
    epochs: Annotated[int, typer.Option(help="passes over the data")] = 4,
    batch_size: Annotated[int, typer.Option(help="examples a step")] = 16,
    learning_rate: Annotated[float, typer.Option(help="peak of the schedule")] = 1e-4,
    seed: Annotated[int, typer.Option(help="of order and augmentation")] = 7,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    lora_rank: Annotated[int, typer.Option(help="train adapters of this rank instead of all weights; 0: all")] = 0,
    frozen_layers: Annotated[int, typer.Option(help="lowest layers that stay as they are")] = 0,
    max_minutes: Annotated[float | None, typer.Option(help="end in this time, with a finished model")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint in OUT")] = False,
) -> None:
    """Fine-tune a small causal model for the one task.

    A model of 270M parameters takes an hour for a pass over our 15,000 comments on two CPU cores; one pass is most of
    what it learns. It needs about 6 GB of memory. No GPU was there to measure. The prompt and schema
    version are written beside the weights, so that server and client cannot disagree.
    """
    from inference.training import TrainingConfig
    from inference.training import train as run_training

    config = TrainingConfig(
        base=base,
        out=out,
        data=tuple(data or ()),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        lora_rank=lora_rank,
        frozen_layers=frozen_layers,
        max_minutes=max_minutes,
        resume=resume,
    )
    run_training(config)


def _settings(extractor: str | None) -> "Settings":
    return settings(**({"extraction": extractor} if extractor else {}))


def _build(effective: "Settings") -> "Extractor":
    from streams.runtime import extractor_of

    return extractor_of(effective, ledger=None)
