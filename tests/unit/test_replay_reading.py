"""A replay reads as the worker does, and leaves the live catalogue as it is."""

import time

import pytest
from aiokafka import ConsumerRecord

from streams.record_batches import RecordBatch
from streams.replay.reading import EventReader
from streams.settings import Settings
from tests.fakes import KeywordExtractor

CLICKS = "penchant.clicks.v1"


class Catalogue:
    """The one command of Redis that finds items; any other is a write, and fails."""

    async def mget(self, names):
        return [None] * len(names)


def batch(*values, at=None):
    stamp = round((time.time() - 3600 if at is None else at) * 1000)
    records = [
        ConsumerRecord(CLICKS, 0, offset, stamp, 1, None, value.encode(), None, 0, len(value), ())
        for offset, value in enumerate(values)
    ]
    return RecordBatch(CLICKS, 0, records)


def click(user, item):
    return f'{{"event_id":"e","user_id":"{user}","occurred_at":1,"action":"like",{item}}}'


def reader(wanted):
    return EventReader(Settings(item_wait_seconds=0.3), KeywordExtractor(), Catalogue(), wanted)


async def test_only_wanted_users_are_read_and_counted():
    reading = reader({"u1"})
    values = [click(u, '"item":{"title":"cats"}') for u in ("u1", "u2")]
    found = await reading.read(batch(*values, click("u2", '"item_id":"unknown"'), "no JSON"))
    assert [(o.user, o.offset, o.signals[0].interest) for o in found] == [("u1", 0, "pets")]
    assert not reading.rejected
    assert reading.texts == {"ledger": 0, "embedded": 1}


async def test_rejects_are_counted_by_reason_where_all_are_wanted():
    reading = reader(None)
    assert await reading.read(batch(click("u2", '"item_id":"unknown"'), "no JSON")) == []
    assert reading.rejected == {"unknown_item": 1, "invalid_json": 1}


async def test_what_a_click_says_of_its_item_is_known_to_the_replay_alone():
    inline = click("u1", '"item_id":"i1","item":{"title":"cats"}')
    found = await reader(None).read(batch(inline))
    assert [o.target for o in found] == ["i1"]
    reading = reader(None)
    await reading.read(batch(inline))
    (later,) = await reading.read(batch(click("u2", '"item_id":"i1"')))
    assert later.signals[0].interest == "pets"


@pytest.mark.parametrize(("age", "waits"), [(3600.0, False), (0.0, True)])
async def test_only_a_click_of_this_moment_waits_for_its_item(age, waits):
    started = time.monotonic()
    await reader(None).read(batch(click("u1", '"item_id":"unknown"'), at=time.time() - age))
    assert (time.monotonic() - started >= 0.3) is waits
