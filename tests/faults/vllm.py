"""The vLLM stand-in as a schedule misuses it, in a thread of its own, and what can be judged of its answers."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from redis import Redis

from profiles import keys
from tests.faults.story import Message
from tests.oracle import Shown
from tests.vllm_stub import Stub, serving

ANSWER = '[{"e":null,"c":"cats","s":"like"}]'
"""What the stand-in says of every text while it is well."""

_SLOW_SECONDS = 2.0


class StubServer:
    """The stand-in, open until the ``with`` ends; ``shape`` is what it does: "ok", or one of its ways to fail."""

    def __init__(self) -> None:
        self.stub = Stub(text=ANSWER, retry_after=None)
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def shape(self, name: str) -> None:
        """Answer like this from now on."""
        self.stub.delay = _SLOW_SECONDS if name == "slow" else 0.0
        self.stub.shapes = ["ok" if name == "slow" else name]

    def settings(self) -> dict[str, str]:
        """The settings of a worker that reads with this server."""
        return {
            "PENCHANT_EXTRACTION": "vllm",
            "PENCHANT_VLLM_URLS": self.stub.url,
            "PENCHANT_VLLM_TIMEOUT_SECONDS": "5",
        }

    async def _serve(self) -> None:
        async with serving(self.stub):
            self._up.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._up.wait(10):
            raise TimeoutError("the stand-in for vLLM did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


def unlike(messages: Sequence[Message]) -> list[Message]:
    """The same comments with texts that no ledger knows, so that each asks the model; others as they are."""
    return [_unlike(message) if message.kind == "comments" else message for message in messages]


def _unlike(message: Message) -> Message:
    event = json.loads(message.value)
    event["text"] = f"{event['text']} ({event['event_id']})"
    return Message(message.kind, message.key, json.dumps(event).encode(), message.id)


@dataclass(frozen=True)
class Kept:
    """What the evidence says of one user: the events as they were read, and what is odd about it."""

    shown: list[Shown]
    odd: list[str]
    by_model: int


def kept(redis: Redis, user: str, events: Sequence[Shown]) -> Kept:
    """The events with the signals their evidence holds: who reads a text is not known beforehand, what counts is.

    Odd is evidence of no event, twice for one interest of an event, or at another time than its event.
    """
    at = {event.event_id: event.at for event in events}
    signals: dict[str, dict[str, tuple[str, float]]] = defaultdict(dict)
    odd, by_model = [], 0
    for field, lines in redis.hgetall(keys.why(user)).items():
        interest = field.decode()
        for line in lines.decode().split("\n"):
            piece = json.loads(line)
            event = piece["event"]
            if at.get(event) != piece["at"] or interest in signals[event]:
                odd.append(f"{user}: evidence {line} of {interest}")
            signals[event][interest] = (piece["stance"], piece["weight"])
            by_model += "embedded" not in piece.get("reader", "")
    shown = [
        Shown(user, e.event_id, e.at, tuple((i, *_as_shown(*signals[e.event_id][i])) for i in signals[e.event_id]))
        for e in events
    ]
    return Kept(shown, odd, by_model)


def _as_shown(stance: str, weight: float) -> tuple[str, float]:
    """Evidence holds a neutral signal at the share that it counts."""
    return ("like", weight) if stance == "neutral" else (stance, weight)
