"""What happens to a record batch: prepared concurrently, applied in order, one pipeline a topic.

``prepare`` decodes and reads (no profile is touched, so batches may overtake each other in it); ``apply`` writes.
Neither is left by an exception that an event causes: such an event becomes a dead letter. What does pass are states
of the world (Redis away, brokers away), which the lanes wait out.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from inference.catalogue import Catalogue
from inference.ledger import Ledger
from profiles import keys
from profiles.comparison import Snapshot
from profiles.model import Observation
from profiles.snapshots import SnapshotReader
from profiles.store import ProfileStore, Recorded

from .decoding import Decoder
from .events import Command, CommandKind, Item, Rejected, Tombstone
from .intake import Intake, Placed, isolate, take_in
from .observer import BatchApplied, EventsClamped, EventsRejected, Observer, StageTimed
from .outbox import Outbox
from .reading import ItemReader
from .record_batches import RecordBatch

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

WORLD = (RedisError, KafkaError, OSError, TimeoutError)
"""Exceptions that say something about the world and not about an event."""


@dataclass(slots=True)
class Prepared:
    """A batch that is ready to be applied: results by log order, rejects by the index of their record.

    What is ``recorded``, and when the write was done, is kept from one attempt to the next: a second write finds what
    the first one did applied before, and would tell of no updates.
    """

    batch: RecordBatch
    results: Sequence[Any]
    rejected: dict[int, Rejected]
    recorded: Recorded = field(default_factory=Recorded)
    written_at: float | None = None

    @staticmethod
    def join(parts: "Sequence[Prepared]") -> "Prepared":
        """Successive batches of one partition as one."""
        first = parts[0].batch
        records: list[ConsumerRecord] = []
        results: list[Any] = []
        rejected: dict[int, Rejected] = {}
        for part in parts:
            rejected |= {len(records) + index: reject for index, reject in part.rejected.items()}
            records += part.batch.records
            results += part.results
        return Prepared(RecordBatch(first.topic, first.partition, records), results, rejected)


class Handler(Protocol):
    """What a topic does with its events: read them (may overtake), then write what was read (in order)."""

    @property
    def read(self) -> Callable[[Sequence[Placed[Any]]], Awaitable[list[Any]]]:
        """One result, or Rejected, for each event."""
        ...

    async def write(self, log: str, results: Sequence[Any], recorded: Recorded, /) -> Recorded:
        """Make the results last, going on from what attempts that failed have ``recorded``.

        Doing it twice must do no harm.
        """
        ...


class Pipeline:
    """Prepare and apply for the batches of one topic. ``log`` is the name its positions are kept under."""

    def __init__(self, log: str, decoder: Decoder, handler: Handler, outbox: Outbox, observer: Observer) -> None:
        self._log = log
        self._decoder = decoder
        self._handler = handler
        self._outbox = outbox
        self._observer = observer

    async def prepare(self, batch: RecordBatch) -> Prepared:
        """Decode and read a batch; what is rejected goes out at once, a batch that is redelivered sends it again.

        After the write it could be lost: a worker that dies in between leaves the user's position beyond the event,
        and an item that is known by then makes the event one that was applied before.
        """
        intake = self._timed(batch.topic, "decode", lambda: take_in(batch, self._decoder))
        results = await self._timed_async(batch.topic, "read", lambda: self._read(intake))
        rejected = dict(intake.rejected)
        kept = []
        for placed, result in zip(intake.events, results, strict=True):
            if isinstance(result, Rejected):
                rejected[placed.row] = result
            else:
                kept.append(result)
        if rejected:
            await self._timed_async(batch.topic, "publish", lambda: self._outbox.publish(batch, rejected, ()))
        if intake.clamped:
            self._observer.observe(EventsClamped(batch.topic, intake.clamped))
        return Prepared(batch, kept, rejected)

    async def apply(self, prepared: Prepared) -> None:
        """Write a prepared batch, then what goes out because of it. May be called again where that fails."""
        batch = prepared.batch
        if prepared.written_at is None:
            log = f"{self._log}/{batch.partition}"
            prepared.recorded = await self._timed_async(
                batch.topic, "apply", lambda: self._handler.write(log, prepared.results, prepared.recorded)
            )
            prepared.written_at = time.time()
        now, recorded = prepared.written_at, prepared.recorded
        appended = Counter([record.timestamp for record in batch.records])
        await self._timed_async(batch.topic, "publish", lambda: self._outbox.publish(batch, {}, recorded.updates))
        self._observer.observe(
            BatchApplied(
                topic=batch.topic,
                partition=batch.partition,
                records=len(batch.records),
                applied=recorded.applied,
                duplicates=recorded.duplicates,
                replayed=recorded.replayed,
                ruled_out=recorded.ruled_out,
                capped=recorded.capped,
                evicted=recorded.evicted,
                freshness={now - milliseconds / 1000: records for milliseconds, records in appended.items()},
            )
        )
        if prepared.rejected:
            reasons = Counter(rejected.reason.value for rejected in prepared.rejected.values())
            self._observer.observe(EventsRejected(batch.topic, reasons))

    async def _read(self, intake: Intake[Any]) -> list[Any]:
        return await isolate(self._handler.read, intake.events, passing=WORLD)

    def _timed(self, topic: str, stage: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        self._observer.observe(StageTimed(topic, stage, time.perf_counter() - started))
        return result

    async def _timed_async(self, topic: str, stage: str, work: Callable[[], Awaitable[Any]]) -> Any:
        started = time.perf_counter()
        result = await work()
        self._observer.observe(StageTimed(topic, stage, time.perf_counter() - started))
        return result


class ProfileHandler:
    """Clicks and comments: observations into profiles. ``ledger`` where the events' texts are their users' own."""

    def __init__(
        self,
        observe: Callable[[Sequence[Placed[Any]]], Awaitable[list[Observation | Rejected]]],
        store: ProfileStore,
        on_changed: Callable[[Sequence[str]], None] = lambda _: None,
        ledger: Ledger | None = None,
    ) -> None:
        self.read = observe
        self._store = store
        self._on_changed = on_changed
        self._ledger = ledger

    async def write(self, log: str, results: Sequence[Observation], recorded: Recorded | None = None) -> Recorded:
        """Sum the observations into their users' profiles.

        A text that came late, after its user was forgotten, has been read by now: its reading goes again.
        """
        recorded = await self._store.record(log, results, recorded)
        if self._ledger is not None:
            for user in recorded.forgotten:
                await self._ledger.forget(user)
        self._on_changed([update.user for update in recorded.updates])
        return recorded


class ItemHandler:
    """Items: their interests into the catalogue; a tombstone takes an item out."""

    def __init__(self, items: ItemReader, catalogue: Catalogue) -> None:
        self._items = items
        self._catalogue = catalogue

    async def read(self, events: Sequence[Placed[Item | Tombstone]]) -> list[Any]:
        """A version for each item, None for a tombstone."""
        items = [(e.event, cast("int", e.event.occurred_at)) for e in events if isinstance(e.event, Item)]
        versions = iter(await self._items.versions(items))
        return [(e.event.item_id, next(versions) if isinstance(e.event, Item) else None) for e in events]

    async def write(self, _log: str, results: Sequence[Any], _recorded: Recorded | None = None) -> Recorded:
        """Add the versions in log order; several of one item in one batch take turns."""
        for item_id, version in results:
            if version is None:
                await self._catalogue.remove([item_id])
            else:
                await self._catalogue.add({item_id: version})
        return Recorded(applied=len(results))


_COMMANDS_AT_ONCE = 100
_CUTTING = frozenset({CommandKind.FORGET, CommandKind.RETRACT, CommandKind.MUTE, CommandKind.UNMUTE})


class CommandHandler:
    """Commands: what users rule about their own profiles.

    ``take_letters_back`` is called with all users that a batch forgets. ``tell`` gets the profiles that a batch may
    have cut, as they are and as they were, and the newest moment of its commands. Both may be called again for the
    same ones.
    """

    def __init__(
        self,
        store: ProfileStore,
        ledger: Ledger,
        take_letters_back: Callable[[AbstractSet[str]], Awaitable[None]],
        snapshots: SnapshotReader,
        tell: Callable[[Sequence[tuple[str, Snapshot, Snapshot]], int], Awaitable[None]],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._take_letters_back = take_letters_back
        self._snapshots = snapshots
        self._tell = tell

    async def read(self, events: Sequence[Placed[Command]]) -> list[Any]:
        """Nothing to read: the commands themselves."""
        return [placed.event for placed in events]

    async def write(self, _log: str, results: Sequence[Command], _recorded: Recorded | None = None) -> Recorded:
        """Apply the commands; each is idempotent by its event time.

        Dead letters go last: finding them takes long, and the profiles are not to wait for it.
        """
        for i in range(0, len(results), _COMMANDS_AT_ONCE):
            await self._apply(results[i : i + _COMMANDS_AT_ONCE])
        if forgotten := {c.user_id for c in results if c.command is CommandKind.FORGET}:
            await self._take_letters_back(forgotten)
        return Recorded(applied=len(results))

    async def _apply(self, commands: Sequence[Command]) -> None:
        """Apply a few commands and tell what they cut: whole profiles are in memory meanwhile."""
        users = list(dict.fromkeys(c.user_id for c in commands if c.command in _CUTTING))
        before = await self._read(users)
        for command in commands:
            if command.command is CommandKind.FORGET:
                await self._ledger.forget(command.user_id)
                await self._store.forget(command.user_id, command.occurred_at)
            elif command.command is CommandKind.RETRACT:
                await self._store.retract(command.user_id, command.event_ref or "", command.occurred_at)
            else:
                await self._store.rule(
                    command.user_id, command.command.value, command.interest or "", command.occurred_at
                )
        if users:
            now, moment = await self._read(users), max(c.occurred_at for c in commands)
            await self._tell([(user, now[user], before[user]) for user in users], moment)

    async def _read(self, users: Sequence[str]) -> dict[str, Snapshot]:
        return {user: snapshot async for user, (snapshot,) in self._snapshots.read(users, keys.PREFIX)}
