"""A TCP proxy that can fail on demand: reset its connections, stall them, or refuse new ones."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

HOST = "127.0.0.1"
_CHUNK = 65_536
_HARD_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections from ``port`` to ``target``, in a thread and an event loop of its own."""

    def __init__(self, target: Callable[[], int]) -> None:
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def reset(self) -> None:
        """Break every open connection as a crash of the network would."""
        self._call(self._reset)

    def stall(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Let no byte through, either way, while on; connections stay open."""
        self._call(self._flowing.clear if on else self._flowing.set)

    def refuse(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Break every connection, and each new one, while on."""

        def turn() -> None:
            self._refusing = on
            if on:
                self._reset()

        self._call(turn)

    def calm(self) -> None:
        """Fail no more."""
        self.stall(on=False)
        self.refuse(on=False)

    def _call(self, work: Callable[[], Any]) -> None:
        done: Future[None] = Future()

        def run() -> None:
            work()
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(5)

    def _reset(self) -> None:
        for writer in list(self._open):
            _break(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _break(writer)
            return
        try:
            beyond, onward = await asyncio.open_connection(HOST, self._target())
        except OSError:
            _break(writer)
            return
        self._open |= {writer, onward}
        pumps = [asyncio.create_task(self._pump(reader, onward)), asyncio.create_task(self._pump(beyond, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._open -= {writer, onward}
            for end in (writer, onward):
                end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, HOST, 0), self._loop)
        self._server = listening.result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._server.close)
        self._call(self._reset)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def _break(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD_RESET)
    writer.transport.abort()
