"""Comments through a real vLLM: Penchant's extractor against a plain asyncio client on the same texts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from inference.extraction import Passage
from inference.tiers import build_extractor

_IN_FLIGHT = 64
_TIMEOUT_SECONDS = 120.0
_THINGS = ("科幻小说", "trail running", "拉面", "Python", "羽毛球", "jazz", "天文摄影", "gardening")
_PATTERNS = (
    "最近迷上了{thing},第{n}次了",
    "I really enjoy {thing}, day {n}",
    "{thing}太无聊了,第{n}次",
    "Is {thing} worth it? ({n})",
)


def measure(*, url: str, model: str, texts: int, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Comments a second through the extractor, all different and without a ledger, and through a plain client.

    The plain client sends the bare texts, without prompt and schema, and throws the answers away.
    """
    return asyncio.run(_measure(url, model, texts, tell))


async def _measure(url: str, model: str, number: int, tell: Callable[[str], None]) -> dict[str, Any]:
    passages = [
        Passage(_PATTERNS[n % len(_PATTERNS)].format(thing=_THINGS[n % len(_THINGS)], n=n)) for n in range(number)
    ]
    extractor = build_extractor(
        extraction="vllm",
        vllm_urls=(url,),
        vllm_model=model,
        vllm_concurrency=_IN_FLIGHT,
        vllm_timeout_seconds=_TIMEOUT_SECONDS,
    )
    try:
        started = time.monotonic()
        extractions = await extractor.extract(passages)
        ours = number / (time.monotonic() - started)
    finally:
        await extractor.aclose()
    tokens = sum(e.tokens for e in extractions)
    tell(f"through the extractor: {ours:.1f} comments/s")
    plain = await _plain_client(url, model, [p.text for p in passages])
    tell(f"plain client: {plain:.1f} requests/s")
    return {
        "comments_per_second": ours,
        "plain_client_per_second": plain,
        "ratio": ours / plain,
        "tokens_per_comment": tokens / number,
        "texts": number,
    }


async def _plain_client(url: str, model: str, texts: Sequence[str]) -> float:
    slots = asyncio.Semaphore(_IN_FLIGHT)
    async with httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:

        async def ask(text: str) -> None:
            body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 48, "temperature": 0}
            async with slots:
                (await client.post(f"{url.rstrip('/')}/chat/completions", json=body)).raise_for_status()

        started = time.monotonic()
        await asyncio.gather(*map(ask, texts))
        return len(texts) / (time.monotonic() - started)
