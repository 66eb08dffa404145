"""The Redis users that deploy/redis/users.acl proposes, on a real Valkey: each can do its work, and no more."""

import contextlib
from pathlib import Path

import pytest
import redis
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import AuthenticationError, NoPermissionError

from inference.catalogue import Catalogue, ItemVersion
from inference.extraction import Passage
from inference.ledger import Ledger, LedgerExtractor
from profiles import keys
from profiles.copies import ProfileCopies
from profiles.logs import Logs
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.reader import InterestReader
from profiles.store import ProfileStore
from streams.embedded import EmbeddedRedis
from tests.fakes import KeywordExtractor

USERS = Path(__file__).parents[2] / "deploy/redis/users.acl"
START = 1_795_000_000_000_000


class GuardedRedis(EmbeddedRedis):
    def command(self):
        return (*super().command(), "--aclfile", str(USERS))

    def answers(self):
        with contextlib.suppress(redis.ConnectionError), Redis.from_url(self.url_of("reader")) as client:
            return client.ping()
        return False

    def url_of(self, name):
        return f"redis://penchant-{name}:change-me-{name}@127.0.0.1:{self.port}/0"


@pytest.fixture(scope="module")
def server():
    with GuardedRedis() as server:
        yield server


@pytest.fixture
async def filled(server):
    """A profile, written as the worker writes, with the writer's rights."""
    async with AsyncRedis.from_url(server.url_of("writer")) as client:
        store = ProfileStore(client, Policy(), changes=True)
        await store.prepare()
        signals = (Signal("cats", Stance.LIKE, 1.0, "my cat"), Signal("horror", Stance.DISLIKE, 1.0))
        await store.record("comments/0", [Observation("u1", "e1", 0, START, signals)])
        yield store, client


async def test_the_writer_does_the_workers_work(filled):
    store, client = filled
    await store.record("comments/0", [Observation("u2", "e2", 1, START, (Signal("cats", Stance.LIKE, 1.0),))])
    assert await client.smembers(keys.HORIZONS) == {b"now", b"lasting"}
    await store.rule("u2", "pin", "opera", START)
    await store.retract("u2", "e2", START)
    assert sorted([user async for user, _ in store.users()]) == ["u1", "u2"]
    assert await store.keys_of("u2")
    ledger = Ledger(client, 60)
    for author in ("u1", "u2"):
        await LedgerExtractor(KeywordExtractor(), ledger).extract([Passage("cats", author=author)])
        await LedgerExtractor(KeywordExtractor(), ledger).extract([Passage(f"opera of {author}", author=author)])
    assert len(await ledger.forget("u2")) == 1
    assert (await ledger.search("u2")).owned == []
    await store.forget("u2", START)
    assert await store.holding("u2") == []
    catalogue = Catalogue(client)
    assert await catalogue.find(["i1"]) == {}
    for since, text in enumerate(("first", "edited")):
        await catalogue.add({"i1": ItemVersion(since, text, text, "r", ())})
    assert [v.title for v in (await catalogue.find(["i1"]))["i1"]] == ["first", "edited"]
    await Logs(client).names({"comments": "an-id"})


async def test_the_writer_does_what_a_replay_does(filled):
    _, client = filled
    copies = ProfileCopies(client, Policy(), keys.shadow(), "r1", keep_seconds=60)
    await copies.start(["u3"])
    await copies.store.record("comments/0", [Observation("u3", "e1", 0, START, (Signal("cats", Stance.LIKE, 1.0),))])
    assert "u3" in [user async for user in copies.users()]
    assert [user async for user, _, _ in copies.snapshots(["u3"])] == ["u3"]
    await copies.note_switch({"comments/0": 1})
    assert await copies.noted("r1") == {"comments/0": 1}
    assert await copies.switch(["u3"], {}) == {"u3": None}
    await copies.drop(["u3"])


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "FLUSHDB", "FUNCTION FLUSH", "KEYS *", "CONFIG GET *", "ACL LIST", "GET other", "SET other 1"],
)
async def test_the_writer_neither_empties_the_server_nor_reaches_other_keys(filled, command):
    with pytest.raises(NoPermissionError):
        await filled[1].execute_command(*command.split())


async def test_the_reader_reads(filled, server):
    reader = InterestReader.from_url(server.url_of("reader"))
    assert [r.interest for r in reader.top("u1", at=START / 1e6)] == ["cats"]
    assert reader.many(["u1"], at=START / 1e6)["u1"]
    assert reader.vector("u1", ["cats", "horror"], at=START / 1e6) == pytest.approx([1.0, -1.0])
    assert reader.why("u1", "cats")[0].source == "my cat"


@pytest.mark.parametrize(
    "command",
    [
        "ZADD pen:1:{u1}:like:now 1 x",
        "DEL pen:1:{u1}:like:now",
        "EXPIRE pen:1:{u1}:like:now 1",
        "GET pen:1:text:abc",
        "SREM pen:1:{u1}:texts x",
        "ZRANGE pen:1:shadow:{u1}:like:now 0 -1",
        "GET other",
        "SCAN 0",
        "FCALL penchant_forget 1 pen:1:{u1} 1 x",
        "FLUSHALL",
    ],
)
async def test_the_reader_neither_writes_nor_lists_nor_reads_anything_else(filled, server, command):
    async with AsyncRedis.from_url(server.url_of("reader")) as client:
        with pytest.raises(NoPermissionError):
            await client.execute_command(*command.split())


async def test_nobody_comes_in_without_a_name(server):
    async with AsyncRedis.from_url(server.url) as client:
        with pytest.raises(AuthenticationError):
            await client.ping()
