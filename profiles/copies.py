"""Copies of profiles, kept beside the live ones in the same hash slot: rebuilt, compared, exchanged with them.

A copy has one writer, named by its ``run``. A forget erases copies too; whoever was filling one is then fenced off,
as is a run whose copy another run has taken over: nothing brings back what was forgotten, and no two runs mix.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from . import keys, library
from .comparison import Snapshot
from .policy import Policy
from .snapshots import SnapshotReader
from .store import ProfileStore

_CHUNK = 50

Meta = Mapping[str, str]
"""The fields of a profile's meta: positions by log, and more."""


class ProfileCopies:
    """The copies in ``namespace`` (:func:`keys.shadow` or :func:`keys.before`) that belong to ``run``.

    ``keep_seconds`` is how long a copy lives: one that was left unfinished, and the profile from before a switch.
    """

    def __init__(self, redis: Redis, policy: Policy, namespace: str, run: str, *, keep_seconds: int) -> None:
        self.run = run
        self.store = ProfileStore(redis, policy, namespace=namespace, run=run, keep_seconds=keep_seconds)
        self._redis = redis
        self._namespace = namespace
        self._keep_seconds = keep_seconds
        self._config = library.config(policy, run=run)
        self._snapshots = SnapshotReader(redis, policy)

    async def users(self) -> AsyncIterator[str]:
        """Every user that has a copy, whoever made it. Walks the whole keyspace."""
        async for key in self._redis.scan_iter(keys.every_meta(self._namespace), count=1000):
            yield keys.user_of(library.text(key))

    async def start(self, users: Iterable[str]) -> dict[str, Meta]:
        """Start empty copies that keep only the rules. Returns the meta of the live profiles."""
        replies = await self._each(
            users,
            library.START_COPY,
            lambda u: (self._live(u), self._copy(u)),
            self.run,
            self._keep_seconds,
            self._config,
        )
        return {user: _fields(reply) for user, reply in replies.items()}

    async def claim(self, users: Iterable[str]) -> dict[str, Meta]:
        """Take over the copies that are there. Returns their meta, for users without a copy an empty one."""
        replies = await self._each(users, library.CLAIM_COPY, lambda u: (self._copy(u),), self.run)
        return {user: _fields(reply) for user, reply in replies.items()}

    async def drop(self, users: Iterable[str]) -> None:
        """Erase copies that are still this run's."""
        await self._each(users, library.DROP_COPY, lambda u: (self._copy(u),), self.run, self._config)

    async def switch(self, users: Iterable[str], ends: Mapping[str, int]) -> dict[str, str | None]:
        """Exchange copies with the live profiles, each in one atomic step. Returns why not, None where it was done.

        ``ends`` is the offset up to which each log was read into the copies. What was live is kept as the copy from
        before the switch; a profile that has moved on since is refused, see :class:`profiles.comparison.Standing`.
        """
        replies = await self._each(
            users,
            library.SWITCH,
            lambda u: (self._live(u), self._copy(u), keys.profile(u, keys.before())),
            self.run,
            self._keep_seconds,
            library.read_ends(ends),
            self._config,
        )
        return {user: None if reply is None else library.text(reply) for user, reply in replies.items()}

    async def snapshots(self, users: Sequence[str]) -> AsyncIterator[tuple[str, Snapshot, Snapshot]]:
        """Each user's live profile and its copy, both of one moment."""
        async for user, (live, copy) in self._snapshots.read(users, keys.PREFIX, self._namespace):
            yield user, live, copy

    async def follow_rules(self, user: str, live: Mapping[str, str], copy: Mapping[str, str]) -> None:
        """Rule in the copy as was ruled in the live profile since: as exact as there, where evidence is bounded too."""
        for field, at in live.items():
            if copy.get(field) == at:
                continue
            kind, _, subject = field.partition(":")
            if kind in library.RULINGS:
                await self.store.rule(user, kind, subject, int(at))
            elif kind == "retract":
                await self.store.retract(user, subject, int(at))

    async def note_switch(self, done: Mapping[str, int]) -> None:
        """Keep, as long as the copies, up to where the live profiles had each log before this run switched them."""
        if done:
            await self._redis.hset(keys.switched(self.run), mapping={log: str(end) for log, end in done.items()})
            await self._redis.expire(keys.switched(self.run), self._keep_seconds)

    async def noted(self, run: str) -> dict[str, int]:
        """What :meth:`note_switch` kept of a run; empty where it kept nothing."""
        kept = await self._redis.hgetall(keys.switched(run))
        return {log: int(end) for log, end in library.strings(kept).items()}

    def _live(self, user: str) -> str:
        return keys.profile(user)

    def _copy(self, user: str) -> str:
        return keys.profile(user, self._namespace)

    async def _each(
        self, users: Iterable[str], function: str, stems: Callable[[str], Sequence[str]], *arguments: str | bytes | int
    ) -> dict[str, Any]:
        """Call a function for each user, in one round trip for many of them."""
        wanted = list(users)
        replies: list[Any] = []
        for i in range(0, len(wanted), _CHUNK):
            async with self._redis.pipeline(transaction=False) as pipe:
                for user in wanted[i : i + _CHUNK]:
                    pipe.fcall(function, len(stems(user)), *stems(user), *arguments)
                replies += await pipe.execute()
        return dict(zip(wanted, replies, strict=True))


def _fields(reply: Sequence[Any]) -> dict[str, str]:
    return {library.text(name): library.text(value) for name, value in zip(reply[::2], reply[1::2], strict=True)}
