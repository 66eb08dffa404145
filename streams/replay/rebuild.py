"""Profiles made anew from the log, in a shadow of the live ones; compared with those; exchanged with them and back.

Live traffic goes on meanwhile. A profile is compared, and exchanged, only at a moment at which the copy knows all
that the live one does: until then the replay reads on.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from inference.extraction import Extractor
from inference.vllm_client import REPLAY, priority
from profiles import keys
from profiles.comparison import Difference, Snapshot, Standing, difference, standing
from profiles.copies import ProfileCopies
from profiles.logs import Logs
from profiles.snapshots import positions
from profiles.store import ProfileStore
from streams.connections import redis_client
from streams.outbox import Outbox
from streams.record_batches import RecordBatch
from streams.runtime import extractor_of, ledger_of, outbox_of, policy_of, producer_of, topic_ids
from streams.settings import Settings
from streams.topics import ensure_topics

from .log import LogReader, open_log
from .pace import Pace
from .reading import EventReader

EVENTS_PER_SECOND = 5000.0
MOST_LIVE_LAG = 10_000
_POLLS_PER_SECOND = 5
_ROUNDS = 8
_PATIENT_ROUNDS = 4
_WATCH_SECONDS = 1.2  # a worker commits once a second
_LOOK_SECONDS = 0.04
_CHUNK = 50
_DAY_SECONDS = 86_400
_BEYOND_ALL = 2**53
_EARLIER = "an earlier log, before 'penchant accept-log'"
_REASONS = {
    Standing.BEHIND: "the live profile kept moving ahead: repeat with a higher --rate",
    Standing.AHEAD: "the live worker has not read its newest events yet: see that one runs, and repeat",
    Standing.RULES: "the user's rules kept changing: repeat",
    Standing.GONE: "forgotten, or taken over by another replay, meanwhile",
}
_NO_COPY = "there is no profile from before a switch: none was made, or PENCHANT_REPLAY_KEEP_DAYS are over"


class MissingLogError(RuntimeError):
    """The log does not reach back to where the profiles begin."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a replay. ``users`` None means all of them.

    ``switch`` lets the rebuilt profiles take the place of the live ones; ``back`` rebuilds nothing, but brings the
    profiles from before the last switch up to date and exchanges them with the live ones. ``partial`` accepts that
    what the log has no more is lost. ``rate`` is events a second; above ``most_lag`` records of live lag it waits.
    """

    users: Collection[str] | None
    switch: bool = False
    back: bool = False
    partial: bool = False
    rate: float = EVENTS_PER_SECOND
    most_lag: int = MOST_LIVE_LAG

    @property
    def exchanges(self) -> bool:
        """Whether profiles are exchanged, and not only compared."""
        return self.switch or self.back


@dataclass(slots=True)
class Outcome:
    """What became of it, by user.

    ``largest_difference`` is that of two weights, as a share of the larger. ``differing`` holds those users whose
    profiles were not the same; ``left`` why a user was not compared or not switched. ``texts`` tells who read them:
    the ledger, or a tier (gate, embedded, vllm) anew.
    """

    users: int = 0
    compared: int = 0
    switched: int = 0
    largest_difference: float = 0.0
    differing: dict[str, Difference] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    records: int = 0
    applied: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def identical(self) -> int:
        """How many of the compared profiles were the same."""
        return self.compared - len(self.differing)

    @property
    def worst(self) -> list[tuple[str, Difference]]:
        """The users whose profiles were not the same, those that differ most first."""
        return sorted(self.differing.items(), key=lambda pair: -pair[1].share)


Progress = Callable[[int, int, int], Any]
"""Told records read, records to read, and the live lag that is waited for (0: none is)."""


async def replay_profiles(settings: Settings, order: Order, *, progress: Progress = lambda *_: None) -> Outcome:
    """Do what is ordered, and publish what the profiles say that were exchanged, where the settings want updates.

    Raises MissingLogError where the log's beginning is gone, before anything is changed; LogChangedError, TopicError
    and the errors of Redis and Kafka as a worker does at its start. What was unfinished then goes by itself.
    """
    priority.set(REPLAY)
    topics = await asyncio.to_thread(ensure_topics, settings)
    async with contextlib.AsyncExitStack() as stack:
        redis = redis_client(settings)
        stack.push_async_callback(redis.aclose)
        live = ProfileStore(redis, policy_of(settings))
        await live.prepare()
        extractor = extractor_of(settings, ledger_of(settings, redis))
        stack.push_async_callback(extractor.aclose)
        logs = await Logs(redis).names(topic_ids(topics))
        log = await stack.enter_async_context(open_log(settings, logs, topics))
        outbox = None
        if order.exchanges and settings.profile_updates:
            producer = producer_of(settings)
            stack.push_async_callback(producer.stop)
            await producer.start()
            outbox = outbox_of(settings, producer)
        return await Replay(settings, order, redis, live, extractor, log, outbox, progress).run()


class Replay:
    """One replay, from its start to its outcome."""

    def __init__(
        self,
        settings: Settings,
        order: Order,
        redis: Redis,
        live: ProfileStore,
        extractor: Extractor,
        log: LogReader,
        outbox: Outbox | None,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._order = order
        self._redis = redis
        self._live = live
        self._extractor = extractor
        self._log = log
        self._outbox = outbox
        self._progress = progress
        self._policy = policy_of(settings)
        run, keep_seconds = secrets.token_hex(8), round(settings.replay_keep_days * _DAY_SECONDS)
        self._before = ProfileCopies(redis, self._policy, keys.before(), run, keep_seconds=keep_seconds)
        shadow = ProfileCopies(redis, self._policy, keys.shadow(), run, keep_seconds=keep_seconds)
        self._copies = self._before if order.back else shadow
        self._pace = Pace(order.rate, log.live_lag, order.most_lag, on_wait=self._waits)
        self._users: set[str] = set()
        self._compared: dict[str, float] = {}
        self._to_read = 0
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        """Make or take over the copies, read the log into them, then compare and exchange."""
        started = time.monotonic()
        starts = await (self._take_over() if self._order.back else self._begin())
        self._log.seek(starts)
        wanted = None if self._order.users is None and not self._order.back else self._users
        reader = EventReader(self._settings, self._extractor, self._redis, wanted)
        ends = await self._log.ends()
        self._to_read = sum(max(end - starts[log], 0) for log, end in ends.items())
        await self._read(reader, ends)
        await self._settle(reader)
        if not self._order.back:
            await self._copies.drop(self._users)
        outcome = self._outcome
        outcome.compared = len(self._compared)
        outcome.largest_difference = max(self._compared.values(), default=0.0)
        outcome.users = len(self._users | set(outcome.left))
        outcome.rejected, outcome.texts = reader.rejected, reader.texts
        outcome.seconds = time.monotonic() - started
        return outcome

    async def _begin(self) -> dict[str, int]:
        """Start the copies. Returns where to read from: the beginning of each log."""
        beginnings = await self._log.beginnings()
        counted: set[str] = set()
        whole = self._order.users is None
        async for chunk in _chunks(self._wanted()):
            for meta in (await self._copies.start(chunk)).values():
                counted |= positions(meta).keys()
                whole |= not positions(meta)
            self._users |= set(chunk)
        needed = beginnings if whole else {log: offset for log, offset in beginnings.items() if log in counted}
        gone = [f"{log} begins at offset {offset}" for log, offset in sorted(needed.items()) if offset > 0]
        gone += [f"{log} is {_EARLIER}" for log in sorted(counted) if self._log.is_earlier(log)]
        await self._refuse_if_missing(gone)
        return beginnings

    async def _take_over(self) -> dict[str, int]:
        """Claim the copies from before a switch. Returns where to read from, so that they miss nothing."""
        beginnings = await self._log.beginnings()
        starts: dict[str, int] = {}
        noted: dict[str, Mapping[str, int]] = {}
        async for chunk in _chunks(self._wanted()):
            for user, meta in (await self._copies.claim(chunk)).items():
                if not meta:
                    self._outcome.left[user] = _NO_COPY
                    continue
                self._users.add(user)
                run = meta.get("switch", "")
                noted[run] = noted.get(run) or await self._copies.noted(run)
                reached = {log: offset + 1 for log, offset in positions(meta).items()}
                for log, beginning in beginnings.items():
                    start = reached.get(log, noted[run].get(log, beginning))
                    starts[log] = min(start, starts.get(log, start))
        gone = [
            f"{log} begins after offset {start}" for log, start in sorted(starts.items()) if start < beginnings[log]
        ]
        await self._refuse_if_missing(gone)
        return {log: max(beginning, starts.get(log, beginning)) for log, beginning in beginnings.items()}

    async def _refuse_if_missing(self, gone: Sequence[str]) -> None:
        if gone and not self._order.partial:
            if not self._order.back:
                await self._copies.drop(self._users)
            raise MissingLogError(
                f"the log does not reach back far enough ({'; '.join(gone)}): older events would be missing from the "
                "profiles. To go without them, say --partial"
            )

    async def _wanted(self) -> AsyncIterator[str]:
        if self._order.users is not None:
            for user in sorted(self._order.users):
                yield user
        elif self._order.back:
            async for user in self._copies.users():
                yield user
        else:
            async for user, _ in self._live.users():
                yield user

    async def _read(self, reader: EventReader, ends: Mapping[str, int]) -> None:
        """Read the log into the copies, up to ``ends``. Only users that are wanted come out of the reader."""
        most = max(1, min(self._settings.max_poll_records, round(self._order.rate / _POLLS_PER_SECOND)))
        async for batches in self._log.batches(ends, most):
            read = await asyncio.gather(*(reader.read(batch) for batch in batches))
            await self._pace.spend(sum(map(len, read)))
            new = {observation.user for observations in read for observation in observations} - self._users
            await self._copies.start(new)
            self._users |= new
            await asyncio.gather(*(self._record(*pair) for pair in zip(batches, read, strict=True)))
            self._outcome.records += sum(len(batch.records) for batch in batches)
            self._progress(self._outcome.records, max(self._to_read, self._outcome.records), 0)

    async def _record(self, batch: RecordBatch, observations: Sequence[Any]) -> None:
        recorded = await self._copies.store.record(self._log.name(batch), observations)
        self._outcome.applied += recorded.applied

    def _waits(self, lag: int) -> None:
        self._progress(self._outcome.records, max(self._to_read, self._outcome.records), lag)

    async def _settle(self, reader: EventReader) -> None:
        """Compare and exchange, user by user; read on for those that are not even, a few times."""
        pending = sorted(self._users)
        if self._order.exchanges:
            await self._copies.note_switch(await self._log.done())
        for turn in range(_ROUNDS):
            moment = _Round(await self._log.places(), hurried=self._order.exchanges and turn >= _PATIENT_ROUNDS)
            await self._look(pending, moment)
            pending = sorted(moment.pending)
            if not pending or turn == _ROUNDS - 1:
                break
            ends = await self._log.ends()
            await self._read(reader, {log: max(end, moment.wanted.get(log, 0)) for log, end in ends.items()})
        self._outcome.left |= {user: _REASONS[moment.pending[user]] for user in pending}

    async def _look(self, users: Sequence[str], moment: "_Round") -> None:
        """Settle who can be settled; those ahead of the live profile are watched until that comes by."""
        until = time.monotonic() + _WATCH_SECONDS
        while True:
            moment.done = await self._log.done()
            for chunk in _slices(users):
                await self._settle_chunk(chunk, moment)
            users = [user for user, place in moment.pending.items() if place is Standing.AHEAD]
            if not users or moment.hurried or time.monotonic() > until:
                break
            await asyncio.sleep(_LOOK_SECONDS)

    async def _settle_chunk(self, users: Sequence[str], moment: "_Round") -> None:
        ready = []
        async for user, live, copy in self._copies.snapshots(users):
            if self._order.partial:
                moment.ends |= {log: _BEYOND_ALL for log in live.positions if self._log.is_earlier(log)}
            moment.pending.pop(user, None)
            place = standing(live, copy, self._copies.run, moment.ends, moment.done)
            if place is Standing.GONE:
                self._outcome.left[user] = _REASONS[place]
            elif place is Standing.EVEN:
                self._compare(user, difference(live, copy, self._policy.half_lives))
                ready.append(user)
            elif place is Standing.AHEAD and moment.hurried:
                ready.append(user)
            else:
                moment.pending[user] = place
                await self._catch_up(user, live, copy, moment)
        if self._order.exchanges:
            refusals = await self._copies.switch(ready, moment.ends)
            moment.pending |= {user: Standing(refusal) for user, refusal in refusals.items() if refusal is not None}
            switched = [user for user, refusal in refusals.items() if refusal is None]
            self._outcome.switched += len(switched)
            if self._outbox is not None:
                await self._outbox.publish_whole([told async for told in self._before.snapshots(switched)])

    async def _catch_up(self, user: str, live: Snapshot, copy: Snapshot, moment: "_Round") -> None:
        """Rule as the live profile was ruled since; have the log read as far as the live profile knows it."""
        if copy.rules != live.rules:
            await self._copies.follow_rules(user, live.rules, copy.rules)
        for log, position in live.positions.items():
            moment.wanted[log] = max(position + 1, moment.wanted.get(log, 0))

    def _compare(self, user: str, found: Difference) -> None:
        """Note a comparison; of a user that was compared before, the newer one stands."""
        self._compared[user] = found.share
        self._outcome.differing.pop(user, None)
        if not found.identical:
            self._outcome.differing[user] = found


@dataclass(slots=True)
class _Round:
    """What is known of the users not settled while nothing more is read.

    ``ends`` and ``done`` are up to where the copies and the live profiles have each log; ``pending`` who is not settled
    and why, ``wanted`` up to where to read for them. In a ``hurried`` round a copy that is ahead is switched as it is:
    the profile of a user who never pauses is hardly met at a moment at which the two can be compared.
    """

    ends: dict[str, int]
    hurried: bool
    done: dict[str, int] = field(default_factory=dict)
    pending: dict[str, Standing] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)


def _slices(users: Sequence[str]) -> Iterator[Sequence[str]]:
    return (users[i : i + _CHUNK] for i in range(0, len(users), _CHUNK))


async def _chunks(users: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    chunk: list[str] = []
    async for user in users:
        chunk.append(user)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
