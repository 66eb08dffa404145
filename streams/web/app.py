"""The routes: metrics and health for operators, the live page and its API for people."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from streams.metrics import CONTENT_TYPE

from .guard import Guard, RateLimit
from .profiles import LiveProfiles
from .readiness import Readiness
from .state import WebState

STATIC = Path(__file__).parent / "static"
_LONGEST_NAME = 1000
_log = structlog.get_logger()


def create_web(state: WebState) -> Starlette:
    """The web application of one worker."""
    api = _Api(state)
    return Starlette(
        routes=[
            Route("/", _page),
            Route("/metrics", api.metrics),
            Route("/healthz", _healthz),
            Route("/readyz", api.readyz),
            Route("/api/users", api.users),
            Route("/api/concepts", api.concepts),
            Route("/api/profile", api.profile),
            Route("/api/why", api.why),
            Route("/api/events", api.events),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, token=state.token, limit=RateLimit(state.requests_per_second))],
    )


async def _page(_: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


class _Api:
    """The answers. Users are named in the query, because an id may hold any character, a slash among them."""

    def __init__(self, state: WebState) -> None:
        self._state = state
        self._live = LiveProfiles(state)
        self._readiness = Readiness(state.checks)
        self._streams = asyncio.Semaphore(state.max_streams)

    async def metrics(self, _: Request) -> Response:
        return Response(self._state.exposition(), media_type=CONTENT_TYPE)

    async def readyz(self, _: Request) -> Response:
        answers = await self._readiness.answers()
        ready = all(answer["ok"] for answer in answers.values())
        return JSONResponse({"ready": ready, "dependencies": answers}, 200 if ready else 503)

    async def users(self, _: Request) -> Response:
        return JSONResponse([{"user": user, "seen": round(seen, 3)} for user, seen in self._state.recent_users()])

    async def concepts(self, _: Request) -> Response:
        return JSONResponse(dict(self._state.concept_names))

    async def profile(self, request: Request) -> Response:
        return await _answer(self._live.once(_asked(request, "user")))

    async def why(self, request: Request) -> Response:
        return await _answer(self._live.why(_asked(request, "user"), _asked(request, "interest")))

    async def events(self, request: Request) -> Response:
        user = _asked(request, "user")
        if self._streams.locked():
            raise HTTPException(503, "too many pages are being watched: close one", {"Retry-After": "10"})

        async def watched() -> AsyncIterator[str]:
            if self._streams.locked():  # by a page that asked at the same moment; this one asks again
                return
            async with self._streams, contextlib.aclosing(self._live.changes(user)) as changes:
                async for event in changes:
                    yield event

        return StreamingResponse(watched(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _answer(question: Awaitable[Any]) -> Response:
    """What Redis says, or 503 where it says nothing."""
    try:
        return JSONResponse(await question)
    except Exception as error:  # noqa: BLE001 - a traceback in the log could hold what a user wrote
        _log.warning("live_page_cannot_read", error=type(error).__name__)
        raise HTTPException(503, "profiles cannot be read now: /readyz says what is missing") from None


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise HTTPException(400, f"the query needs {name}=")
    if len(value) > _LONGEST_NAME:
        raise HTTPException(400, f"{name} is longer than {_LONGEST_NAME} characters")
    return value
