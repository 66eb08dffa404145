"""Which log the positions in profiles count: a topic that is recreated starts its offsets anew.

Kafka gives every topic an id. The id is kept beside the profiles; a topic that comes with another id is another log,
and its low offsets must not pass for "applied before". An accepted new log gets a name of its own, and with it
positions of its own.
"""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from . import keys, library


class LogChangedError(RuntimeError):
    """A topic is not the one that the profiles were made from."""


class Logs:
    """The names under which profiles keep positions: ``clicks``, and after a new log was accepted ``clicks.1``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def names(self, topic_ids: Mapping[str, str | None]) -> dict[str, str]:
        """The log name of each topic kind, given the ids the broker tells; a topic met first is noted.

        Raises LogChangedError where a topic has another id than before. Where the broker tells no id, none is checked.
        """
        changed = await self.changed(topic_ids)
        if changed:
            raise _error(changed)
        epochs = {kind: (await self._known(kind, None))[0] for kind in topic_ids}
        return {kind: f"{kind}.{epoch}" if epoch else kind for kind, epoch in epochs.items()}

    async def changed(self, topic_ids: Mapping[str, str | None]) -> list[str]:
        """The kinds whose topics are not the known ones."""
        known = {kind: (await self._known(kind, topic_id))[1] for kind, topic_id in topic_ids.items()}
        return [kind for kind, topic_id in topic_ids.items() if topic_id is not None and known[kind] != topic_id]

    async def accept(self, topic_ids: Mapping[str, str | None]) -> list[str]:
        """Take the present topics for new logs where they differ. Returns the kinds that did."""
        accepted = await self.changed(topic_ids)
        for kind in accepted:
            epoch, _ = await self._known(kind, None)
            await self._redis.hset(keys.LOGS, kind, f"{epoch + 1} {topic_ids[kind]}")
        return accepted

    async def _known(self, kind: str, topic_id: str | None) -> tuple[int, str]:
        if topic_id is not None:
            await self._redis.hsetnx(keys.LOGS, kind, f"0 {topic_id}")
        value = await self._redis.hget(keys.LOGS, kind)
        epoch, _, known = ("0 " if value is None else library.text(value)).partition(" ")
        return int(epoch), known


def require_same(before: Mapping[str, str | None], now: Mapping[str, str | None]) -> None:
    """Raise LogChangedError where a kind of topic has another id now. An id that is not told now says nothing."""
    changed = [kind for kind, topic_id in now.items() if topic_id is not None and before[kind] != topic_id]
    if changed:
        raise _error(changed)


def _error(changed: Sequence[str]) -> LogChangedError:
    return LogChangedError(
        f"the topics of {', '.join(changed)} were recreated or belong to another cluster: the positions in "
        "these profiles count another log. To read the new log into the same profiles, stop all workers and run "
        "'penchant accept-log'; otherwise set PENCHANT_REDIS_URL to another Redis"
    )
