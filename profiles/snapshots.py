"""Whole profiles read at one moment: for what is compared, exchanged, or told to caches."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from . import keys, library
from .comparison import SetName, Snapshot
from .model import Stance
from .policy import Policy

_STANCES = (Stance.LIKE, Stance.DISLIKE)
_CHUNK = 50


def positions(meta: Mapping[str, str]) -> dict[str, int]:
    """The last offset applied of each log, from the fields of a profile's meta."""
    return {name: int(value) for name, value in meta.items() if "/" in name and not name.endswith(":hour")}


class SnapshotReader:
    """Reads profiles whole, many users a round trip."""

    def __init__(self, redis: Redis, policy: Policy) -> None:
        self._redis = redis
        self._sets: Sequence[SetName] = [(stance, h.name) for h in policy.horizons for stance in _STANCES]

    async def read(self, users: Sequence[str], *namespaces: str) -> AsyncIterator[tuple[str, Sequence[Snapshot]]]:
        """Each user, and their profile in each of the namespaces, all of one moment."""
        for i in range(0, len(users), _CHUNK):
            chunk = users[i : i + _CHUNK]
            async with self._redis.pipeline(transaction=True) as pipe:
                for user in chunk:
                    for namespace in namespaces:
                        self._ask(pipe, user, namespace)
                replies = iter(await pipe.execute())
            for user in chunk:
                yield user, [self._snapshot(replies) for _ in namespaces]

    def _ask(self, pipe: Any, user: str, namespace: str) -> None:
        pipe.hgetall(keys.meta(user, namespace))
        pipe.hgetall(keys.rules(user, namespace))
        for stance, horizon in self._sets:
            pipe.zrange(keys.interests(user, stance, horizon, namespace), 0, -1, withscores=True)

    def _snapshot(self, replies: Any) -> Snapshot:
        meta, rules = library.strings(next(replies)), library.strings(next(replies))
        sets = {name: {library.text(member): score for member, score in next(replies)} for name in self._sets}
        return Snapshot(positions(meta), int(meta.get("newest", -1)), rules, sets, meta.get("run"))
