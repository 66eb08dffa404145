"""What Penchant publishes: dead letters and profile updates."""

import asyncio
import base64
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from profiles.comparison import Snapshot
from profiles.decay import weight_at
from profiles.model import Applied

from .events import Change, DeadLetter, ProfileUpdated, Rejected
from .instants import rfc3339
from .letters import letter_key
from .record_batches import RecordBatch

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_MAX_DETAIL = 500


class Outbox:
    """Publishes over one producer; returns when the brokers have everything.

    Dead letters go out at least once. Updates go out once, or not at all where a worker or a replay dies between its
    write to Redis and here, where Redis applied one and its reply was lost, or the brokers find one too large: a cache
    that is fed by them needs an expiry of its own. ``updates_topic`` None sends none.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        dead_letters_topic: str,
        updates_topic: str | None,
        half_lives: Mapping[str, int],
    ) -> None:
        self._producer = producer
        self._dead_letters_topic = dead_letters_topic
        self._updates_topic = updates_topic
        self._half_lives = half_lives

    async def publish(self, batch: RecordBatch, rejected: Mapping[int, Rejected], updates: Sequence[Applied]) -> None:
        """Publish what became of one batch."""
        sending = [
            await self._producer.send(
                self._dead_letters_topic,
                _encode(dead_letter(batch, index, reject)),
                key=letter_key(batch.topic, batch.partition, batch.records[index].offset),
            )
            for index, reject in sorted(rejected.items())
        ]
        telling = await self._send_updates(self._profile_updated(update) for update in updates if update.changes)
        if sending or telling:
            await asyncio.gather(*sending, *map(_unless_too_large, telling))

    async def publish_whole(self, profiles: Iterable[tuple[str, Snapshot, Snapshot]], moment: int = -1) -> None:
        """Publish all that the profiles of users say now, given with what they said before they were exchanged or cut.

        ``moment`` (epoch microseconds) dates what is said of a profile that holds no event. An update that the worker
        makes meanwhile may be overtaken: what this says of its interests then stands until the next one.
        """
        told = (whole(user, now, before, self._half_lives, moment) for user, now, before in profiles)
        telling = await self._send_updates(update for update in told if update is not None)
        await asyncio.gather(*map(_unless_too_large, telling))

    async def _send_updates(self, updates: Iterable[ProfileUpdated]) -> "list[asyncio.Future[Any]]":
        if not self._updates_topic:
            return []
        return [
            await self._producer.send(self._updates_topic, _encode(update), key=update.user_id.encode())
            for update in updates
        ]

    def _profile_updated(self, update: Applied) -> ProfileUpdated:
        return ProfileUpdated(
            user_id=update.user,
            at=rfc3339(update.newest),
            events=update.events,
            changes=[
                Change(
                    c.interest,
                    c.stance.value,
                    c.horizon,
                    weight_at(c.effective_time, update.newest, self._half_lives[c.horizon]),
                )
                for c in update.changes
            ],
        )


async def _unless_too_large(sending: Awaitable[Any]) -> None:
    """Wait for an update to be sent; one that is refused for its size would be refused for ever."""
    try:
        await sending
    except MessageSizeTooLargeError:
        _log.error("profile_update_too_large", hint="raise max.message.bytes of the topic, or have fewer interests")


def whole(
    user: str, now: Snapshot, before: Snapshot, half_lives: Mapping[str, int], moment: int = -1
) -> ProfileUpdated | None:
    """All that a profile says ``now``, and with the weight 0 what only the one ``before`` said.

    As of the newest event of the one or else of the other, else of ``moment``; None without any of them.
    ``half_lives`` are microseconds by horizon.
    """
    at = next((known for known in (now.newest, before.newest, moment) if known >= 0), -1)
    if at < 0:
        return None
    changes = [
        Change(interest, str(stance), horizon, weight_at(score, at, half_lives[horizon]))
        for (stance, horizon), scores in now.sets.items()
        for interest, score in scores.items()
    ]
    gone = [
        Change(interest, str(stance), horizon, 0.0)
        for (stance, horizon), scores in before.sets.items()
        for interest in sorted(scores.keys() - now.sets.get((stance, horizon), {}).keys())
    ]
    return ProfileUpdated(user_id=user, at=rfc3339(at), events=0, changes=changes + gone)


def dead_letter(batch: RecordBatch, index: int, rejected: Rejected) -> DeadLetter:
    """A reject with its origin and its original bytes."""
    record = batch.records[index]
    return DeadLetter(
        reason=rejected.reason,
        detail=rejected.detail[:_MAX_DETAIL],
        field=rejected.field,
        topic=batch.topic,
        partition=batch.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=None if record.key is None else base64.b64encode(record.key).decode(),
        value=base64.b64encode(record.value or b"").decode(),
        headers={name: base64.b64encode(value or b"").decode() for name, value in record.headers or ()},
        rejected_at=datetime.now(UTC).isoformat(),
    )
