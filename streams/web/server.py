"""Serving an ASGI application inside the worker's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

_STOP_SECONDS = 1
_BACKLOG = 128


class AddressTakenError(ValueError):
    """The address to listen on is taken or not ours."""


class _Server(uvicorn.Server):
    """The worker handles signals, not its web server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int) -> AsyncIterator[str]:
    """Serve until the context is left; yields the address as a URL. Port 0 takes a free one.

    Raises AddressTakenError. Open event streams are ended a second after the context is left.
    """
    with _listen(host, port) as listener:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_STOP_SECONDS
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens already: whoever comes before the server has started waits in its queue."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressTakenError(
            f"cannot listen on {host}:{port} ({error.strerror}): set PENCHANT_WEB_PORT (0 takes a free one)"
            " or PENCHANT_WEB_HOST"
        ) from error
    return listener
