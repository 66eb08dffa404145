"""The worker, put together: settings in, a running system out. The one place that knows all the parts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from inference.catalogue import Catalogue
from inference.extraction import Extractor, Overloaded, Passage
from inference.ledger import Ledger
from inference.taxonomy import Taxonomy
from inference.tiers import build_extractor
from profiles.logs import LogChangedError, Logs, require_same
from profiles.policy import MICROSECONDS, Policy
from profiles.reader import AsyncInterestReader
from profiles.snapshots import SnapshotReader
from profiles.store import ProfileStore

from .app import PenchantApp, build_app, run_app
from .connections import kafka_options, redis_client
from .decoding import Decoder
from .dependencies import Watch, dependency_checks
from .events import TopicKind
from .lanes import Lanes, Troubles
from .letters import sweep_in_thread
from .metrics import Metrics
from .observer import InFlight, LagsMeasured
from .outbox import Outbox
from .pipeline import CommandHandler, Handler, ItemHandler, Pipeline, Prepared, ProfileHandler
from .reading import ClickReader, CommentReader, ItemReader, TextReader
from .settings import Settings, masked_url, parse_horizons
from .topics import (
    DEAD_LETTER_BYTES,
    DEAD_LETTERS,
    PROFILE_UPDATES,
    TopicError,
    TopicInfo,
    TopicLookup,
    ensure_topics,
    start_over,
    topic_names,
)
from .web import WebState, create_web, serve

_log = structlog.get_logger()

_DAY_SECONDS = 86_400
_DAY = _DAY_SECONDS * MICROSECONDS
_RECENT_USERS, _MANY_USERS = 200, 2_000
_WARM_UP = "I love science fiction"
_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running worker is to be found; what ``penchant worker`` prints once it is ready."""

    kafka: str
    redis: str
    web: str
    group: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def policy_of(settings: Settings) -> Policy:
    """The profile policy that the settings ask for."""
    return Policy(
        horizons=parse_horizons(settings.horizons),
        max_interests=settings.max_interests,
        evidence_per_interest=settings.evidence_per_interest,
        duplicate_window=settings.duplicate_window,
        events_per_user_hour=settings.max_events_per_user_hour,
        events_per_item_hour=settings.max_events_per_item_hour,
        evidence_age=None if settings.evidence_days is None else round(settings.evidence_days * _DAY),
        expiry_grace_seconds=round(settings.profile_grace_days * _DAY_SECONDS),
    )


def decoder_of(settings: Settings, kind: TopicKind) -> Decoder:
    """The decoder of one topic's events."""
    return Decoder(
        kind,
        max_future_skew_us=round(settings.max_future_skew_seconds * MICROSECONDS),
        max_value_bytes=settings.max_value_bytes,
    )


class RecentUsers:
    """The users whose profiles changed last, newest first: what the live page offers to look at."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def touch(self, users: Sequence[str]) -> None:
        """Note that these users' profiles changed just now."""
        self._seen.update(dict.fromkeys(users[-_RECENT_USERS:], time.time()))
        if len(self._seen) > _MANY_USERS:
            self._seen = dict(self.newest())

    def newest(self) -> list[tuple[str, float]]:
        """User and the time of the last change, in seconds since the epoch."""
        return sorted(self._seen.items(), key=lambda seen: -seen[1])[:_RECENT_USERS]


def ledger_of(settings: Settings, redis: Redis) -> Ledger:
    """The extraction ledger in that Redis."""
    return Ledger(redis, settings.ledger_days * _DAY_SECONDS)


def extractor_of(settings: Settings, ledger: Ledger | None) -> Extractor:
    """The extractor that the settings ask for; without a ledger every text is read anew."""
    return build_extractor(
        extraction=settings.extraction,
        ledger=ledger,
        allow_sensitive=settings.allow_sensitive,
        vllm_urls=settings.vllm_urls,
        vllm_model=settings.vllm_model,
        vllm_token=settings.vllm_token.get_secret_value() if settings.vllm_token else None,
        vllm_timeout_seconds=settings.vllm_timeout_seconds,
        vllm_concurrency=settings.vllm_concurrency,
        vllm_when_down=settings.vllm_when_down,
    )


def producer_of(settings: Settings) -> AIOKafkaProducer:
    """The producer of what Penchant publishes, not started yet. Make it inside an event loop."""
    return AIOKafkaProducer(**kafka_options(settings), acks="all", max_request_size=DEAD_LETTER_BYTES)


def outbox_of(settings: Settings, producer: AIOKafkaProducer) -> Outbox:
    """The outbox over that producer; profile updates go out where the settings want them."""
    names = topic_names()
    return Outbox(
        producer,
        dead_letters_topic=names[DEAD_LETTERS],
        updates_topic=names[PROFILE_UPDATES] if settings.profile_updates else None,
        half_lives=policy_of(settings).half_lives,
    )


@contextlib.asynccontextmanager
async def open_profiles(settings: Settings) -> AsyncIterator[tuple[ProfileStore, Ledger]]:
    """The profiles and the ledger over a connection of their own, for commands."""
    redis = redis_client(settings)
    try:
        store = ProfileStore(redis, policy_of(settings))
        await store.prepare()
        yield store, ledger_of(settings, redis)
    finally:
        await redis.aclose()


def topic_ids(topics: Mapping[str, TopicInfo]) -> dict[str, str | None]:
    """The id of each kind of input topic, as the broker tells it; None also where the topic is not there."""
    names = topic_names()
    return {kind: topics[names[kind]].topic_id if names[kind] in topics else None for kind in TopicKind}


async def accept_logs(settings: Settings) -> list[str]:
    """Take recreated topics for new logs, read from their beginning. Returns the kinds of topic that were.

    Raises TopicError where workers of the group still run.
    """
    ids = topic_ids(await asyncio.to_thread(ensure_topics, settings))
    redis = redis_client(settings)
    try:
        logs = Logs(redis)
        # First, so that a failure leaves all as it was. A worker that met the new topic may have committed into it.
        await asyncio.to_thread(start_over, settings, [topic_names()[kind] for kind in await logs.changed(ids)])
        return await logs.accept(ids)
    finally:
        await redis.aclose()


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts of a running worker that its services look after."""

    settings: Settings
    redis: Redis
    producer: AIOKafkaProducer
    metrics: Metrics
    lanes: Mapping[str, Lanes[Prepared]]
    recent: RecentUsers
    checks: Mapping[str, Callable[[], Awaitable[None]]]


async def run_worker(
    settings: Settings, *, ready: Callable[[Addresses], None] | None = None, stop: asyncio.Event | None = None
) -> None:
    """Run a worker until ``stop``, or SIGTERM and SIGINT where there is none.

    ``ready`` is called with its addresses once it has joined its group. Raises the error of a dependency that does
    not answer at the start; one that goes away later is waited for. Raises LogChangedError where a topic is not the
    one that the profiles were made from, also where it is recreated meanwhile.
    """
    policy = policy_of(settings)
    topics = await asyncio.to_thread(ensure_topics, settings)
    redis = redis_client(settings)
    producer = producer_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(redis.aclose)
        stack.push_async_callback(producer.stop)
        store = ProfileStore(redis, policy, changes=settings.profile_updates)
        await store.prepare()
        await producer.start()
        ledger = ledger_of(settings, redis)
        extractor = extractor_of(settings, ledger)
        stack.push_async_callback(extractor.aclose)
        ids = topic_ids(topics)
        logs = await Logs(redis).names(ids)
        worker = _assemble(settings, logs, redis, producer, store, extractor, ledger)
        web = await stack.enter_async_context(serve(_web(worker), settings.web_host, settings.web_port))
        addresses = Addresses(settings.kafka_bootstrap, masked_url(settings.redis_url), web, settings.consumer_group)
        app = build_app(settings, worker.lanes)
        await run_app(
            app,
            services=[
                _beside(_watch(worker, app)),
                _beside(_watch_topics(settings, ids, app)),
                _beside(_warm_up(extractor)),
            ],
            ready=None if ready is None else lambda: ready(addresses),
            stop=stop,
        )


def _assemble(
    settings: Settings,
    logs: Mapping[str, str],
    redis: Redis,
    producer: AIOKafkaProducer,
    store: ProfileStore,
    extractor: Extractor,
    ledger: Ledger,
) -> Worker:
    """Wire the pipelines: one a topic, each in its own lanes."""
    metrics, recent, names = Metrics(), RecentUsers(), topic_names()
    texts = TextReader(extractor, metrics)
    items, catalogue = ItemReader(texts), Catalogue(redis)
    clicks = ClickReader(items, catalogue, settings.item_wait_seconds)
    outbox = outbox_of(settings, producer)
    handlers: Mapping[TopicKind, Handler] = {
        TopicKind.CLICKS: ProfileHandler(clicks.observe, store, recent.touch),
        TopicKind.COMMENTS: ProfileHandler(CommentReader(texts).observe, store, recent.touch, ledger),
        TopicKind.ITEMS: ItemHandler(items, catalogue),
        TopicKind.COMMANDS: CommandHandler(
            store,
            ledger,
            partial(sweep_in_thread, settings),
            SnapshotReader(redis, policy_of(settings)),
            outbox.publish_whole,
        ),
    }
    lanes, troubles = {}, Troubles()
    for kind, handler in handlers.items():
        pipeline = Pipeline(logs[kind], decoder_of(settings, kind), handler, outbox, metrics)
        lanes[names[kind]] = Lanes(
            pipeline.prepare,
            pipeline.apply,
            max_in_flight=settings.max_in_flight,
            join=Prepared.join,
            troubles=troubles,
        )

    return Worker(settings, redis, producer, metrics, lanes, recent, dependency_checks(settings, redis, producer))


def _web(worker: Worker) -> Any:
    horizons = {h.name: h.half_life / MICROSECONDS for h in policy_of(worker.settings).horizons}
    token = worker.settings.web_token
    return create_web(
        WebState(
            reader=AsyncInterestReader(worker.redis, horizons=horizons),
            horizons=horizons,
            recent_users=worker.recent.newest,
            checks=worker.checks,
            exposition=worker.metrics.exposition,
            concept_names={c.slug: c.name_zh for c in Taxonomy.load().concepts},
            token=token.get_secret_value() if token else None,
        )
    )


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do the work beside the worker, for as long as that runs. If it fails, that is said at once."""
    task = asyncio.create_task(work, name=getattr(work, "__qualname__", None))
    task.add_done_callback(_say_if_failed)
    try:
        yield
    finally:
        task.cancel()


def _say_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("work_beside_ended", work=task.get_name(), error=type(error).__name__)


async def _warm_up(extractor: Extractor) -> None:
    """Load what the first text would have to wait for, while the consumer joins its group."""
    with contextlib.suppress(Overloaded):
        await extractor.extract([Passage(_WARM_UP)])


async def _watch(worker: Worker, app: PenchantApp) -> None:
    """Keep asking the dependencies, and measuring what is in flight and how far behind."""
    watch = Watch(worker.checks, worker.metrics)
    while True:
        await watch.look()
        for topic, lanes in worker.lanes.items():
            worker.metrics.observe(InFlight(topic, lanes.in_flight))
        lags = await app.lags(time.time())
        if lags is not None:
            worker.metrics.observe(LagsMeasured(lags))
        await asyncio.sleep(_CHECK_SECONDS)


async def _watch_topics(settings: Settings, ids: Mapping[str, str | None], app: PenchantApp) -> None:
    """Give up once a topic is no longer the one that this worker began with."""
    lookup = TopicLookup(settings)
    try:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                require_same(ids, topic_ids(await asyncio.to_thread(lookup.look)))
            except TopicError:
                continue  # Kafka is away; the other watch tells of it
            except LogChangedError as error:
                app.give_up(error)
                return
    finally:
        lookup.close()
