"""The story that the demo plays: a few people, in Chinese and English, whose interests move."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Beat:
    """One event of the story, and how many seconds to wait before it."""

    wait: float
    event: dict[str, Any]


def beats(now: float | None = None) -> Iterator[Beat]:
    """The events in order; ``ago_hours`` in the file becomes an ``occurred_at`` before ``now``."""
    start = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    run = format(int(start.timestamp()), "x")
    lines = files("streams").joinpath("demo", "story.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        event = msgspec.json.decode(line, type=dict[str, Any])
        wait, ago = event.pop("wait", 0.4), event.pop("ago_hours", 0.0)
        if "user_id" in event:
            event["event_id"] = f"story-{run}-{number}"
            event["occurred_at"] = (start - timedelta(hours=ago)).isoformat()
        yield Beat(wait, event)
