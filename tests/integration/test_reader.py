"""Readers as a recommender uses them: typed, one round trip a question."""

from datetime import UTC, datetime

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from profiles import keys
from profiles.model import Evidence, Observation, Signal, Stance
from profiles.policy import Policy
from profiles.reader import AsyncInterestReader, InterestReader, UnknownHorizonError
from profiles.store import ProfileStore

START = 1_795_000_000_000_000
AT = START / 1e6


@pytest.fixture
async def filled(redis_url):
    client = AsyncRedis.from_url(redis_url)
    store = ProfileStore(client, Policy())
    await store.prepare()
    signals = (
        Signal("science-fiction", Stance.LIKE, 2.0, "科幻小说", "embedded-1"),
        Signal("cats", Stance.LIKE, 1.0),
        Signal("horror", Stance.DISLIKE, 3.0),
    )
    await store.record("comments/0", [Observation("u1", "e1", 0, START, signals)])
    await store.rule("u1", "pin", "opera", START)
    await client.aclose()
    return redis_url


def test_top_ranks_pins_first_and_decays(filled):
    reader = InterestReader.from_url(filled)
    top = reader.top("u1", 3, "now", at=AT + 6 * 3600)
    assert [(t.interest, round(t.weight, 6), t.pinned) for t in top] == [
        ("opera", 0.0, True),
        ("science-fiction", 1.0, False),
        ("cats", 0.5, False),
    ]
    (dislike,) = reader.top("u1", 5, at=AT, stance=Stance.DISLIKE)
    assert (dislike.interest, dislike.stance) == ("horror", Stance.DISLIKE)
    assert dislike.weight == pytest.approx(3.0)
    assert reader.top("nobody") == []


def test_many_vector_and_why(filled):
    reader = InterestReader.from_url(filled)
    many = reader.many(["u1", "nobody", "u1"], n=2, at=AT)
    assert {user: [t.interest for t in top] for user, top in many.items()} == {
        "u1": ["opera", "science-fiction"],
        "nobody": [],
    }
    vector = reader.vector("u1", ["horror", "science-fiction", "unknown"], at=AT)
    assert vector == pytest.approx([-3.0, 2.0, 0.0])
    assert reader.vector("u1", []) == []
    (evidence,) = reader.why("u1", "science-fiction")
    assert evidence == Evidence("e1", START, 2.0, Stance.LIKE, "科幻小说", "embedded-1")
    assert reader.why("u1", "unknown") == []


@pytest.fixture
async def pinned(redis_url):
    """u1 pins the weakest of five interests, one that is nowhere, one that is muted, and one that is not any more."""
    client = AsyncRedis.from_url(redis_url)
    store = ProfileStore(client, Policy())
    await store.prepare()
    signals = tuple(Signal(f"i{n}", Stance.LIKE, 2.0**n) for n in range(5))
    for user in ("u1", "u2"):
        await store.record("comments/0", [Observation(user, "e1", 0, START, signals)])
    for interest in ("opera", "i0", "i1", "i2", "i3"):
        await store.rule("u1", "pin", interest, START + 1)
    await store.rule("u1", "mute", "i1", START)
    await store.rule("u1", "unpin", "i2", START + 2)
    await store.rule("u1", "mute", "i3", START)
    await store.rule("u1", "unmute", "i3", START + 1)
    await client.aclose()
    return redis_url


async def test_a_pin_has_its_weight_and_a_mute_wins(pinned):
    reader, asynchronous = InterestReader.from_url(pinned), AsyncInterestReader.from_url(pinned)
    expected = [("i0", 1.0, True), ("opera", 0.0, True), ("i3", 0.0, True), ("i4", 16.0, False)]
    top = reader.top("u1", 4, at=AT)
    assert [(t.interest, pytest.approx(t.weight), t.pinned) for t in top] == expected
    assert reader.top("u1", 1, at=AT) == top[:1]
    assert reader.many(["u2", "u1"], 4, at=AT) == {"u2": reader.top("u2", 4, at=AT), "u1": top}
    assert await asynchronous.many(["u1"], 2, at=AT) == {"u1": top[:2]}


@pytest.mark.parametrize(("users", "n", "trips"), [(["u1", "u2"], 4, 1), (["u1", "u2"], 2, 2), (["u2"], 2, 1)])
def test_only_weak_pins_cost_a_second_round_trip(pinned, users, n, trips, monkeypatch):
    assert len(_sent(InterestReader.from_url(pinned), monkeypatch, lambda reader: reader.many(users, n))) == trips


async def test_the_async_reader_answers_alike(filled):
    sync, asynchronous = InterestReader.from_url(filled), AsyncInterestReader.from_url(filled)
    assert await asynchronous.top("u1", 3, at=AT) == sync.top("u1", 3, at=AT)
    assert await asynchronous.many(["u1"], at=AT) == sync.many(["u1"], at=AT)
    assert await asynchronous.vector("u1", ["cats"], at=AT) == sync.vector("u1", ["cats"], at=AT)
    assert await asynchronous.why("u1", "cats") == sync.why("u1", "cats")


def test_errors_say_what_to_do(filled):
    reader = InterestReader.from_url(filled)
    with pytest.raises(UnknownHorizonError, match="this reader has now, lasting"):
        reader.top("u1", horizon="weekly")
    with pytest.raises(ValueError, match="aware datetime"):
        reader.top("u1", at=datetime(2026, 1, 1))  # noqa: DTZ001 - the naive one is the point
    assert reader.top("u1", at=datetime.fromtimestamp(AT, UTC))[1].weight == pytest.approx(2.0)


@pytest.mark.parametrize("question", ["top", "many", "vector", "why"])
def test_each_question_is_one_round_trip(filled, question, monkeypatch):
    arguments = {"top": ("u1",), "many": (["u1", "u2"],), "vector": ("u1", ["cats"]), "why": ("u1", "cats")}
    reader = InterestReader.from_url(filled)
    assert len(_sent(reader, monkeypatch, lambda reader: getattr(reader, question)(*arguments[question]))) == 1


def _sent(reader, monkeypatch, question):
    """What was written to the connection for a question."""
    reader.top("u1")
    sent = []
    connection = reader._redis.connection_pool.get_connection()
    monkeypatch.setattr(type(connection), "send_packed_command", _counting(sent, type(connection).send_packed_command))
    reader._redis.connection_pool.release(connection)
    question(reader)
    return sent


def _counting(sent, send):
    def counted(self, command, *args, **kwargs):
        sent.append(command)
        return send(self, command, *args, **kwargs)

    return counted


def test_the_format_reads_well_without_us(filled):
    redis = Redis.from_url(filled, decode_responses=True)
    key = keys.interests("u1", "like", "now")
    assert key == "pen:1:{u1}:like:now"
    assert redis.zrange(key, 0, 9, desc=True, withscores=True) == [
        ("science-fiction", START + 6 * 3600 * 1e6),
        ("cats", float(START)),
    ]
