"""Copies of profiles on a real server: one writer each, exchanged in one step, erased by a forget."""

import pytest
from redis.asyncio import Redis

from profiles import keys
from profiles.copies import ProfileCopies
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.store import ProfileStore

START = 1_795_000_000_000_000
POLICY = Policy()
LIKES = keys.interests("u", "like", "now")
KEEP = 3 * 86_400


@pytest.fixture
async def redis(redis_url):
    client = Redis.from_url(redis_url)
    await ProfileStore(client, POLICY).prepare()
    yield client
    await client.aclose()


@pytest.fixture
def live(redis):
    return ProfileStore(redis, POLICY)


def shadow(redis, run):
    return ProfileCopies(redis, POLICY, keys.shadow(), run, keep_seconds=KEEP)


def before(redis, run):
    return ProfileCopies(redis, POLICY, keys.before(), run, keep_seconds=KEEP)


def liked(interest, offset):
    return [Observation("u", f"e{offset}", offset, START + offset, (Signal(interest, Stance.LIKE, 1.0),))]


async def members(redis, namespace=keys.PREFIX):
    return {m.decode() for m in await redis.zrange(keys.interests("u", "like", "now", namespace), 0, -1)}


async def test_a_switch_exchanges_and_a_second_one_brings_back(redis, live):
    await live.record("clicks/0", liked("wrong", 0))
    await live.rule("u", "pin", "opera", START)
    copies = shadow(redis, "r1")
    assert (await copies.start(["u"]))["u"]["clicks/0"] == "0"
    await copies.store.record("clicks/0", liked("right", 0))
    assert await copies.switch(["u"], {"clicks/0": 1}) == {"u": None}
    assert (await members(redis), await members(redis, keys.before())) == ({"right"}, {"wrong"})
    assert await redis.hget(keys.rules("u"), "pin:opera")
    assert await redis.ttl(keys.rules("u")) == -1
    assert await redis.ttl(LIKES) > KEEP
    assert not [key async for key in redis.scan_iter("pen:1:shadow:*")]
    assert not [key async for key in redis.scan_iter("*:aside")]
    async for key in redis.scan_iter("pen:1:before:*"):
        assert 0 < await redis.ttl(key) <= KEEP

    await live.record("clicks/0", liked("newer", 1))
    back = before(redis, "r2")
    assert (await back.claim(["u", "nobody"]))["nobody"] == {}
    assert await back.switch(["u"], {"clicks/0": 1}) == {"u": "behind"}
    await back.store.record("clicks/0", liked("newer", 1))
    assert await back.switch(["u"], {"clicks/0": 2}) == {"u": None}
    assert (await members(redis), await members(redis, keys.before())) == ({"wrong", "newer"}, {"right", "newer"})
    assert await redis.ttl(keys.meta("u")) > KEEP
    assert (await live.record("clicks/0", liked("newer", 1))).replayed == 1


async def test_an_unfinished_copy_goes_when_copies_do(redis, live):
    for offset in (0, 1):
        await live.record("clicks/0", liked("a", offset))
    first = shadow(redis, "r1")
    await first.start(["u"])
    await first.store.record("clicks/0", liked("a", 0))
    await first.switch(["u"], {"clicks/0": 2})
    back, second = before(redis, "r2"), shadow(redis, "r3")
    await back.claim(["u"])
    await second.start(["u"])
    later = [o._replace(at=o.at + 3 * 86_400 * 10**6) for o in liked("b", 3)]
    for copies in (back, second):
        await copies.store.record("clicks/0", liked("b", 2))
        await copies.store.record("clicks/0", later)
        await copies.store.rule("u", "mute", "a", START)
    found = [key async for key in redis.scan_iter("pen:1:*") if b":shadow:" in key or b":before:" in key]
    assert len(found) > 8
    for key in found:
        assert 0 < await redis.ttl(key) <= KEEP, key
    assert min([await redis.ttl(key) async for key in redis.scan_iter("pen:1:{u}:*") if b"rules" not in key]) > KEEP


async def test_a_copy_that_knows_less_is_refused_and_one_that_rejected_is_not(redis, live):
    await live.record("clicks/0", liked("a", 0))
    await live.record("clicks/0", liked("b", 7))
    copies = shadow(redis, "r1")
    await copies.start(["u"])
    await copies.store.record("clicks/0", liked("a", 0))
    for ends in ({}, {"clicks/0": 7}, {"clicks/1": 99}):
        assert await copies.switch(["u"], ends) == {"u": "behind"}
    assert await members(redis) == {"a", "b"}
    assert await copies.switch(["u"], {"clicks/0": 8}) == {"u": None}
    assert await members(redis) == {"a"}
    assert (await live.record("clicks/0", liked("b", 7))).replayed == 1


async def test_rules_made_meanwhile_are_followed_before_the_switch(redis, live):
    await live.record("clicks/0", [*liked("a", 0), *liked("b", 1)])
    copies = shadow(redis, "r1")
    await copies.start(["u"])
    await copies.store.record("clicks/0", [*liked("a", 0), *liked("b", 1)])
    await live.rule("u", "mute", "a", START + 2)
    await live.retract("u", "e1", START + 2)
    assert await copies.switch(["u"], {"clicks/0": 2}) == {"u": "rules"}
    async for _, ours, theirs in copies.snapshots(["u"]):
        await copies.follow_rules("u", ours.rules, theirs.rules)
    assert await members(redis, keys.shadow()) == set()
    assert await copies.switch(["u"], {"clicks/0": 2}) == {"u": None}
    assert await redis.hget(keys.meta("u"), "rules") == b"2"


async def test_rules_are_followed_in_a_copy_of_what_had_expired(redis, live):
    await live.rule("u", "mute", "a", START)
    await redis.delete(keys.meta("u"))
    copies = shadow(redis, "r1")
    await copies.start(["u"])
    await copies.store.record("clicks/0", [*liked("a", 0), *liked("b", 1)])
    assert await members(redis, keys.shadow()) == {"b"}
    assert await copies.switch(["u"], {"clicks/0": 2}) == {"u": None}
    await live.record("clicks/0", liked("a", 2))
    assert await members(redis) == {"b"}


async def test_a_forget_erases_all_copies_and_fences_their_writers_off(redis, live):
    await live.record("clicks/0", liked("a", 0))
    first = shadow(redis, "r1")
    await first.start(["u"])
    await first.store.record("clicks/0", liked("a", 0))
    await first.switch(["u"], {"clicks/0": 1})
    second, back = shadow(redis, "r2"), before(redis, "r3")
    await second.start(["u"])
    await second.store.record("clicks/0", liked("a", 0))
    await back.claim(["u"])
    receipt = await live.forget("u", START + 5)
    assert {keys.interests("u", "like", "now", n) for n in (keys.shadow(), keys.before())} <= receipt.removed.keys()
    for copies in (second, back):
        assert (await copies.store.record("clicks/0", liked("a", 1))).applied == 0
        await copies.store.rule("u", "pin", "a", START + 9)
        await copies.store.retract("u", "e0", START + 9)
        assert await copies.switch(["u"], {"clicks/0": 9}) == {"u": "gone"}
    assert sorted(await live.keys_of("u")) == [keys.meta("u"), keys.rules("u"), keys.seen("u")]


async def test_a_copy_has_one_writer(redis, live):
    await live.record("clicks/0", liked("a", 0))
    first, second = shadow(redis, "r1"), shadow(redis, "r2")
    await first.start(["u"])
    await second.start(["u"])
    assert (await first.store.record("clicks/0", liked("late", 9))).applied == 0
    assert await first.switch(["u"], {"clicks/0": 9}) == {"u": "gone"}
    await first.drop(["u"])
    assert (await second.store.record("clicks/0", liked("a", 0))).applied == 1
    assert await second.switch(["u"], {"clicks/0": 1}) == {"u": None}


async def test_copies_are_no_users_of_their_own(redis, live):
    await live.record("clicks/0", liked("a", 0))
    copies = shadow(redis, "r1")
    await copies.start(["u", "nobody"])
    assert [user async for user, _ in live.users()] == ["u"]
    assert sorted([user async for user in copies.users()]) == ["nobody", "u"]
    assert await copies.switch(["nobody"], {}) == {"nobody": None}
    assert await live.keys_of("nobody") == []
    await copies.drop(["u"])
    assert [user async for user in copies.users()] == []
