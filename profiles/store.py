"""Profiles in Redis: the one place that writes them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from . import keys, library
from .model import NO_RULES, Applied, Conflict, Observation, ProfileUpdate, Rules
from .planning import by_user, plan, without_repeats
from .policy import Policy

_USERS_AT_ONCE = 100
_USERS_PER_CALL = 50
_PARTS_IN_FLIGHT = 3

_T = TypeVar("_T")


class UnsupportedRedisError(RuntimeError):
    """The server is too old for Redis Functions."""


@dataclass(slots=True)
class Recorded:
    """What became of one batch. Every observation is in exactly one of the three counts.

    ``applied``: new to its profile; ``duplicates``: an event id seen before; ``replayed``: a position that was
    applied before. ``ruled_out`` counts the applied ones that a user's rules keep from counting, ``capped`` those
    that an influence cap does. ``forgotten`` are the users of whom events came, even if not for the first time, that
    a forget had covered before.

    Where a part of the batch failed it holds what became of the others, and who is still ``waiting``.
    """

    applied: int = 0
    duplicates: int = 0
    replayed: int = 0
    ruled_out: int = 0
    capped: int = 0
    evicted: int = 0
    updates: list[Applied] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)
    waiting: "dict[str, _Known] | None" = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a forget removed: entries by key. Positions and the mark of the forget stay, and nothing else."""

    user: str
    at: int
    removed: Mapping[str, int]


class _Known(NamedTuple):
    """One user's part of a batch, and what its profile is known to say about it."""

    events: list[Observation]
    rules: Rules = NO_RULES
    capped: frozenset[str] = frozenset()


class ProfileStore:
    """Applies observations to profiles, effectively once.

    ``changes`` asks for the new scores, to publish them. ``run`` and ``keep_seconds`` are for copies, see
    :mod:`profiles.copies`: what is not this run's is left alone, and its observations count as replayed.
    """

    def __init__(
        self,
        redis: Redis,
        policy: Policy,
        *,
        namespace: str = keys.PREFIX,
        changes: bool = False,
        run: str | None = None,
        keep_seconds: int | None = None,
    ) -> None:
        self._redis = redis
        self._policy = policy
        self._namespace = namespace
        self._config = library.config(policy, changes=changes, run=run, keep_seconds=keep_seconds)

    async def prepare(self) -> None:
        """Load the function library and note the horizons.

        Raises UnsupportedRedisError where the server has no functions.
        """
        try:
            await self._redis.function_load(library.source(), replace=True)
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                raise UnsupportedRedisError(
                    "this server has no FUNCTION command: Redis >= 7.0 or Valkey >= 7.2 is needed"
                ) from error
            raise
        await self._redis.sadd(keys.HORIZONS, *self._policy.half_lives)

    async def record(self, log: str, observations: Iterable[Observation], recorded: Recorded | None = None) -> Recorded:
        """Apply one batch of one partition, named by ``log``, in log order.

        It is planned as if the profiles knew nothing of these events; where one does, the store refuses, and
        that user's part is planned anew against what the profile knows. While Redis works on some users, others are
        planned.

        Where this raises it may be called again with the same batch and ``recorded``, to go on where it failed.
        """
        outcome = recorded or Recorded()
        if outcome.waiting is None:
            outcome.waiting = {}
            for user, events in by_user(observations).items():
                distinct = without_repeats(events)
                outcome.duplicates += len(events) - len(distinct)
                outcome.waiting[user] = _Known(distinct)
        waiting, turn = outcome.waiting, asyncio.Semaphore(_PARTS_IN_FLIGHT)

        async def settle(users: Sequence[str]) -> None:
            async with turn:
                await self._settle(log, users, waiting, outcome)

        users = list(waiting)
        parts = [settle(users[i : i + _USERS_AT_ONCE]) for i in range(0, len(users), _USERS_AT_ONCE)]
        # All are waited for, so that a batch that is tried again does not meet itself.
        for failure in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure
        return outcome

    async def _settle(self, log: str, users: Sequence[str], waiting: dict[str, _Known], outcome: Recorded) -> None:
        """Plan and apply until every event of these users is accounted for in the outcome, and none of them waits."""
        while users:
            known = [waiting[user] for user in users]
            updates = [plan(log, own.events, self._policy, own.rules, own.capped) for own in known]
            failure = None
            for result in await self._apply(updates):
                if isinstance(result, Exception):
                    failure = result
                    continue
                events, _, capped = waiting.pop(result.user)
                if isinstance(result, Applied):
                    outcome.applied += len(events)
                    outcome.capped += len(capped)
                    outcome.ruled_out += len(events) - len(capped) - result.events
                    outcome.evicted += result.evicted
                    outcome.updates.append(result)
                    continue
                if any(e.at <= result.rules.forgotten_before for e in events):
                    outcome.forgotten.add(result.user)
                beyond = [e for e in events if e.offset > result.position]
                rest = [e for e in beyond if e.event_id not in result.duplicates]
                outcome.replayed += len(events) - len(beyond)
                outcome.duplicates += len(beyond) - len(rest)
                if rest:
                    waiting[result.user] = _Known(rest, result.rules, result.capped)
            if failure is not None:
                raise failure
            users = [user for user in users if user in waiting]

    async def _apply(self, updates: Sequence[ProfileUpdate]) -> list[Applied | Conflict | Exception]:
        calls = [updates[i : i + _USERS_PER_CALL] for i in range(0, len(updates), _USERS_PER_CALL)]
        results: list[Applied | Conflict | Exception] = []
        for chunk, reply in zip(calls, await self._call_all(calls), strict=True):
            parts = [reply] * len(chunk) if isinstance(reply, Exception) else reply
            for update, part in zip(chunk, parts, strict=True):
                results.append(part if isinstance(part, Exception) else library.parse_reply(update, part))
        return results

    async def _call_all(self, calls: Sequence[Sequence[ProfileUpdate]]) -> list[Any]:
        """A reply or an exception for each call; raises where all failed."""

        async def send() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for chunk in calls:
                    stems = [keys.profile(update.user, self._namespace) for update in chunk]
                    arguments = library.update_arguments(chunk, self._policy.half_lives)
                    pipe.fcall(library.APPLY, len(stems), *stems, self._config, *arguments)
                replies = await pipe.execute(raise_on_error=False)
            if all(isinstance(reply, Exception) for reply in replies):
                raise replies[0]
            return replies

        return await self._with_library(send)

    async def _with_library(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make the call; where the server lost its functions (a restart without persistence), load them first."""
        try:
            return await call()
        except ResponseError as error:
            if "function not found" not in str(error).lower():
                raise
            await self.prepare()
            return await call()

    async def forget(self, user: str, at: int) -> Receipt:
        """Erase what the user's events up to ``at`` left: interests, evidence, rules, copies. Late events stay out."""
        stems = [keys.profile(user, namespace) for namespace in self._namespaces()]
        former = library.former_sets(sorted(await self._horizons() - self._policy.half_lives.keys()))
        reply = await self._with_library(
            lambda: self._redis.fcall(library.FORGET, len(stems), *stems, at, self._config, former)
        )
        removed = {library.text(key): int(count) for key, count in zip(reply[::2], reply[1::2], strict=True)}
        return Receipt(user, at, removed)

    async def rule(self, user: str, ruling: str, interest: str, at: int) -> bool:
        """Apply a ruling (pin, unpin, mute, unmute) as of ``at``. Returns whether it was news."""
        return bool(await self._call(library.RULE, user, ruling, interest, at, self._config))

    async def retract(self, user: str, reference: str, at: int) -> list[str]:
        """Take one event (its id) or item (``item:ID``) out again. Returns the interests it had touched.

        What is no longer in the bounded evidence cannot be subtracted; it only keeps from being added again.
        """
        return [library.text(i) for i in await self._call(library.RETRACT, user, reference, at, self._config)]

    async def keys_of(self, user: str) -> list[str]:
        """The keys that exist for the user, copies included."""
        horizons = sorted(await self._horizons())
        candidates = [key for namespace in self._namespaces() for key in keys.all_of(user, horizons, namespace)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in candidates:
                pipe.exists(key)
            return [key for key, exists in zip(candidates, await pipe.execute(), strict=True) if exists]

    async def holding(self, user: str) -> list[str]:
        """The keys of the user that hold more than a forget leaves: its mark, positions, hashes of event ids."""
        left = {keys.meta(user, self._namespace), keys.seen(user, self._namespace)}
        rules = keys.rules(user, self._namespace)
        if [library.text(name) for name in await self._redis.hkeys(rules)] == ["forgotten_before"]:
            left.add(rules)
        return [key for key in await self.keys_of(user) if key not in left]

    async def users(self) -> AsyncIterator[tuple[str, int]]:
        """Every user with a profile, and the instant of their newest event. Walks the whole keyspace."""
        async for key in self._redis.scan_iter(keys.every_meta(self._namespace), count=1000):
            newest = await self._redis.hget(key, "newest")
            if newest is not None:
                yield keys.user_of(library.text(key)), int(newest)

    async def _horizons(self) -> set[str]:
        """Every horizon that a user may have sets of: those of today, and those that were before."""
        noted = await self._redis.smembers(keys.HORIZONS)
        return {library.text(name) for name in noted} | self._policy.half_lives.keys()

    def _namespaces(self) -> tuple[str, ...]:
        return self._namespace, keys.shadow(self._namespace), keys.before(self._namespace)

    async def _call(self, function: str, user: str, *arguments: str | bytes | int) -> Any:
        stem = keys.profile(user, self._namespace)
        return await self._with_library(lambda: self._redis.fcall(function, 1, stem, *arguments))
