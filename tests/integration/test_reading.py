"""Clicks and their items: known, inside the click, late, edited, never."""

import asyncio
import time

import pytest
from redis.asyncio import Connection, Redis

from inference.catalogue import MAX_VERSIONS, Catalogue, ItemVersion, version_at
from inference.extraction import Overloaded
from profiles.model import Observation
from streams.events import Action, Click, InlineItem, Item, ItemKind, Reason, Rejected
from streams.intake import Placed
from streams.observer import Recorder, TextsRead
from streams.reading import ClickReader, ItemReader, TextReader
from tests.fakes import KeywordExtractor

NOW = 1_795_000_000_000_000


@pytest.fixture
async def catalogue(redis_url):
    client = Redis.from_url(redis_url)
    yield Catalogue(client)
    await client.aclose()


@pytest.fixture
def items():
    return ItemReader(TextReader(KeywordExtractor(), Recorder()))


def placed(index, **changes):
    event = {"event_id": f"e{index}", "user_id": "u", "occurred_at": NOW, "action": Action.CLICK, **changes}
    return Placed(index, index, NOW, Click(**event))


async def learn(items, catalogue, item_id, title, since=NOW):
    (version,) = await items.versions([(Item(item_id=item_id, kind=ItemKind.ARTICLE, title=title), since)])
    await catalogue.add({item_id: version})


def interests(result):
    assert isinstance(result, Observation)
    return {s.interest for s in result.signals}


async def test_known_inline_and_unknown_items_in_one_batch(catalogue, items):
    await learn(items, catalogue, "i1", "all about cats")
    reader = ClickReader(items, catalogue, item_wait_seconds=0.2)
    results = await reader.observe(
        [
            placed(0, item_id="i1"),
            placed(1, item=InlineItem(title="a night at the opera")),
            placed(2, item_id="never"),
            placed(3, item_id="i1", item=InlineItem(title="horror for beginners")),
        ]
    )
    assert interests(results[0]) == {"pets"}
    assert interests(results[1]) == {"opera"}
    assert results[2].reason is Reason.UNKNOWN_ITEM
    assert interests(results[3]) == {"horror"}


async def test_a_click_waits_for_an_item_on_its_way(catalogue, items):
    reader = ClickReader(items, catalogue, item_wait_seconds=5)
    waiting = asyncio.create_task(reader.observe([placed(0, item_id="late")]))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await learn(items, catalogue, "late", "opera tickets")
    assert interests((await waiting)[0]) == {"opera"}


async def test_an_unknown_item_is_waited_for_once_and_found_when_it_comes(catalogue, items):
    reader = ClickReader(items, catalogue, item_wait_seconds=0.3)
    await reader.observe([placed(0, item_id="x")])
    started = time.monotonic()
    (again,) = await reader.observe([placed(1, item_id="x")])
    assert isinstance(again, Rejected)
    assert time.monotonic() - started < 0.2
    await learn(items, catalogue, "x", "cats")
    assert interests((await reader.observe([placed(2, item_id="x")]))[0]) == {"pets"}


async def test_an_item_inside_a_click_serves_later_clicks_on_it(catalogue, items):
    reader = ClickReader(items, catalogue, item_wait_seconds=0.1)
    await reader.observe([placed(0, item_id="i9", item=InlineItem(title="opera"))])
    assert interests((await reader.observe([placed(1, item_id="i9")]))[0]) == {"opera"}


async def test_a_later_edit_does_not_rewrite_the_past(catalogue, items):
    await learn(items, catalogue, "i1", "cats", since=NOW - 1000)
    await learn(items, catalogue, "i1", "opera", since=NOW + 1000)
    reader = ClickReader(items, catalogue, item_wait_seconds=0.1)
    before, after = await reader.observe([placed(0, item_id="i1"), placed(1, item_id="i1", occurred_at=NOW + 2000)])
    assert (interests(before), interests(after)) == ({"pets"}, {"opera"})


def version(since, digest):
    return ItemVersion(since, digest, digest, "r", ())


@pytest.mark.parametrize("known", [False, True])
async def test_a_version_that_another_worker_adds_meanwhile_is_kept(redis_url, known):
    clients = [Redis.from_url(redis_url) for _ in range(MAX_VERSIONS)]
    first, *others = workers = [Catalogue(client) for client in clients]
    if known:
        await first.add({"i": version(0, "0")})
    await asyncio.gather(*(worker.add({"i": version(n, str(n))}) for n, worker in enumerate(workers)))
    assert [v.digest for v in (await others[0].find(["i"]))["i"]] == [str(n) for n in range(MAX_VERSIONS)]
    for client in clients:
        await client.aclose()


async def test_one_round_trip_adds_new_items_and_passes_over_known_texts(redis, monkeypatch):
    catalogue = Catalogue(redis)
    await catalogue.add({"old": version(1, "a")})
    sent = []
    send = Connection.send_packed_command

    async def count(connection, command, *args, **options):
        sent.append(command)
        await send(connection, command, *args, **options)

    monkeypatch.setattr(Connection, "send_packed_command", count)
    await catalogue.add({"old": version(2, "a"), "new": version(2, "b")})
    assert len(sent) == 1
    found = await catalogue.find(["old", "new"])
    assert {i: [v.since for v in versions] for i, versions in found.items()} == {"old": [1], "new": [2]}


async def test_versions_are_bounded_idempotent_and_may_return_to_an_old_text(catalogue):
    for since, digest in [(1, "a"), (2, "b"), (3, "a"), (1, "a"), (4, "a")]:
        await catalogue.add({"i": version(since, digest)})
    versions = (await catalogue.find(["i"]))["i"]
    assert [(v.since, v.digest) for v in versions] == [(1, "a"), (2, "b"), (3, "a")]
    assert version_at(versions, 0).digest == "a"
    for since in range(10, 30):
        await catalogue.add({"i": version(since, str(since))})
    assert len((await catalogue.find(["i"]))["i"]) == 8


async def test_an_overloaded_reader_is_waited_for():
    class Busy(KeywordExtractor):
        tries = 0

        async def extract(self, passages):
            self.tries += 1
            if self.tries < 3:
                raise Overloaded(0.01, "busy")
            return await super().extract(passages)

    recorder = Recorder()
    items = ItemReader(TextReader(Busy(), recorder))
    (version,) = await items.versions([(InlineItem(title="cats"), NOW)])
    assert [i.concept for i in version.interests] == ["pets"]
    assert [e.texts for e in recorder.events if isinstance(e, TextsRead)] == [1]
