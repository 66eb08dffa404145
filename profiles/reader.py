"""Reading profiles: for recommenders, in one round trip a question.

Redis holds effective times; weights at an instant are computed here, where it is cheap. ``at`` is in seconds since
the Unix epoch or a datetime; None is this moment.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from . import keys
from .decay import forgotten_at, weight_at
from .model import Evidence, RankedInterest, Stance

_MICROSECONDS = 1_000_000
DEFAULT_HORIZONS: Mapping[str, float] = {"now": 6 * 3600.0, "lasting": 30 * 86400.0}
"""Half-lives in seconds, as the worker is configured (PENCHANT_HORIZONS)."""

Moment = float | datetime | None


class UnknownHorizonError(KeyError):
    """The horizon asked for is not among those the reader was given."""


class _Reading:
    """What sync and async readers share: the question as commands, the reply as values."""

    def __init__(self, horizons: Mapping[str, float], namespace: str) -> None:
        self._half_lives = {name: seconds * _MICROSECONDS for name, seconds in horizons.items()}
        self._namespace = namespace

    def half_life(self, horizon: str) -> float:
        try:
            return self._half_lives[horizon]
        except KeyError:
            known = ", ".join(self._half_lives)
            raise UnknownHorizonError(f"no horizon '{horizon}'; this reader has {known}") from None

    def ask_top(self, pipe: Any, user: str, n: int, horizon: str, stance: Stance) -> None:
        """Two commands of one round trip: the set, and the rules that pin."""
        self.half_life(horizon)
        key = keys.interests(user, stance, horizon, self._namespace)
        pipe.zrange(key, 0, max(n, 1) - 1, desc=True, withscores=True)
        if stance is Stance.LIKE:
            pipe.hgetall(keys.rules(user, self._namespace))

    def read_top(
        self, replies: Sequence[Any], n: int, horizon: str, stance: Stance, now: float
    ) -> list[RankedInterest]:
        half_life = self.half_life(horizon)
        forgotten = forgotten_at(now, half_life)
        ranked = [
            RankedInterest(_text(member), weight_at(score, now, half_life), stance)
            for member, score in replies[0]
            if score >= forgotten
        ]
        if len(replies) > 1 and replies[1]:
            ranked = _with_pins(ranked, {_text(k): int(v) for k, v in replies[1].items()})
        return ranked[:n]

    def ask_vector(self, pipe: Any, user: str, vocabulary: Sequence[str], horizon: str) -> None:
        self.half_life(horizon)
        for stance in (Stance.LIKE, Stance.DISLIKE):
            pipe.zmscore(keys.interests(user, stance, horizon, self._namespace), list(vocabulary))

    def read_vector(self, replies: Sequence[Any], horizon: str, now: float) -> list[float]:
        half_life = self.half_life(horizon)

        def weight(score: float | None) -> float:
            return 0.0 if score is None else weight_at(score, now, half_life)

        return [weight(like) - weight(dislike) for like, dislike in zip(*replies, strict=True)]

    def why_key(self, user: str) -> str:
        return keys.why(user, self._namespace)


def _with_pins(ranked: list[RankedInterest], fields: Mapping[str, int]) -> list[RankedInterest]:
    weights = {r.interest: r.weight for r in ranked}
    pins = [
        name.removeprefix("pin:")
        for name, at in fields.items()
        if name.startswith("pin:") and at > fields.get(f"un{name}", -1)
    ]
    pinned = [RankedInterest(i, weights.get(i, 0.0), pinned=True) for i in pins]
    pinned.sort(key=lambda r: -r.weight)
    return pinned + [r for r in ranked if r.interest not in pins]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _now(at: Moment) -> float:
    if at is None:
        return time.time() * _MICROSECONDS
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ValueError("'at' has no time zone: give an aware datetime, e.g. datetime.now(UTC)")
        return at.astimezone(UTC).timestamp() * _MICROSECONDS
    return at * _MICROSECONDS


def _parse_evidence(lines: bytes | str | None) -> list[Evidence]:
    if not lines:
        return []
    evidence = [
        Evidence(**{**piece, "stance": Stance(piece["stance"])}) for piece in map(json.loads, _text(lines).split("\n"))
    ]
    return sorted(evidence, key=lambda e: -e.at)


class InterestReader:
    """Reads profiles over a synchronous Redis client.

    >>> reader = InterestReader.from_url("redis://localhost")
    >>> reader.top("u1", 10, "now")
    """

    def __init__(
        self,
        redis: "Redis",
        *,
        horizons: Mapping[str, float] = DEFAULT_HORIZONS,
        namespace: str = keys.PREFIX,
    ) -> None:
        self._redis = redis
        self._reading = _Reading(horizons, namespace)

    @classmethod
    def from_url(cls, url: str, *, horizons: Mapping[str, float] = DEFAULT_HORIZONS) -> "InterestReader":
        """A reader with a connection pool of its own."""
        return cls(Redis.from_url(url), horizons=horizons)

    def top(
        self, user: str, n: int = 20, horizon: str = "now", at: Moment = None, stance: Stance = Stance.LIKE
    ) -> list[RankedInterest]:
        """The user's ``n`` strongest interests, pinned ones first. An unknown user has none."""
        with self._redis.pipeline(transaction=False) as pipe:
            self._reading.ask_top(pipe, user, n, horizon, stance)
            return self._reading.read_top(pipe.execute(), n, horizon, stance, _now(at))

    def many(
        self, users: Iterable[str], n: int = 20, horizon: str = "now", at: Moment = None
    ) -> dict[str, list[RankedInterest]]:
        """``top`` of several users in one round trip."""
        users = list(dict.fromkeys(users))
        with self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                self._reading.ask_top(pipe, user, n, horizon, Stance.LIKE)
            replies = pipe.execute()
        return _by_user(self._reading, users, replies, n, horizon, _now(at))

    def vector(self, user: str, vocabulary: Sequence[str], horizon: str = "lasting", at: Moment = None) -> list[float]:
        """Like minus dislike for each name of ``vocabulary``, in its order; 0.0 where there is nothing."""
        if not vocabulary:
            return []
        with self._redis.pipeline(transaction=False) as pipe:
            self._reading.ask_vector(pipe, user, vocabulary, horizon)
            return self._reading.read_vector(pipe.execute(), horizon, _now(at))

    def why(self, user: str, interest: str) -> list[Evidence]:
        """The evidence for one interest, newest first."""
        return _parse_evidence(self._redis.hget(self._reading.why_key(user), interest))


class AsyncInterestReader:
    """:class:`InterestReader` over an asyncio Redis client."""

    def __init__(
        self,
        redis: "AsyncRedis",
        *,
        horizons: Mapping[str, float] = DEFAULT_HORIZONS,
        namespace: str = keys.PREFIX,
    ) -> None:
        self._redis = redis
        self._reading = _Reading(horizons, namespace)

    @classmethod
    def from_url(cls, url: str, *, horizons: Mapping[str, float] = DEFAULT_HORIZONS) -> "AsyncInterestReader":
        """A reader with a connection pool of its own."""
        return cls(AsyncRedis.from_url(url), horizons=horizons)

    async def top(
        self, user: str, n: int = 20, horizon: str = "now", at: Moment = None, stance: Stance = Stance.LIKE
    ) -> list[RankedInterest]:
        """The user's ``n`` strongest interests, pinned ones first. An unknown user has none."""
        async with self._redis.pipeline(transaction=False) as pipe:
            self._reading.ask_top(pipe, user, n, horizon, stance)
            return self._reading.read_top(await pipe.execute(), n, horizon, stance, _now(at))

    async def many(
        self, users: Iterable[str], n: int = 20, horizon: str = "now", at: Moment = None
    ) -> dict[str, list[RankedInterest]]:
        """``top`` of several users in one round trip."""
        users = list(dict.fromkeys(users))
        async with self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                self._reading.ask_top(pipe, user, n, horizon, Stance.LIKE)
            replies = await pipe.execute()
        return _by_user(self._reading, users, replies, n, horizon, _now(at))

    async def vector(
        self, user: str, vocabulary: Sequence[str], horizon: str = "lasting", at: Moment = None
    ) -> list[float]:
        """Like minus dislike for each name of ``vocabulary``, in its order; 0.0 where there is nothing."""
        if not vocabulary:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            self._reading.ask_vector(pipe, user, vocabulary, horizon)
            return self._reading.read_vector(await pipe.execute(), horizon, _now(at))

    async def why(self, user: str, interest: str) -> list[Evidence]:
        """The evidence for one interest, newest first."""
        return _parse_evidence(await self._redis.hget(self._reading.why_key(user), interest))


def _by_user(
    reading: _Reading, users: Sequence[str], replies: Sequence[Any], n: int, horizon: str, now: float
) -> dict[str, list[RankedInterest]]:
    pairs = zip(replies[::2], replies[1::2], strict=True)
    return {user: reading.read_top(pair, n, horizon, Stance.LIKE, now) for user, pair in zip(users, pairs, strict=True)}
