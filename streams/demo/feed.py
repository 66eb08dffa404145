"""``demo --events FILE``: a file through the whole system, and what came of it as one JSON object."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from redis import Redis

from profiles import keys
from profiles.decay import weight_at
from profiles.model import Stance
from profiles.reader import InterestReader
from streams.connections import blocking_redis_client
from streams.decoding import kind_of, normalise
from streams.events import TopicKind
from streams.instants import rfc3339
from streams.publishing import Publisher
from streams.settings import Settings

from .stack import Stack

_MICROSECONDS = 1_000_000
_LARGEST_PROFILE = 1_000_000


def publish_file(path: Path, settings: Settings) -> int:
    """Publish every line as it is. Items go ahead of what may mention them. Returns the number of events."""
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    routed = [_route(line) for line in lines]
    routed.sort(key=lambda r: r[0] is not TopicKind.ITEMS)
    with Publisher(settings) as publisher:
        for kind, key, value in routed:
            publisher.send_raw(kind, value, key)
    return len(lines)


def _route(line: bytes) -> tuple[TopicKind, bytes | None, bytes]:
    """Topic, key and value of a line; one that nothing can be made of goes to the clicks, and is rejected there."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return TopicKind.CLICKS, None, line
    if not isinstance(body, dict):
        return TopicKind.CLICKS, None, line
    kind = kind_of(body) or TopicKind.CLICKS
    key = normalise(body).get("item_id" if kind is TopicKind.ITEMS else "user_id")
    value = line
    if "topic" in body:
        value = json.dumps({k: v for k, v in body.items() if k != "topic"}, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
    return kind, str(key).encode("utf-8", "replace") if key is not None else None, value


def wait_until_done(stack: Stack, events: int, progress: Callable[[int, int], Any]) -> None:
    """Return when every event has come to an end."""
    while (done := stack.done()) < events:
        progress(done, events)
        time.sleep(0.1)
    progress(events, events)


def result(stack: Stack, events: int) -> dict[str, Any]:
    """Counts, latency and the profiles of all users, weighed at the newest event time of the file."""
    metrics = stack.metrics()
    with blocking_redis_client(stack.settings) as redis:
        newest = _newest_by_user(redis)
        at = max(newest.values(), default=0)
        users = {user: _profile(redis, stack.settings, user, own, at) for user, own in sorted(newest.items())}
    return {
        "at": rfc3339(at),
        "counts": {
            "consumed": events,
            "applied": _total(metrics, 'outcome="applied"'),
            "rejected": rejections(metrics),
            "duplicates": _total(metrics, 'outcome="duplicates"'),
        },
        "latency_seconds": {f"p{q:g}".replace(".", "_"): _quantile(metrics, q / 100) for q in (50, 95, 99)},
        "users": users,
    }


def _newest_by_user(redis: Redis) -> dict[str, int]:
    newest = {}
    for key in redis.scan_iter(keys.every_meta(), count=1000):
        value = redis.hget(key, "newest")
        if value is not None:
            newest[keys.user_of(key.decode())] = int(value)
    return newest


def _profile(redis: Redis, settings: Settings, user: str, newest: int, at: int) -> dict[str, list[dict[str, Any]]]:
    """All interests of a user: forgetting is judged at the user's newest event, weights are those at ``at``."""
    from streams.runtime import policy_of  # noqa: PLC0415 - brings the worker's libraries

    half_lives = policy_of(settings).half_lives
    reader = InterestReader(redis, horizons={name: half_life / _MICROSECONDS for name, half_life in half_lives.items()})
    profile: dict[str, list[dict[str, Any]]] = {}
    for horizon, half_life in half_lives.items():
        fading = weight_at(newest, at, half_life)
        rows = [
            {
                "interest": ranked.interest,
                "weight": ranked.weight * fading,
                "stance": ranked.stance.value,
                "evidence": [
                    {
                        "event": e.event,
                        "at": e.at // 1000,
                        "weight": e.weight,
                        "stance": e.stance.value,
                        "source": e.source,
                    }
                    for e in reader.why(user, ranked.interest)
                ],
            }
            for stance in (Stance.LIKE, Stance.DISLIKE)
            for ranked in reader.top(user, _LARGEST_PROFILE, horizon, newest / _MICROSECONDS, stance)
        ]
        profile[horizon] = sorted(rows, key=lambda row: -row["weight"])
    return profile


def _total(metrics: dict[str, float], label: str) -> int:
    return round(sum(v for name, v in metrics.items() if name.startswith("penchant_events_total") and label in name))


def rejections(metrics: dict[str, float]) -> dict[str, int]:
    """How many dead letters there are of each reason."""
    reasons: dict[str, int] = {}
    for name, value in metrics.items():
        if name.startswith("penchant_dead_letters_total"):
            reason = name.split('reason="')[1].split('"')[0]
            reasons[reason] = reasons.get(reason, 0) + round(value)
    return reasons


def _quantile(metrics: dict[str, float], q: float) -> float | None:
    """Read off the histogram of all topics, linear inside a bucket, in seconds; None without events."""
    counts: dict[float, float] = {}
    for name, value in metrics.items():
        if name.startswith("penchant_event_to_profile_seconds_bucket"):
            bound = float(name.split('le="')[1].split('"')[0])
            counts[bound] = counts.get(bound, 0.0) + value
    return _interpolate(sorted(counts.items()), q)


def _interpolate(cumulated: Iterable[tuple[float, float]], q: float) -> float | None:
    rows = list(cumulated)
    if not rows or not rows[-1][1]:
        return None
    wanted, lower, below = q * rows[-1][1], 0.0, 0.0
    for bound, count in rows:
        if count >= wanted:
            width = bound - lower if bound != float("inf") else 0.0
            return lower + width * (wanted - below) / ((count - below) or 1.0)
        lower, below = bound, count
    return lower
