"""The worker, put together: settings in, a running system out. The one place that knows all the parts."""

import asyncio
import contextlib
import signal
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass

import structlog
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from inference.catalogue import Catalogue
from inference.extraction import Extractor
from inference.tiers import build_extractor
from profiles.policy import MICROSECONDS, Horizon, Policy
from profiles.reader import AsyncInterestReader
from profiles.store import ProfileStore

from .app import build_app, kafka_client_options, run_app
from .decoding import Decoder
from .events import TopicKind
from .lanes import Lanes
from .metrics import Metrics
from .observer import BatchApplied, Observed, Observer
from .outbox import Outbox
from .pipeline import CommandHandler, Handler, ItemHandler, Pipeline, ProfileHandler
from .reading import ClickReader, CommentReader, ItemReader, TextReader
from .settings import Settings
from .topics import ensure_topics, topic_names
from .web import WebState, create_web, serve

_log = structlog.get_logger()
_UNITS = {"h": 3600, "d": 86400}
_RECENT_USERS = 200


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


def parse_horizons(text: str) -> tuple[Horizon, ...]:
    """``now=6h,lasting=30d`` as horizons. Raises ValueError that names the part it cannot read."""
    horizons = []
    for part in text.split(","):
        name, _, length = part.strip().partition("=")
        try:
            half_life = float(length[:-1]) * _UNITS[length[-1:]]
        except (KeyError, ValueError):
            raise ValueError(f"PENCHANT_HORIZONS: '{part}' is not NAME=HALF-LIFE such as now=6h or lasting=30d") from None
        if not name.isidentifier() or half_life <= 0:
            raise ValueError(f"PENCHANT_HORIZONS: '{part}' needs a plain name and a half-life above zero")
        horizons.append(Horizon(name, round(half_life * MICROSECONDS)))
    return tuple(horizons)


def policy_of(settings: Settings) -> Policy:
    """The profile policy that the settings ask for."""
    return Policy(
        horizons=parse_horizons(settings.horizons),
        max_interests=settings.max_interests,
        evidence_per_interest=settings.evidence_per_interest,
        duplicate_window=settings.duplicate_window,
    )


class RecentUsers:
    """The users whose profiles changed last, newest first: what the live page offers to look at."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()

    def touch(self, users: list[str]) -> None:
        """Note that these users' profiles changed just now."""
        now = time.time()
        for user in users[-_RECENT_USERS:]:
            self._seen[user] = now
            self._seen.move_to_end(user)
        while len(self._seen) > _RECENT_USERS:
            self._seen.popitem(last=False)

    def newest(self) -> list[tuple[str, float]]:
        """User and the time of the last change, in seconds since the epoch."""
        return list(reversed(self._seen.items()))
