"""Reading profiles: for recommenders, in one round trip a question, two where a weak interest is pinned.

Redis holds effective times; weights at an instant are computed here, where it is cheap. ``at`` is in seconds since
the Unix epoch or a datetime; None is this moment.
"""

import json
import re
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
_DIGEST = re.compile(r" #[0-9a-f]{16}\Z")
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

    def tops(self, users: Iterable[str], n: int, horizon: str, stance: Stance) -> "_Tops":
        return _Tops(list(dict.fromkeys(users)), n, horizon, stance, self.half_life(horizon), self._namespace)

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


class _Tops:
    """The strongest interests of some users: what to ask, and what the replies say.

    A pin is shown with its weight, however many interests weigh more. One that is not among the strongest, but may be
    in the set, is asked for in a second round trip.
    """

    def __init__(
        self, users: Sequence[str], n: int, horizon: str, stance: Stance, half_life: float, namespace: str
    ) -> None:
        self._sets = {user: keys.interests(user, stance, horizon, namespace) for user in users}
        self._rules = [keys.rules(user, namespace) for user in users] if stance is Stance.LIKE else []
        self._n = n
        self._stance = stance
        self._half_life = half_life
        self._scores: dict[str, dict[str, float]] = {}
        self._pins: dict[str, list[str]] = {}
        self._unread: dict[str, list[str]] = {}

    def ask(self, pipe: Any) -> None:
        """The sets and, of likes, the rules that pin."""
        for key in self._sets.values():
            pipe.zrange(key, 0, max(self._n, 1) - 1, desc=True, withscores=True)
        for key in self._rules:
            pipe.hgetall(key)

    def take(self, replies: Sequence[Any]) -> None:
        for user, pairs in zip(self._sets, replies, strict=False):
            self._scores[user] = {_text(member): score for member, score in pairs}
        for user, fields in zip(self._sets, replies[len(self._sets) :], strict=False):
            pins = _pinned({_text(name): int(at) for name, at in fields.items()})
            if pins:
                self._pins[user] = pins
                unread = [i for i in pins if i not in self._scores[user]]
                if unread and len(self._scores[user]) >= self._n:
                    self._unread[user] = unread

    def ask_pins(self, pipe: Any) -> bool:
        """The pins that may stand further down in the sets. Returns whether there are any."""
        for user, pins in self._unread.items():
            pipe.zmscore(self._sets[user], pins)
        return bool(self._unread)

    def take_pins(self, replies: Sequence[Any]) -> None:
        for (user, pins), scores in zip(self._unread.items(), replies, strict=True):
            self._scores[user] |= {i: score for i, score in zip(pins, scores, strict=True) if score is not None}

    def read(self, now: float) -> dict[str, list[RankedInterest]]:
        forgotten = forgotten_at(now, self._half_life)
        return {user: self._ranked(user, now, forgotten)[: self._n] for user in self._sets}

    def _ranked(self, user: str, now: float, forgotten: float) -> list[RankedInterest]:
        weights = {i: weight_at(s, now, self._half_life) for i, s in self._scores[user].items() if s >= forgotten}
        pinned = [RankedInterest(i, weights.pop(i, 0.0), pinned=True) for i in self._pins.get(user, ())]
        pinned.sort(key=lambda r: -r.weight)
        return pinned + [RankedInterest(i, weight, self._stance) for i, weight in weights.items()]


def shown_source(source: str) -> str:
    """The source of a piece of evidence as people should see it: of an item its title, not which text of it was met."""
    return _DIGEST.sub("", source)


def _pinned(fields: Mapping[str, int]) -> list[str]:
    """What the rules pin: the newer of a ruling and its opposite wins, and a mute wins over a pin."""
    pins = [
        name.removeprefix("pin:")
        for name, at in fields.items()
        if name.startswith("pin:") and at > fields.get(f"un{name}", -1)
    ]
    return [i for i in pins if fields.get(f"mute:{i}", -2) < fields.get(f"unmute:{i}", -1)]


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
        return self._read(self._reading.tops([user], n, horizon, stance), at)[user]

    def many(
        self, users: Iterable[str], n: int = 20, horizon: str = "now", at: Moment = None
    ) -> dict[str, list[RankedInterest]]:
        """``top`` of several users at once."""
        return self._read(self._reading.tops(users, n, horizon, Stance.LIKE), at)

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

    def _read(self, tops: _Tops, at: Moment) -> dict[str, list[RankedInterest]]:
        with self._redis.pipeline(transaction=False) as pipe:
            tops.ask(pipe)
            tops.take(pipe.execute())
            if tops.ask_pins(pipe):
                tops.take_pins(pipe.execute())
        return tops.read(_now(at))


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
        return (await self._read(self._reading.tops([user], n, horizon, stance), at))[user]

    async def many(
        self, users: Iterable[str], n: int = 20, horizon: str = "now", at: Moment = None
    ) -> dict[str, list[RankedInterest]]:
        """``top`` of several users at once."""
        return await self._read(self._reading.tops(users, n, horizon, Stance.LIKE), at)

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

    async def _read(self, tops: _Tops, at: Moment) -> dict[str, list[RankedInterest]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            tops.ask(pipe)
            tops.take(await pipe.execute())
            if tops.ask_pins(pipe):
                tops.take_pins(await pipe.execute())
        return tops.read(_now(at))
