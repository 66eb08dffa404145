"""The tiers, put together: quality gate, ledger, grounding, then the embedded reader or vLLM."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from inference.embedded import EmbeddedExtractor
from inference.extraction import Extraction, Extractor, Overloaded, Passage, Tier
from inference.grounding import GroundingExtractor
from inference.ledger import Ledger, LedgerExtractor
from inference.preparation import Prepared, prepare, worth_reading
from inference.taxonomy import Taxonomy

_GATE = "gate"


class GateExtractor:
    """Prepares every text, and passes on those that may hold an interest."""

    def __init__(self, inner: Extractor, beside: Sequence[Extractor] = ()) -> None:
        self._inner = inner
        self._beside = beside

    @property
    def reader(self) -> str:
        """The inner extractor's identity."""
        return self._inner.reader

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages that are worth it; the others have no interests, and the reason among their steps."""
        prepared = await asyncio.to_thread(lambda: [prepare(p.text) for p in passages])
        reasons = [
            worth_reading(ready.text, item=passage.item) for passage, ready in zip(passages, prepared, strict=True)
        ]
        worthy = [
            replace(passage, text=ready.text)
            for passage, ready, reason in zip(passages, prepared, reasons, strict=True)
            if reason is None
        ]
        found = iter(await self._inner.extract(worthy) if worthy else [])
        return [
            replace(next(found), steps=ready.steps) if reason is None else _closed(ready, reason)
            for ready, reason in zip(prepared, reasons, strict=True)
        ]

    async def aclose(self) -> None:
        """Close the inner extractor, and those it leans on."""
        for extractor in (self._inner, *self._beside):
            await extractor.aclose()


def _closed(ready: Prepared, reason: str) -> Extraction:
    return Extraction((), Tier.GATE, _GATE, text=ready.text, steps=(*ready.steps, (f"gate_{reason}", 1)))


class EstimatingExtractor:
    """Reads with the first extractor, and estimates with the second while the first cannot take work.

    The second is whoever gave it's to close.
    """

    def __init__(self, first: Extractor, second: Extractor) -> None:
        self._first = first
        self._second = second

    @property
    def reader(self) -> str:
        """The first extractor's identity: an estimate carries its own, and is not kept in the ledger."""
        return self._first.reader

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Read the passages, whatever state the first extractor is in; what that has read is not read again."""
        found = await asyncio.gather(*(self._first.extract([p]) for p in passages), return_exceptions=True)
        for outcome in found:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Overloaded):
                raise outcome
        left = [p for p, outcome in zip(passages, found, strict=True) if isinstance(outcome, Overloaded)]
        estimates = iter(await self._second.extract(left) if left else [])
        return [next(estimates) if isinstance(outcome, BaseException) else outcome[0] for outcome in found]

    async def aclose(self) -> None:
        """Close the first."""
        await self._first.aclose()


def build_extractor(
    *,
    extraction: Literal["embedded", "vllm"] = "embedded",
    ledger: Ledger | None = None,
    allow_sensitive: bool = False,
    vllm_urls: Sequence[str] = (),
    vllm_model: str = "penchant",
    vllm_token: str | None = None,
    vllm_timeout_seconds: float = 30.0,
    vllm_concurrency: int = 64,
    vllm_when_down: Literal["wait", "estimate"] = "wait",
) -> Extractor:
    """The extractor that the settings ask for. Without a ledger every text is read anew.

    Raises ValueError where vLLM is asked for without a URL.
    """
    taxonomy = Taxonomy.load()
    embedded = EmbeddedExtractor(taxonomy)
    reader: Extractor = embedded
    if extraction == "vllm":
        if not vllm_urls:
            raise ValueError("PENCHANT_EXTRACTION=vllm needs PENCHANT_VLLM_URLS, for example http://host:8000/v1")
        from inference.vllm_client import VllmExtractor  # noqa: PLC0415 - its HTTP client is not loaded for nothing

        reader = VllmExtractor(
            urls=vllm_urls,
            model=vllm_model,
            token=vllm_token,
            timeout_seconds=vllm_timeout_seconds,
            concurrency=vllm_concurrency,
            fallback=embedded,
        )
        if vllm_when_down == "estimate":
            reader = EstimatingExtractor(reader, embedded)
    reader = GroundingExtractor(reader, taxonomy, allow_sensitive=allow_sensitive)
    if ledger is not None:
        reader = LedgerExtractor(reader, ledger, "sensitive" if allow_sensitive else "")
    return GateExtractor(reader, beside=(embedded,))
