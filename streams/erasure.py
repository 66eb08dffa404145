"""Forgetting a user: profile, evidence, rules, readings of what they wrote, dead letters; then looking again.

Each step can be repeated: what a crash cuts off, the next call ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .letters import Progress, Swept, sweep
from .runtime import open_profiles
from .settings import Settings
from .topics import TopicError

_WHY_LEFT: Mapping[str, str] = {
    "meta": "positions in the logs, so that no event counts twice",
    "rules": "the mark of the forget, which keeps late events out",
    "seen": "hashes of event ids, which recognise a producer's duplicates",
}


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed from Redis: entries by key, and the keys of the readings of texts that only this user wrote.

    ``scanned`` are the user's keys that were there before.
    """

    scanned: Sequence[str]
    removed: Mapping[str, int]
    readings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a second scan of Redis found: the user's keys, those of them that still hold something, and readings.

    ``entries`` is the number of readings looked at, of all users.
    """

    keys: Sequence[str]
    holding: Sequence[str]
    entries: int
    readings: Sequence[str]

    @property
    def left(self) -> dict[str, str]:
        """The keys that are there, each with the reason."""
        again = "came in after the forget: repeat it"
        return {
            key: again if key in self.holding else _WHY_LEFT.get(key.rpartition(":")[2], again) for key in self.keys
        }


async def erase(settings: Settings, user: str, at: int) -> Erased:
    """Remove from Redis what the user's events up to ``at`` (epoch microseconds) left."""
    async with open_profiles(settings) as (store, ledger):
        scanned = await store.keys_of(user)
        readings = await ledger.forget(user)
        receipt = await store.forget(user, at)
        return Erased(scanned, receipt.removed, readings)


async def look_again(settings: Settings, user: str, progress: Progress = lambda *_: None) -> Found:
    """Look for what is left of the user in Redis, in every reading of the ledger too."""
    async with open_profiles(settings) as (store, ledger):
        searched = await ledger.search(user, lambda done: progress(done, 0))
        return Found(await store.keys_of(user), await store.holding(user), searched.entries, searched.owned)


def take_letters_back(settings: Settings, user: str, progress: Progress = lambda *_: None) -> tuple[Swept, Swept]:
    """Take the user's dead letters back, then look again. Raises KafkaError where the brokers fail."""
    try:
        return sweep(settings, {user}, progress=progress), sweep(settings, {user}, take_back=False, progress=progress)
    except TopicError:
        return Swept(), Swept()  # no worker has created the topic yet
