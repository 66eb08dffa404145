import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from inference import ledger
from inference.extraction import Extraction, Interest, Overloaded, Passage, Tier
from inference.ledger import LedgerExtractor, digest
from profiles import keys
from profiles.model import Stance


class Slow:
    """Reads every text as an interest in cats, slowly, and counts what it was asked."""

    def __init__(self, seconds=0.05, reader="slow-1"):
        self.seconds, self.reader, self.asked = seconds, reader, []
        self.failures = 0

    async def extract(self, passages):
        self.asked += [p.text for p in passages]
        await asyncio.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise Overloaded(0.1, "busy")
        found = Interest("cats", "423", Stance.LIKE, 0.7, "cats", (0, 4))
        return [
            Extraction((found,), Tier.VLLM, self.reader, p.text, tokens=9, dropped=(("repeated", 1),)) for p in passages
        ]

    async def aclose(self):
        pass


@pytest.fixture
async def redis(redis_url):
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


def passages(*texts):
    return [Passage(t) for t in texts]


async def test_a_text_is_read_once_and_found_again_by_another_worker(redis):
    inner = Slow()
    first = await LedgerExtractor(inner, redis, 60).extract(passages("cats a", "cats b", "cats a"))
    second = await LedgerExtractor(inner, redis, 60).extract(passages("cats b", "cats a"))
    assert sorted(inner.asked) == ["cats a", "cats b"]
    assert [f.cached for f in first] == [False, False, False]
    assert [f.cached for f in second] == [True, True]
    assert [f.text for f in second] == ["cats b", "cats a"]
    assert second[0].interests == first[0].interests
    assert (second[0].tokens, second[0].reader, second[0].dropped) == (9, "slow-1", (("repeated", 1),))


async def test_an_entry_expires_and_does_not_hold_the_text(redis):
    await LedgerExtractor(Slow(), redis, 60).extract(passages("cats secret"))
    key = keys.text(digest(Passage("cats secret"), "slow-1"))
    assert 0 < await redis.ttl(key) <= 60
    assert b"secret" not in await redis.get(key)
    assert await redis.exists(keys.reading(digest(Passage("cats secret"), "slow-1"))) == 0


async def test_context_reader_and_variant_make_another_reading(redis):
    inner = Slow(0)
    await LedgerExtractor(inner, redis, 60).extract([Passage("cats"), Passage("cats", "about dogs")])
    await LedgerExtractor(inner, redis, 60, variant="sensitive").extract(passages("cats"))
    await LedgerExtractor(Slow(0, "slow-2"), redis, 60).extract(passages("cats"))
    assert inner.asked == ["cats", "cats", "cats"]


async def test_workers_that_meet_a_text_at_the_same_moment_share_one_reading(redis):
    inner = Slow(0.2)
    workers = [LedgerExtractor(inner, redis, 60) for _ in range(4)]
    results = await asyncio.gather(*(w.extract(passages("cats x", f"cats {i}")) for i, w in enumerate(workers)))
    assert inner.asked.count("cats x") == 1
    assert all(r[0].interests for r in results)


async def test_batches_of_one_worker_share_one_reading(redis):
    inner = Slow(0.1)
    worker = LedgerExtractor(inner, redis, 60)
    await asyncio.gather(*(worker.extract(passages("cats x", "cats y")) for _ in range(5)))
    assert sorted(inner.asked) == ["cats x", "cats y"]


async def test_overload_is_passed_on_and_leaves_no_lock_behind(redis):
    inner = Slow(0)
    inner.failures = 1
    worker = LedgerExtractor(inner, redis, 60)
    with pytest.raises(Overloaded):
        await worker.extract(passages("cats"))
    assert await redis.keys(keys.reading("*")) == []
    (found,) = await worker.extract(passages("cats"))
    assert found.interests


async def test_what_was_read_before_an_overload_is_kept(redis):
    class Half(Slow):
        async def extract(self, passages):
            if any("bad" in p.text for p in passages):
                raise Overloaded(0.1, "busy")
            return await super().extract(passages)

    texts = passages(*(f"cats {i}" for i in range(ledger._CHUNK)), "bad")
    inner = Half(0)
    with pytest.raises(Overloaded):
        await LedgerExtractor(inner, redis, 60).extract(texts)
    assert len(await redis.keys(keys.text("*"))) == ledger._CHUNK


async def test_a_stand_ins_answer_is_not_kept(redis):
    class StandIn(Slow):
        async def extract(self, passages):
            return [Extraction((), Tier.EMBEDDED, "stand-in", p.text) for p in passages]

    await LedgerExtractor(StandIn(), redis, 60).extract(passages("cats"))
    assert await redis.keys(keys.text("*")) == []


async def test_a_lock_of_a_dead_worker_is_outlived(redis, monkeypatch):
    monkeypatch.setattr(ledger, "_LOCK_SECONDS", 0.3)
    await LedgerExtractor(Slow(), redis, 60)._claim([digest(Passage("cats"), "slow-1")])
    (found,) = await asyncio.wait_for(LedgerExtractor(Slow(0), redis, 60).extract(passages("cats")), 2)
    assert found.interests


async def test_a_lock_holds_while_its_worker_reads_however_long_that_takes(redis, monkeypatch):
    monkeypatch.setattr(ledger, "_LOCK_SECONDS", 0.3)
    monkeypatch.setattr(ledger, "_REFRESH_SECONDS", 0.1)
    inner = Slow(1.0)
    workers = [LedgerExtractor(inner, redis, 60) for _ in range(2)]
    results = await asyncio.gather(*(w.extract(passages("cats")) for w in workers))
    assert inner.asked == ["cats"]
    assert all(r[0].interests for r in results)


async def test_batches_that_are_dropped_together_all_end(redis):
    """One that swallowed its end would hold up the batches that come in its place."""
    worker = LedgerExtractor(Slow(), redis, 60)
    await worker._claim([digest(Passage("cats"), "slow-1")])  # as another worker that reads it
    batches = [asyncio.create_task(worker.extract(passages("cats"))) for _ in range(3)]
    await asyncio.sleep(0.1)
    for batch in batches:
        batch.cancel()
    _, running = await asyncio.wait(batches, timeout=0.2)
    assert not running
    assert all(batch.cancelled() for batch in batches)


async def test_a_foreign_or_broken_entry_is_read_again(redis):
    for number, value in enumerate(
        [b"not json", b'{"schema":99}', b'{"schema":0,"tier":"vllm","reader":"r","interests":[]}']
    ):
        text = f"cats {number}"
        await redis.set(keys.text(digest(Passage(text), "slow-1")), value)
        (found,) = await LedgerExtractor(Slow(0), redis, 60).extract(passages(text))
        assert found.interests


async def test_a_cancelled_reading_is_taken_up_by_who_waits_for_it(redis):
    inner = Slow(0.2)
    worker = LedgerExtractor(inner, redis, 60)
    first = asyncio.create_task(worker.extract(passages("cats")))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(worker.extract(passages("cats")))
    await asyncio.sleep(0.05)
    first.cancel()
    (found,) = await second
    assert found.interests


async def test_without_redis_the_error_is_redis_own():
    async with Redis.from_url("redis://127.0.0.1:1") as nowhere:
        with pytest.raises(RedisConnectionError):
            await LedgerExtractor(Slow(0), nowhere, 60).extract(passages("cats"))
