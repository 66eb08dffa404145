"""What a worker depends on: asked by name, for readiness, for metrics, and for the operator's log."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx2
import structlog
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from .observer import DependencyChecked, Observer
from .settings import Settings

_log = structlog.get_logger()
TIMEOUT_SECONDS = 3.0

Check = Callable[[], Awaitable[None]]


def dependency_checks(settings: Settings, redis: Redis, producer: AIOKafkaProducer) -> Mapping[str, Check]:
    """A check for each dependency; it raises where the dependency does not answer."""

    async def redis_answers() -> None:
        await redis.ping()

    async def kafka_answers() -> None:
        if not await producer.client.force_metadata_update():
            raise ConnectionError("the brokers do not answer")

    async def vllm_answers() -> None:
        """One server that answers is enough: the client chooses among them."""
        headers = {"Authorization": f"Bearer {settings.vllm_token.get_secret_value()}"} if settings.vllm_token else {}
        async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS) as client:
            asked = [client.get(f"{url.rstrip('/')}/models") for url in settings.vllm_urls]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        if not any(isinstance(a, httpx2.Response) and a.is_success for a in answers):
            raise ConnectionError("no vLLM server answers")

    checks: dict[str, Check] = {"redis": redis_answers, "kafka": kafka_answers}
    if settings.extraction == "vllm":
        checks["vllm"] = vllm_answers
    return checks


class Watch:
    """Asks the dependencies; says once when one goes away, and once when it is back."""

    def __init__(self, checks: Mapping[str, Check], observer: Observer) -> None:
        self._checks = checks
        self._observer = observer
        self._down: set[str] = set()

    async def look(self) -> None:
        """Ask each dependency once."""
        for name, check in self._checks.items():
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await check()
            except Exception as error:  # noqa: BLE001 - whatever it is, the dependency does not answer
                if name not in self._down:
                    _log.error("dependency_down", name=name, error=type(error).__name__, hint="work waits for it")
                self._down.add(name)
            else:
                if name in self._down:
                    _log.warning("dependency_up_again", name=name)
                self._down.discard(name)
            self._observer.observe(DependencyChecked(name, name not in self._down))
