"""Who may ask, and how often: token, rate limit, and headers that keep a browser from doing harm."""

import hmac
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "penchant_token"
OPEN_PATHS = ("/metrics", "/healthz", "/readyz")
_BURST_SECONDS = 5.0
_MAX_CLIENTS = 10_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RateLimit:
    """A bucket of requests for each client address, filled at a steady rate."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, client: str) -> bool:
        """Whether the client may ask once more now."""
        now, full = self._clock(), self._rate * _BURST_SECONDS
        left, since = self._buckets.get(client, (full, now))
        left = min(full, left + (now - since) * self._rate)
        if len(self._buckets) >= _MAX_CLIENTS:
            self._buckets.clear()
        admitted = left >= 1
        self._buckets[client] = (left - admitted, now)
        return admitted


class Guard:
    """ASGI middleware in front of everything. A browser shows the token once, and a cookie made of it from then on."""

    def __init__(self, app: ASGIApp, token: str | None, limit: RateLimit) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._ticket = hmac.new(self._token or b"", COOKIE.encode(), "sha256").hexdigest().encode()
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = _unreadable(scope) or self._refuse(Request(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _refuse(self, request: Request) -> Response | None:
        if request.url.path in OPEN_PATHS:
            return None
        if not self._limit.admits(request.client.host if request.client else ""):
            return PlainTextResponse("too many requests: wait a moment\n", 429, {"Retry-After": "1"})
        if self._token is None:
            return None
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/" and hmac.compare_digest(given.encode(), self._token):
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, self._ticket.decode(), httponly=True, samesite="strict")
            return response
        # header values are bytes, which Starlette has read as latin-1
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
        if hmac.compare_digest(bearer, self._token) or hmac.compare_digest(
            request.cookies.get(COOKIE, "").encode(), self._ticket
        ):
            return None
        return PlainTextResponse(
            "this page asks for a token: open it once as /?token=..., or send it as a bearer token\n",
            401,
            {"WWW-Authenticate": "Bearer"},
        )


def _unreadable(scope: Scope) -> Response | None:
    """The answer to a query that nothing behind could decode."""
    try:
        scope["query_string"].decode()
    except UnicodeDecodeError:
        return PlainTextResponse("the query is not UTF-8: percent-encode it\n", 400)
    return None
