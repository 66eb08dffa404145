"""The vLLM servers behind one extractor: which takes the next request, and which must be left alone for now."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from inference.extraction import Overloaded
from inference.prompt import Style

_OPENS_AFTER = 3
_FIRST_REST = 2.0
_LONGEST_REST = 30.0
_PROBE_WAIT = 1.0


@dataclass(slots=True)
class Server:
    """One base URL: what is in flight there, how often it failed in a row, and until when it rests.

    ``style`` is how its model is asked; None until the server has said what it serves. Until ``asked_until`` it is
    to be left alone, though a request that was sent before be answered.
    """

    url: str
    style: Style | None = None
    in_flight: int = 0
    failures: int = 0
    rests_until: float = 0.0
    asked_until: float = 0.0
    trouble: str = "busy"


class Servers:
    """Hands out the healthy server with the fewest requests in flight.

    A server that failed three times in a row rests, longer each time; then one request probes it. Not thread-safe:
    for one event loop.
    """

    def __init__(self, urls: Sequence[str], clock: Callable[[], float]) -> None:
        self._servers = [Server(url.rstrip("/")) for url in dict.fromkeys(urls)]
        self._clock = clock

    def __len__(self) -> int:
        return len(self._servers)

    @contextmanager
    def one(self) -> Iterator[Server]:
        """The server for one request. Raises Overloaded, with the shortest wait, when all rest."""
        now = self._clock()
        ready = [s for s in self._servers if s.rests_until <= now and not _being_probed(s)]
        if not ready:
            waits = [s.rests_until - now if s.rests_until > now else _PROBE_WAIT for s in self._servers]
            raise Overloaded(max(0.05, min(waits)), f"no vLLM server takes requests ({self._troubles()})")
        fewest = min(s.in_flight for s in ready)
        server = random.choice([s for s in ready if s.in_flight == fewest])  # noqa: S311 - a choice among equals
        server.in_flight += 1
        try:
            yield server
        finally:
            server.in_flight -= 1

    def worked(self, server: Server) -> None:
        """A server answered. That ends the rest that its failures brought it, not one that was asked for."""
        if server.failures:
            server.failures = 0
            server.rests_until = server.asked_until

    def failed(self, server: Server, trouble: str) -> None:
        """A server did not answer, or answered with an error of its own. It may come back with another model.

        What else fails while it rests was sent before, and makes the rest no longer.
        """
        server.trouble = trouble
        server.style = None
        if server.rests_until > self._clock():
            return
        server.failures += 1
        if server.failures >= _OPENS_AFTER:
            rest = min(_LONGEST_REST, _FIRST_REST * 2 ** (server.failures - _OPENS_AFTER))
            server.rests_until = self._clock() + rest * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    def rest(self, server: Server, seconds: float, trouble: str) -> None:
        """A server is to be left alone for a while."""
        server.trouble = trouble
        server.asked_until = max(server.asked_until, self._clock() + seconds)
        server.rests_until = max(server.rests_until, server.asked_until)

    def _troubles(self) -> str:
        return "; ".join(f"{s.url}: {s.trouble}" for s in self._servers)


def _being_probed(server: Server) -> bool:
    return server.failures >= _OPENS_AFTER and server.in_flight > 0
