"""Whether the dependencies answer. However many ask, each dependency is asked at most once at a time and a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

_CHECK_SECONDS = 3.0
_STANDS_SECONDS = 1.0

Answer = dict[str, object]


class Readiness:
    """Asks the dependencies by name. What they answer stands for a second; ``clock`` gives monotonic seconds."""

    def __init__(
        self, checks: Mapping[str, Callable[[], Awaitable[None]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._checks = checks
        self._clock = clock
        self._turn = asyncio.Lock()
        self._answers: dict[str, Answer] = {}
        self._stands_until = float("-inf")

    async def answers(self) -> dict[str, Answer]:
        """What each dependency answers now, or did less than a second ago."""
        async with self._turn:
            if self._clock() >= self._stands_until:
                answers = await asyncio.gather(*map(_ask, self._checks.values()))
                self._answers = dict(zip(self._checks, answers, strict=True))
                self._stands_until = self._clock() + _STANDS_SECONDS
            return self._answers


async def _ask(check: Callable[[], Awaitable[None]]) -> Answer:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except TimeoutError:
        return {"ok": False, "detail": f"no answer within {_CHECK_SECONDS:.0f} s"}
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency does not answer
        return {"ok": False, "detail": type(error).__name__}
    return {"ok": True, "detail": "answers"}
