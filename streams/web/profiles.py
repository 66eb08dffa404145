"""A profile as the live page shows it, once or for as long as somebody watches."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import structlog

from profiles.model import Evidence, RankedInterest, Stance
from streams.trend import trend

from .state import WebState

LIKES, DISLIKES = 12, 6
POLL_SECONDS = 0.3
HEARTBEAT_SECONDS = 15.0
_RETRY_SECONDS = 2.0
_READS_AT_ONCE = 8
_AT_FULL_PACE = 10
_DECIMALS = 3
_log = structlog.get_logger()

Rows = dict[str, list[dict[str, Any]]]


class LiveProfiles:
    """Profiles for the page. The more pages are open the slower they poll: the worker's loop has other work to do."""

    def __init__(self, state: WebState) -> None:
        self._state = state
        self._longest = list(state.horizons)[-1]
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._watchers = 0

    async def once(self, user: str) -> dict[str, Any]:
        """The strongest likes and dislikes of each horizon, each with its trend and its newest evidence."""
        rows = await self._rows(user)
        return _page(user, rows, await self._newest_evidence(user, _interests(rows)))

    async def why(self, user: str, interest: str) -> list[dict[str, Any]]:
        """The evidence of one interest, newest first."""
        async with self._reads:
            return [_piece(e) for e in await self._state.reader.why(user, interest)]

    @property
    def pace_seconds(self) -> float:
        """How long a page waits between two looks, by how many are open."""
        return POLL_SECONDS * max(1.0, self._watchers / _AT_FULL_PACE)

    async def changes(self, user: str) -> AsyncGenerator[str, None]:
        """Server-sent events: the profile now, and again whenever what it shows has changed.

        While Redis does not answer there is one event ``unavailable``; comments keep a quiet connection open.
        """
        self._watchers += 1
        try:
            async with contextlib.aclosing(self._watched(user)) as events:
                async for event in events:
                    yield event
        finally:
            self._watchers -= 1

    async def _watched(self, user: str) -> AsyncGenerator[str, None]:
        shown: Rows = {}
        evidence: dict[str, dict[str, Any]] = {}
        quiet, available = 0.0, True
        while True:
            wait = self.pace_seconds
            try:
                rows = await self._rows(user)
                if rows != shown:
                    evidence |= await self._newest_evidence(user, _grown(rows, shown))
                    data = json.dumps(_page(user, rows, evidence), ensure_ascii=False)
                    yield f"data: {data}\n\n"
                    shown, quiet, available = rows, 0.0, True
            except Exception as error:  # noqa: BLE001 - whatever it is, the page waits for Redis to be back
                wait = _RETRY_SECONDS
                if available:
                    _log.warning("live_page_cannot_read", error=type(error).__name__)
                    yield "event: unavailable\ndata: {}\n\n"
                shown, available = {}, False
            if quiet >= HEARTBEAT_SECONDS:
                yield ": still here\n\n"
                quiet = 0.0
            await asyncio.sleep(wait)
            quiet += wait

    async def _rows(self, user: str) -> Rows:
        reader, at = self._state.reader, self._state.clock()
        async with self._reads:
            longest = await reader.top(user, LIKES * 10, self._longest, at)
            lasting = {r.interest: r.weight for r in longest}
            rows = {}
            for horizon in self._state.horizons:
                if horizon == self._longest:
                    likes, compared = longest[:LIKES], {}
                else:
                    likes, compared = await reader.top(user, LIKES, horizon, at), lasting
                dislikes = await reader.top(user, DISLIKES, horizon, at, Stance.DISLIKE)
                rows[horizon] = [_row(r, compared) for r in (*likes, *dislikes)]
        return rows

    async def _newest_evidence(self, user: str, interests: Iterable[str]) -> dict[str, dict[str, Any]]:
        async with self._reads:
            found = {i: await self._state.reader.why(user, i) for i in sorted(set(interests))}
        return {interest: _piece(evidence[0]) for interest, evidence in found.items() if evidence}


def _row(ranked: RankedInterest, lasting: dict[str, float]) -> dict[str, Any]:
    return {
        "interest": ranked.interest,
        "weight": round(ranked.weight, _DECIMALS),
        "stance": ranked.stance.value,
        "pinned": ranked.pinned,
        "trend": _trend(ranked, lasting),
    }


def _trend(ranked: RankedInterest, lasting: dict[str, float]) -> str:
    """The trend of a like that lasts; nothing is said of the others."""
    if ranked.stance is Stance.DISLIKE or not lasting.get(ranked.interest):
        return "steady"
    return trend(ranked.weight, lasting[ranked.interest])


def _interests(rows: Rows) -> set[str]:
    return {row["interest"] for of_horizon in rows.values() for row in of_horizon}


def _grown(rows: Rows, before: Rows) -> set[str]:
    """The interests that an event has touched: new, or heavier than before. The others have only decayed."""
    known = {(h, r["stance"], r["interest"]): r["weight"] for h, of_horizon in before.items() for r in of_horizon}
    return {
        row["interest"]
        for horizon, of_horizon in rows.items()
        for row in of_horizon
        if row["weight"] > known.get((horizon, row["stance"], row["interest"]), -1.0)
    }


def _page(user: str, rows: Rows, evidence: dict[str, dict[str, Any]]) -> dict[str, Any]:
    horizons = {h: [{**row, "last": evidence.get(row["interest"])} for row in shown] for h, shown in rows.items()}
    return {"user": user, "horizons": horizons}


def _piece(evidence: Evidence) -> dict[str, Any]:
    """One piece of evidence; ``at`` in epoch milliseconds, as JavaScript counts."""
    return {
        "event": evidence.event,
        "at": evidence.at // 1000,
        "weight": round(evidence.weight, _DECIMALS),
        "stance": evidence.stance.value,
        "source": evidence.source,
        "reader": evidence.reader,
    }
