"""How much of the reading is not done: texts that hold nothing, repeats in a batch, and what the ledger knows."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from redis.asyncio import Redis

from inference.extraction import Extraction, Passage, Tier
from inference.grounding import GroundingExtractor
from inference.ledger import Ledger, LedgerExtractor
from inference.taxonomy import Taxonomy
from inference.tiers import GateExtractor
from inference.training import examples
from streams.embedded import EmbeddedRedis

_LEDGER_SECONDS = 86_400.0
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Stream:
    """What people do, as assumed here: shares are chosen, not observed.

    Of ``events``, ``written`` are comments and searches, the rest clicks on ``items`` different items. A comment is one
    of ``texts`` wordings by Zipf's law with exponent ``skew``: greetings, reactions and searches come again word for
    word, most others do not; ``own`` of the comments are nobody else's words. Clicks are on items by the same law.
    """

    events: int = 20_000
    written: float = 0.2
    own: float = 0.6
    skew: float = 1.0
    items: int = 2_000
    seed: int = 7


class _Counting:
    """A reader that finds nothing and counts what it is asked."""

    reader = "counting"

    def __init__(self) -> None:
        self.calls = 0

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        self.calls += len(passages)
        return [Extraction((), Tier.VLLM, self.reader, text=p.text) for p in passages]

    async def aclose(self) -> None:
        """Nothing is held."""


def measure(stream: Stream) -> dict[str, Any]:
    """Model calls for each 1,000 events, and who made the others needless, through gate, batch and ledger as they run.

    Without any of them, every comment and every click (its item's text) would be one call.
    """
    with EmbeddedRedis() as server:
        return asyncio.run(_measure(stream, server.url))


async def _measure(stream: Stream, url: str) -> dict[str, Any]:
    redis = Redis.from_url(url)
    counting = _Counting()
    grounded = GroundingExtractor(counting, Taxonomy.load(), allow_sensitive=False)
    extractor = GateExtractor(LedgerExtractor(grounded, Ledger(redis, _LEDGER_SECONDS)))
    outcomes: Counter[str] = Counter()
    batch: list[Passage] = []
    for passage in [*_passages(stream), None]:
        if passage is not None:
            batch.append(passage)
        if batch and (passage is None or len(batch) == _BATCH):
            before = counting.calls
            found = await extractor.extract(batch)
            worthy = [p for p, extraction in zip(batch, found, strict=True) if extraction.tier is not Tier.GATE]
            outcomes["events"] += len(batch)
            outcomes["gate"] += len(batch) - len(worthy)
            outcomes["repeated_in_batch"] += len(worthy) - len(set(worthy))
            outcomes["calls"] += counting.calls - before
            batch = []
    await redis.aclose()
    events = outcomes["events"]
    avoided = events - outcomes["calls"]
    return {
        "events": events,
        "calls_per_thousand_events": 1000 * outcomes["calls"] / events,
        "share_avoided": avoided / events,
        "by": {
            "gate": outcomes["gate"] / events,
            "repeated_in_batch": outcomes["repeated_in_batch"] / events,
            "ledger": (avoided - outcomes["gate"] - outcomes["repeated_in_batch"]) / events,
        },
    }


def _passages(stream: Stream) -> Iterator[Passage]:
    rng = random.Random(stream.seed)  # noqa: S311 - reproducible, not secret
    texts = [example.text for example in examples.load()]
    wordings = list(accumulate((n + 1) ** -stream.skew for n in range(len(texts))))
    items = list(accumulate((n + 1) ** -stream.skew for n in range(stream.items)))
    rng.shuffle(texts)
    for number in range(stream.events):
        if rng.random() >= stream.written:
            (item,) = rng.choices(range(stream.items), cum_weights=items)
            yield Passage(f"{texts[item % len(texts)]} #{item}", item=True)
            continue
        (text,) = rng.choices(texts, cum_weights=wordings)
        yield Passage(f"{text} ({number})" if rng.random() < stream.own else text)
