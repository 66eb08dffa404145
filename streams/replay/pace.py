"""How fast a replay goes: at a steady rate, and not at all while the live worker is behind."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_LOOK_SECONDS = 1.0


class Pace:
    """Slows a replay down. ``rate`` is events a second; above ``most_lag`` records of live lag it stands still.

    ``live_lag`` tells the records that the live worker has not done yet; it is asked at most once a second.
    ``on_wait`` is told that lag, each time it is waited for.
    """

    def __init__(
        self,
        rate: float,
        live_lag: Callable[[], Awaitable[int]],
        most_lag: int,
        *,
        on_wait: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._live_lag = live_lag
        self._most_lag = most_lag
        self._on_wait = on_wait
        self._clock = clock
        self._sleep = sleep
        self._due = self._looked_at = float("-inf")

    async def spend(self, events: int) -> None:
        """Wait until so many events more may be worked on."""
        now = self._clock()
        if self._due > now:
            await self._sleep(self._due - now)
        await self._yield_to_live()
        self._due = max(self._due, self._clock()) + events / self._rate

    async def _yield_to_live(self) -> None:
        while self._clock() - self._looked_at >= _LOOK_SECONDS:
            lag = await self._live_lag()
            self._looked_at = self._clock()
            if lag <= self._most_lag:
                return
            self._on_wait(lag)
            await self._sleep(_LOOK_SECONDS)
