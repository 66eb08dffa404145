"""Comments through a real vLLM: from Kafka to Redis, against a plain asyncio client and against the engine offline."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from inference import prompt, serving
from inference.embedded import EmbeddedExtractor
from inference.extraction import Passage
from inference.preparation import worth_reading
from inference.taxonomy import Taxonomy
from inference.training import examples
from inference.vllm_client import limits
from profiles import keys
from streams.embedded import EmbeddedBroker, EmbeddedRedis
from streams.settings import PREFIX
from streams.topics import COMMENTS, topic_names

from .contestants import OURS, ContestantFailedError, by_name, running
from .freshness import LOADS, quantiles

IN_FLIGHT = 128
_MAX_TOKENS = 96
_TIMEOUT_SECONDS = 180.0
_LOOK_SECONDS = 0.01
_OFFLINE = Path(__file__).with_name("offline.py")
_encode = msgspec.json.Encoder().encode

A = TypeVar("A")
Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Offline:
    """Where the engine can be run without a server: the interpreter of vLLM's environment, and the model's folder."""

    python: Path
    model: Path


def measure(
    *,
    url: str,
    model: str,
    texts: int,
    seconds: float,
    offline: Offline | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Comments a second at saturation, three ways, and milliseconds a comment at shares of that, two ways.

    Every way asks for the same prompts, schema and lengths, all texts different, so that nothing is in the ledger. What
    the embedded reader suggests is in the prompts: Penchant finds that out as it goes, the others know it before
    their time begins. The plain client throws the answers away. ``offline`` is ``LLM.chat`` of vLLM on all prompts at
    once: the limit; ``offline_after_suggestions`` counts the time in which the prompts were made, too.
    """
    return asyncio.run(_measure(url, model, texts, seconds, offline, tell))


async def _measure(
    url: str, model: str, number: int, seconds: float, offline: Offline | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    texts = _Texts()
    result: dict[str, Any] = {"texts": number, "in_flight": IN_FLIGHT}
    saturated: dict[str, float] = {}
    if offline is not None:
        started = time.monotonic()
        prompts = texts.prompts(number)
        suggesting = time.monotonic() - started
        saturated["offline"] = await asyncio.to_thread(_offline, offline, prompts)
        saturated["offline_after_suggestions"] = number / (suggesting + number / saturated["offline"])
        tell(
            f"LLM.chat: {saturated['offline']:.1f} comments/s, "
            f"{saturated['offline_after_suggestions']:.1f} with the time that suggestions took before"
        )
    async with _client(url, model) as ask:
        await asyncio.gather(*map(ask, texts.prompts(IN_FLIGHT)))
        saturated["plain_client"] = await _saturate(ask, texts.prompts(number))
        tell(f"plain client: {saturated['plain_client']:.1f} comments/s")
        async with _way_through(url, model) as way:
            saturated["penchant"] = await way.all_of(texts.next(number))
            tell(f"from Kafka to Redis: {saturated['penchant']:.1f} comments/s")
            waits = {}
            for load in LOADS:
                rate = load * saturated["penchant"]
                few = max(1, round(rate * seconds))
                waits[f"{load:.0%}"] = {
                    "plain_client": quantiles(await _at_rate(ask, texts.prompts(few), rate)),
                    "penchant": quantiles(await _at_rate(way.one, texts.next(few), rate)),
                }
                tell(f"at {load:.0%}: {waits[f'{load:.0%}']}")
    result["comments_per_second"] = saturated
    result["ratios"] = {name: saturated["penchant"] / rate for name, rate in saturated.items() if name != "penchant"}
    result["waits_ms"] = waits
    return result


class _Texts:
    """Comments of the training set that a model would be asked about, each made different by its number."""

    def __init__(self) -> None:
        self._texts = [e.text for e in examples.load() if worth_reading(e.text) is None]
        self._numbers = count(1)
        self._embedded = EmbeddedExtractor()

    def next(self, number: int) -> list[str]:
        return [f"{self._texts[n % len(self._texts)]} ({n})" for n in (next(self._numbers) for _ in range(number))]

    def prompts(self, number: int) -> list[Messages]:
        texts = self.next(number)
        suggestions = self._embedded.suggestions([Passage(text) for text in texts])
        return [prompt.messages(text, suggestion=said) for text, said in zip(texts, suggestions, strict=True)]


def _schema() -> dict[str, Any]:
    return prompt.schema([concept.slug for concept in Taxonomy.load().concepts])


def _offline(offline: Offline, prompts: Sequence[Messages]) -> float:
    job = {
        "model": str(offline.model),
        "conversations": prompts,
        "schema": _schema(),
        "max_tokens": _MAX_TOKENS,
        "warm_up": IN_FLIGHT,
        "engine": {
            **serving.CPU_ENGINE,
            "max_model_len": serving.TUNED_LENGTH,
            "enforce_eager": True,
            "structured_outputs_config": {"backend": serving.STRUCTURED},
        },
    }
    done = subprocess.run(  # noqa: S603 - our own command line
        [str(offline.python), str(_OFFLINE)],
        input=json.dumps(job),
        env=os.environ | serving.cpu_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContestantFailedError(f"LLM.chat ended with {done.returncode}: {done.stderr[-800:]}")
    (answer,) = (line for line in done.stdout.splitlines() if line.startswith('{"seconds"'))  # vLLM logs there too
    return len(prompts) / float(json.loads(answer)["seconds"])


@asynccontextmanager
async def _client(url: str, model: str) -> AsyncIterator[Callable[[Messages], Awaitable[None]]]:
    slots, schema = asyncio.Semaphore(IN_FLIGHT), _schema()
    async with httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, limits=limits(IN_FLIGHT)) as client:

        async def ask(messages: Messages) -> None:
            body = {
                "model": model,
                "messages": messages,
                "max_tokens": _MAX_TOKENS,
                "temperature": 0,
                "response_format": {"type": "json_schema", "json_schema": {"name": "interests", "schema": schema}},
            }
            async with slots:
                (await client.post(f"{url.rstrip('/')}/chat/completions", json=body)).raise_for_status()

        yield ask


async def _saturate(ask: Callable[[Messages], Awaitable[None]], prompts: Sequence[Messages]) -> float:
    started = time.monotonic()
    await asyncio.gather(*map(ask, prompts))
    return len(prompts) / (time.monotonic() - started)


async def _at_rate(ask: Callable[[A], Awaitable[None]], arguments: Sequence[A], rate: float) -> list[float]:
    """Milliseconds of each request while they come at a steady rate, whether or not the ones before are answered."""
    waits: list[float] = []

    async def timed(argument: A) -> None:
        started = time.monotonic()
        await ask(argument)
        waits.append((time.monotonic() - started) * 1000)

    async with asyncio.TaskGroup() as group:
        for argument in arguments:
            group.create_task(timed(argument))
            await asyncio.sleep(1 / rate)
    return waits


@asynccontextmanager
async def _way_through(url: str, model: str) -> AsyncIterator["_Way"]:
    """A worker that reads with vLLM, its broker and its Redis, warm."""
    with EmbeddedRedis() as server, EmbeddedBroker() as broker:
        settings = {
            "KAFKA_BOOTSTRAP": broker.bootstrap,
            "REDIS_URL": server.url,
            "WEB_PORT": "0",
            "EXTRACTION": "vllm",
            "VLLM_URLS": url,
            "VLLM_MODEL": model,
            "VLLM_CONCURRENCY": str(IN_FLIGHT),
            "VLLM_TIMEOUT_SECONDS": str(_TIMEOUT_SECONDS),
            "LOG_LEVEL": "WARNING",
        }
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=2)
        with running(by_name(OURS), {PREFIX + name: value for name, value in settings.items()}):
            redis = Redis.from_url(server.url)
            await _answering(producer)
            try:
                way = _Way(producer, redis)
                await way.one("I love science fiction")
                yield way
            finally:
                await producer.stop()
                await redis.aclose()


async def _answering(producer: AIOKafkaProducer) -> None:
    await producer.start()
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while topic_names()[COMMENTS] not in (await producer.client.fetch_all_metadata()).topics():
        if time.monotonic() > deadline:
            raise ContestantFailedError("the worker created no topics")
        await asyncio.sleep(0.2)


class _Way:
    """From a comment sent to its user's profile written; every comment has a user of its own."""

    def __init__(self, producer: AIOKafkaProducer, redis: "Redis") -> None:
        self._producer = producer
        self._redis = redis
        self._users = (f"writer-{n}" for n in count())

    async def one(self, text: str) -> None:
        """One comment, until it is in its profile."""
        await self._shown(await self._send(text))

    async def all_of(self, texts: Sequence[str]) -> float:
        """All comments at once; how many a second came through."""
        started = time.monotonic()
        users = await asyncio.gather(*map(self._send, texts))
        for user in users:
            await self._shown(user)
        return len(texts) / (time.monotonic() - started)

    async def _send(self, text: str) -> str:
        user = next(self._users)
        event = {
            "event_id": user,
            "user_id": user,
            "occurred_at": round(time.time() * 1000),
            "kind": "comment",
            "text": text,
        }
        await self._producer.send_and_wait(topic_names()[COMMENTS], _encode(event), key=user.encode())
        return user

    async def _shown(self, user: str) -> None:
        started = time.monotonic()
        while not await self._redis.exists(keys.meta(user)):
            if time.monotonic() - started > _TIMEOUT_SECONDS:
                raise ContestantFailedError(f"a comment did not show within {_TIMEOUT_SECONDS:.0f} s")
            await asyncio.sleep(_LOOK_SECONDS)
