"""The store against the oracle, on a real server: batches, repeats, redelivery, commands."""

import random
from dataclasses import replace
from math import log2

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from profiles import keys
from profiles.decay import merge, weight_at
from profiles.model import Observation, Signal, Stance
from profiles.policy import LASTING, Horizon, Policy
from profiles.store import ProfileStore, Recorded
from tests.oracle import HALF_LIVES_US, Commands, Shown, assert_same, weights

START = 1_795_000_000_000_000
MINUTE = 60 * 10**6
POLICY = Policy()


@pytest.fixture
async def store(redis):
    store = ProfileStore(redis, POLICY, changes=True)
    await store.prepare()
    return store


def observation(shown: Shown, offset: int) -> Observation:
    signals = tuple(Signal(i, Stance(s), strength) for i, s, strength in shown.signals)
    return Observation(shown.user, shown.event_id, offset, shown.at, signals, shown.target)


async def profile(redis, user, at):
    found = {}
    for stance in ("like", "dislike"):
        for horizon, half_life in HALF_LIVES_US.items():
            members = await redis.zrange(keys.interests(user, stance, horizon), 0, -1, withscores=True)
            found[stance, horizon] = {m.decode(): weight_at(s, at, half_life) for m, s in members}
    return found


async def assert_equals_oracle(redis, shown, commands=None):
    expected = weights(shown, commands)
    for user in {s.user for s in shown}:
        newest = max((s.at for s in shown if s.user == user), default=START)
        assert_same(await profile(redis, user, newest), weights(shown, commands, at=newest)[user])
    return expected


def story(seed, events=400, users=7, interests=12, span=5 * 86400 * 10**6):
    rng = random.Random(seed)
    return [
        Shown(
            f"user {rng.randrange(users)}",
            f"e{n}",
            START + rng.randrange(span),
            tuple(
                (
                    f"interest-{rng.randrange(interests)}",
                    rng.choice(["like", "like", "dislike", "neutral"]),
                    rng.uniform(0.1, 5),
                )
                for _ in range(rng.randrange(4))
            ),
        )
        for n in range(events)
    ]


@pytest.mark.parametrize("size", [1, 7, 100, 400])
async def test_any_batching_gives_the_decayed_sums(redis, store, size):
    shown = story(size)
    observations = [observation(s, n) for n, s in enumerate(shown)]
    for start in range(0, len(observations), size):
        await store.record("clicks/0", observations[start : start + size])
    await assert_equals_oracle(redis, shown)


async def test_redelivery_with_other_boundaries_applies_each_event_once(redis, store):
    shown = story(3)
    observations = [observation(s, n) for n, s in enumerate(shown)]
    applied = replayed = 0
    for start, end in [(0, 150), (0, 90), (90, 230), (40, 400), (0, 400)]:
        outcome = await store.record("clicks/0", observations[start:end])
        applied += outcome.applied
        replayed += outcome.replayed
    assert applied == 400
    assert replayed == 150 + 90 + 140 + 360 + 400 - 400
    await assert_equals_oracle(redis, shown)


async def test_repeated_event_ids_count_once_across_batches_and_logs(redis, store):
    shown = story(4)
    repeats = random.Random(4).sample(shown, 40)
    log = [*shown[:200], *repeats[:20], *shown[200:], *repeats[20:]]
    observations = [observation(s, n) for n, s in enumerate(log)]
    duplicates = 0
    for start in range(0, len(observations), 33):
        duplicates += (await store.record("clicks/0", observations[start : start + 33])).duplicates
    assert duplicates == 40
    other = await store.record("comments/0", [observation(s, n) for n, s in enumerate(repeats)])
    assert (other.applied, other.duplicates) == (0, 40)
    await assert_equals_oracle(redis, shown)


async def test_the_duplicate_window_is_bounded(redis):
    store = ProfileStore(redis, Policy(duplicate_window=4))
    await store.prepare()
    shown = [Shown("u", f"e{n % 8}", START + n, (("a", "like", 1.0),)) for n in range(9)]
    for n, s in enumerate(shown):
        await store.record("clicks/0", [observation(s, n)])
    assert await redis.hget(keys.meta("u"), "events") == b"9"
    again = await store.record("clicks/0", [observation(shown[-2], 100)])
    assert again.duplicates == 1


@pytest.mark.parametrize("late", [False, True], ids=["command after its events", "command after later events"])
async def test_forget_cuts_by_event_time(redis, store, late):
    shown = [Shown("u", f"e{n}", START + n * MINUTE, (("a", "like", 1.0), ("b", "dislike", 2.0))) for n in range(6)]
    commands = Commands(forgotten_before={"u": START + 3 * MINUTE})
    cut = 6 if late else 4
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown[:cut])])
    receipt = await store.forget("u", START + 3 * MINUTE)
    assert receipt.removed[keys.why("u")] == 2
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown)])
    await store.record("comments/0", [observation(Shown("u", "late", START, (("c", "like", 1.0),)), 0)])
    await assert_equals_oracle(redis, [*shown, Shown("u", "late", START, (("c", "like", 1.0),))], commands)


async def test_mute_takes_everything_and_unmute_lets_in_what_follows(redis, store):
    shown = [Shown("u", f"e{n}", START + n * MINUTE, (("a", "like", 1.0), ("b", "like", 1.0))) for n in range(8)]
    observations = [observation(s, n) for n, s in enumerate(shown)]
    await store.record("clicks/0", observations[:4])
    assert await store.rule("u", "mute", "a", START + 2 * MINUTE)
    assert not await store.rule("u", "mute", "a", START + 2 * MINUTE)
    await store.record("clicks/0", observations[4:7])
    assert "a" not in (await profile(redis, "u", START))["like", "now"]
    await store.rule("u", "unmute", "a", START + 5 * MINUTE)
    await store.record("clicks/0", observations[7:])
    commands = Commands(muted={("u", "a"): START + 2 * MINUTE}, unmuted={("u", "a"): START + 5 * MINUTE})
    await assert_equals_oracle(redis, shown, commands)


@pytest.mark.parametrize("reference", ["e2", "item:book"])
async def test_retract_takes_exactly_one_contribution_out(redis, store, reference):
    shown = [
        Shown("u", f"e{n}", START + n * MINUTE, (("a", "like", 1.5),), "book" if n == 2 else None) for n in range(4)
    ]
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown)])
    assert await store.retract("u", reference, START + 5 * MINUTE) == ["a"]
    assert await store.retract("u", reference, START + 5 * MINUTE) == []
    await store.record("comments/0", [observation(shown[2], 0)])
    await assert_equals_oracle(redis, shown, Commands(retracted={("u", reference): START + 5 * MINUTE}))


@pytest.mark.parametrize("reference", ["event", "item"])
@pytest.mark.parametrize("seed", range(5))
async def test_retract_leaves_all_the_others_as_they_were(redis, seed, reference):
    """Several interests, stances and users, more than one event on the item, and a late one on it."""
    store = ProfileStore(redis, Policy(evidence_per_interest=100))
    await store.prepare()
    rng = random.Random(seed)
    shown = [replace(s, target=rng.choice(["book", "film", None])) for s in story(seed, events=60, users=3)]
    target = next(s for s in shown if s.signals and s.target == "book")
    ref = target.event_id if reference == "event" else "item:book"
    at = max(s.at for s in shown) + MINUTE
    late = replace(target, event_id="late", at=target.at + 1)
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown)])
    for _ in range(2):
        await store.retract(target.user, ref, at)
    await store.record("clicks/0", [observation(late, 1000)])
    await assert_equals_oracle(redis, [*shown, late], Commands(retracted={(target.user, ref): at}))
    why = await redis.hvals(keys.why(target.user))
    assert not any(f'"event":"{target.event_id}"'.encode() in lines for lines in why)


async def test_evidence_goes_with_its_age_and_the_profile_stays(redis):
    day = 24 * 60 * MINUTE
    store = ProfileStore(redis, Policy(evidence_age=3 * day))
    await store.prepare()
    shown = [
        Shown("u", f'e{n} "at":1', START + n * day, (("a", "like", 1.0), (f"i{n}", "dislike", 1.0))) for n in range(9)
    ]
    for n, s in enumerate(shown):
        await store.record("clicks/0", [observation(s, n)])
    await assert_equals_oracle(redis, shown)
    why = {name.decode(): lines.decode().split("\n") for name, lines in (await redis.hgetall(keys.why("u"))).items()}
    assert set(why) == {"a", "i5", "i6", "i7", "i8"}
    assert len(why["a"]) == 4


async def test_evidence_is_kept_as_long_as_it_counts_where_nothing_else_is_asked(redis, store):
    lasting = HALF_LIVES_US["lasting"]
    for n, at in enumerate([START, START + 29 * lasting, START + 31 * lasting]):
        await store.record("clicks/0", [observation(Shown("u", f"e{n}", at, ((f"i{n}", "like", 1.0),)), n)])
        assert await redis.hlen(keys.why("u")) == min(n + 1, 2)


async def test_a_forget_that_comes_again_takes_nothing_that_happened_since(redis, store):
    """More than the evidence keeps: what a second cut would leave of it."""
    shown = [Shown("u", f"e{n}", START + n * MINUTE, (("a", "like", 1.0),)) for n in range(30)]
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown[:10])])
    await store.forget("u", START + 9 * MINUTE)
    await store.rule("u", "mute", "b", START + 10 * MINUTE)
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown[10:], 10)])
    assert not (await store.forget("u", START + 9 * MINUTE)).removed
    assert not await store.rule("u", "mute", "b", START + 10 * MINUTE)
    await assert_equals_oracle(redis, shown, Commands(forgotten_before={"u": START + 9 * MINUTE}))


@pytest.mark.parametrize("order", ["forget first", "ruling first"])
async def test_a_late_forget_leaves_what_was_ruled_after_it(redis, store, order):
    shown = [Shown("u", f"e{n}", START + n * MINUTE, (("a", "like", 1.0), ("b", "like", 1.0))) for n in range(8)]
    await store.rule("u", "pin", "b", START)
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown)])
    commands = [
        lambda: store.rule("u", "mute", "a", START + 4 * MINUTE),
        lambda: store.retract("u", "e6", START + 7 * MINUTE),
    ]
    forget = lambda: store.forget("u", START + 2 * MINUTE)  # noqa: E731 - one of the steps
    for step in [forget, *commands] if order == "forget first" else [*commands, forget]:
        await step()
    assert set(await redis.hkeys(keys.rules("u"))) == {b"forgotten_before", b"mute:a", b"retract:e6"}
    expected = Commands({"u": START + 2 * MINUTE}, {("u", "a"): START + 4 * MINUTE}, {}, {("u", "e6"): START})
    await assert_equals_oracle(redis, shown, expected)
    await store.rule("u", "unmute", "a", START + 6 * MINUTE)
    expected.unmuted["u", "a"] = START + 6 * MINUTE
    await assert_equals_oracle(redis, shown, expected)


async def test_a_forget_takes_the_sets_of_former_horizons_also_where_it_was_done_before(redis, store):
    weekly = Policy(horizons=(Horizon("weekly", 7 * 24 * 60 * MINUTE), LASTING))
    former = ProfileStore(redis, weekly)
    await former.prepare()
    shown = Shown("u", "e", START, (("a", "like", 1.0), ("b", "dislike", 1.0)))
    await former.record("clicks/0", [observation(shown, 0)])
    likes = keys.interests("u", "like", "weekly")
    assert likes in await store.keys_of("u")
    assert likes in await store.holding("u")
    await redis.copy(likes, keys.interests("u", "like", "weekly", keys.shadow()))
    await redis.copy(likes, "kept")
    receipt = await store.forget("u", START + MINUTE)
    assert receipt.removed[likes] == 1
    assert await store.holding("u") == []
    await redis.copy("kept", likes)
    assert (await store.forget("u", START + MINUTE)).removed == {likes: 1}
    assert await store.holding("u") == []


@pytest.mark.parametrize("what", ["mute", "retract", "forget"])
async def test_what_a_user_ruled_outlives_the_profile(redis, store, what):
    """Rules never expire; the number of their version did."""
    click = Shown("u", "e", START, (("a", "like", 1.0),))
    ruled = {
        "mute": lambda: store.rule("u", "mute", "a", START + MINUTE),
        "retract": lambda: store.retract("u", "e", START + MINUTE),
        "forget": lambda: store.forget("u", START + MINUTE),
    }
    await ruled[what]()
    await redis.delete(keys.meta("u"))
    for n in range(2):
        await store.record("clicks/0", [observation(replace(click, event_id="e" if n == 0 else "again"), n)])
        assert await redis.exists(keys.interests("u", "like", "now")) == (what == "retract" and n == 1)


@pytest.mark.parametrize("order", [("mute", "unmute"), ("unmute", "mute")])
async def test_mute_and_unmute_may_come_in_either_order(redis, store, order):
    shown = [Shown("u", f"e{n}", START + n * MINUTE, (("a", "like", 1.0),)) for n in range(5)]
    await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown)])
    at = {"mute": START + MINUTE, "unmute": START + 3 * MINUTE}
    for ruling in order:
        await store.rule("u", ruling, "a", at[ruling])
    commands = Commands(muted={("u", "a"): at["mute"]}, unmuted={("u", "a"): at["unmute"]})
    await assert_equals_oracle(redis, shown, commands)


async def test_an_item_retracted_before_a_forget_is_free_after_it_in_any_order(redis, store):
    """The click after both must count whether it comes before, between or after the commands, or they come again."""
    commands = [
        lambda user: store.retract(user, "item:book", START),
        lambda user: store.forget(user, START + MINUTE),
    ]
    for place in range(3):
        user = f"u{place}"
        click = Shown(user, "e", START + 2 * MINUTE, (("a", "like", 1.0),), "book")
        steps = [*commands, *commands]
        steps.insert(place, lambda _, click=click: store.record("clicks/0", [observation(click, 1)]))
        for step in steps:
            await step(user)
        await assert_equals_oracle(redis, [click])


async def test_the_size_bound_keeps_the_strongest_and_is_counted(redis):
    store = ProfileStore(redis, Policy(max_interests=10))
    await store.prepare()
    shown = Shown("u", "e", START, tuple((f"i{n}", "like", float(n + 1)) for n in range(15)))
    outcome = await store.record("clicks/0", [observation(shown, 0)])
    assert outcome.evicted == 10
    assert set((await profile(redis, "u", START))["like", "now"]) == {f"i{n}" for n in range(5, 15)}


@pytest.mark.parametrize("size", [1, 40])
async def test_evidence_goes_with_the_interests_that_the_size_bound_takes(redis, size):
    """What is muted is in no set, and keeps its evidence for an unmute."""
    store = ProfileStore(redis, Policy(max_interests=10))
    await store.prepare()
    await store.rule("u", "mute", "muted", START - 1)
    shown = [Shown("u", f"e{n}", START + n * MINUTE, ((f"i{n}", "like", 1.0 + n % 7),)) for n in range(300)]
    shown[5] = replace(shown[5], signals=(("muted", "like", 1.0),))
    for start in range(0, 300, size):
        await store.record("clicks/0", [observation(s, n) for n, s in enumerate(shown)][start : start + size])
    kept = await profile(redis, "u", START)
    interests = set().union(*kept.values())
    assert 10 <= len(interests) <= 20
    assert {name.decode() for name in await redis.hkeys(keys.why("u"))} == {*interests, "muted"}


async def test_evidence_goes_with_the_interests_that_fade(redis):
    """Where it is kept for longer than the longest horizon lasts, and of what had faded when it came."""
    hour = 60 * MINUTE
    store = ProfileStore(redis, Policy(horizons=(Horizon("now", hour),), evidence_age=1000 * hour))
    await store.prepare()
    for n, ages in enumerate([(0,), (1, 50), (2,)]):
        at = START + n * 24 * hour
        events = [Shown("u", f"e{n}-{age}", at - age * hour, ((f"i{n}-{age}", "like", 1.0),)) for age in ages]
        await store.record("clicks/0", [observation(s, 10 * n + i) for i, s in enumerate(events)])
    assert {name.decode() for name in await redis.hkeys(keys.why("u"))} == {"i1-1", "i2-2"}


async def test_every_key_expires_and_history_does_not_expire_at_once(redis, store):
    shown = Shown("u", "e", 10**15, (("a", "like", 1.0), ("b", "dislike", 1.0)))
    await store.record("clicks/0", [observation(shown, 0)])
    ttls = {key: await redis.ttl(key) async for key in redis.scan_iter("pen:1:{u}:*")}
    assert len(ttls) == 7
    assert all(ttl > 7 * 86400 for ttl in ttls.values())


async def test_what_lives_beside_the_sets_outlives_each_of_them(redis, store):
    """A later set, stronger than all before; an interest unmuted; and a user whose events say nothing."""
    steps = [(("a", "like", 1.0),), (("b", "dislike", 1000.0),), (("a", "like", 1.0), ("c", "like", 1.0))]
    for n, signals in enumerate(steps):
        await store.record("clicks/0", [observation(Shown("u", f"e{n}", START + n, signals), n)])
        if n == 1:
            await store.rule("u", "mute", "a", START + n)
            assert not await redis.exists(keys.interests("u", "like", "now"))
            await store.rule("u", "unmute", "a", START + n + 1)
    ttls = {key: await redis.ttl(key) for key in await store.keys_of("u") if key != keys.rules("u")}
    assert len(ttls) == 7
    assert min(ttls.values()) > 7 * 86400
    beside = [ttls[key("u")] for key in (keys.meta, keys.why, keys.seen)]
    assert min(beside) >= max(ttls.values()) - 1
    await store.record("clicks/0", [observation(Shown("silent", "e", START, ()), 10)])
    assert await redis.ttl(keys.meta("silent")) > 7 * 86400


async def test_more_interests_than_one_command_takes_some_of_them_forgotten_on_one_horizon(redis):
    store = ProfileStore(redis, Policy(max_interests=5000), changes=True)
    await store.prepare()
    long_ago = START - 31 * HALF_LIVES_US["now"]
    shown = [
        Shown("u", "old", long_ago, tuple((f"old-{n}", "like", 1.0) for n in range(0, 2500, 2))),
        Shown("u", "new", START, tuple((f"new-{n}", "like", 1.0 + n) for n in range(1700))),
        Shown("u", "again", START + 1, (("old-0", "like", 2.0), ("old-0", "dislike", 1.0), ("new-0", "like", 3.0))),
    ]
    for batch in ([shown[0], shown[1]], [shown[2]]):
        outcome = await store.record("clicks/0", [observation(s, shown.index(s)) for s in batch])
        for change in outcome.updates[0].changes:
            key = keys.interests("u", change.stance, change.horizon)
            assert await redis.zscore(key, change.interest) == change.effective_time
    assert await redis.zcard(keys.interests("u", "like", "now")) == 1700 + 1
    assert await redis.zcard(keys.interests("u", "like", "lasting")) == 1700 + 1250
    await assert_equals_oracle(redis, shown)


async def test_a_profile_of_a_newer_schema_is_refused(redis, store):
    await redis.hset(keys.meta("u"), "schema", 2)
    with pytest.raises(Exception, match="upgrade this worker"):
        await store.record("clicks/0", [observation(Shown("u", "e", START, (("a", "like", 1.0),)), 0)])


async def test_where_some_of_many_users_fail_all_others_are_done_before_it_is_said(redis, store, monkeypatch):
    shown = story(3, events=900, users=400)
    observations = [observation(s, n) for n, s in enumerate(shown)]
    apply, failed = store._apply, []

    async def fail_once(updates):
        if not failed:
            failed.extend(update.user for update in updates)
            raise ConnectionError
        return await apply(updates)

    monkeypatch.setattr(store, "_apply", fail_once)
    with pytest.raises(ConnectionError):
        await store.record("log/0", observations)
    others = {s.user for s in shown} - set(failed)
    assert len(others) > len(failed) > 1
    assert all([await redis.exists(keys.meta(user)) for user in others])
    again = await store.record("log/0", observations)
    assert (again.applied, again.replayed) == (
        sum(s.user in failed for s in shown),
        sum(s.user in others for s in shown),
    )
    await assert_equals_oracle(redis, shown)


async def test_a_batch_that_is_tried_again_tells_of_everybody_and_sends_nobody_twice(redis, store, monkeypatch):
    shown = story(3, events=900, users=400)
    observations = [observation(s, n) for n, s in enumerate(shown)]
    apply, sent = store._apply, []

    async def fail_once(updates):
        first = not sent
        sent.extend(update.user for update in updates)
        if first:
            raise ConnectionError
        return await apply(updates)

    monkeypatch.setattr(store, "_apply", fail_once)
    recorded, users = Recorded(), {s.user for s in shown}
    with pytest.raises(ConnectionError):
        await store.record("log/0", observations, recorded)
    failed = sent[:100]
    assert {update.user for update in recorded.updates} == users - set(failed)
    again = await store.record("log/0", observations, recorded)
    assert (again.applied, again.duplicates, again.replayed) == (900, 0, 0)
    assert sorted(update.user for update in again.updates) == sorted(users)
    assert sorted(sent) == sorted([*users, *failed])
    await assert_equals_oracle(redis, shown)


@pytest.mark.parametrize("whole_call", [False, True])
async def test_what_redis_refuses_takes_nothing_from_what_it_applied_beside_it(redis, store, whole_call):
    shown = [Shown(f"u{n}", f"e{n}", START, (("a", "like", 1.0),)) for n in range(70)]
    observations = [observation(s, n) for n, s in enumerate([*shown, shown[60]])]
    await store.rule("u61", "mute", "a", START)
    if whole_call:  # Lua fails at the first user, and with it the call for fifty
        await redis.set(keys.meta("u0"), "no hash")
    else:
        await redis.hset(keys.meta("u0"), "schema", 2)
    recorded = Recorded()
    with pytest.raises(ResponseError):
        await store.record("clicks/0", observations, recorded)
    applied = {f"u{n}" for n in range(50 if whole_call else 1, 70)} - {"u61"}
    assert {update.user for update in recorded.updates} == applied
    await redis.delete(keys.meta("u0"))
    again = await store.record("clicks/0", observations, recorded)
    assert (again.applied, again.duplicates, again.replayed, again.ruled_out) == (70, 1, 0, 0)
    assert sorted(update.user for update in again.updates) == sorted(s.user for s in shown)


async def test_functions_lost_by_the_server_are_loaded_again(redis, store):
    await redis.function_flush()
    outcome = await store.record("clicks/0", [observation(Shown("u", "e", START, (("a", "like", 1.0),)), 0)])
    assert outcome.applied == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0.05, 20), st.integers(0, 40 * 86400 * 10**6)), min_size=2, max_size=8))
async def test_lua_and_python_merge_alike(redis, store, pairs):
    await redis.delete(*[k async for k in redis.scan_iter("pen:*")] or ["none"])
    python = {}
    for n, (strength, after) in enumerate(pairs):
        shown = Shown("p", f"e{n}", START + after, (("a", "like", strength),))
        (update,) = (await store.record("clicks/0", [observation(shown, n)])).updates
        for change in update.changes:
            half_life = HALF_LIVES_US[change.horizon]
            single = round(shown.at + half_life * log2(strength))
            before = python.get(change.horizon)
            python[change.horizon] = single if before is None else round(merge(before, single, half_life))
            assert abs(change.effective_time - python[change.horizon]) <= n + 1
            python[change.horizon] = change.effective_time
