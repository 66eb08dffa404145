import asyncio
import contextlib

import pytest
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from inference import ledger as ledger_module
from inference.extraction import Extraction, Interest, Overloaded, Passage, Tier
from inference.ledger import Ledger, LedgerExtractor, digest
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


def passages(*texts):
    return [Passage(t) for t in texts]


async def test_a_text_is_read_once_and_found_again_by_another_worker(redis):
    inner = Slow()
    first = await LedgerExtractor(inner, Ledger(redis, 60)).extract(passages("cats a", "cats b", "cats a"))
    second = await LedgerExtractor(inner, Ledger(redis, 60)).extract(passages("cats b", "cats a"))
    assert sorted(inner.asked) == ["cats a", "cats b"]
    assert [f.cached for f in first] == [False, False, False]
    assert [f.cached for f in second] == [True, True]
    assert [f.text for f in second] == ["cats b", "cats a"]
    assert second[0].interests == first[0].interests
    assert (second[0].tokens, second[0].reader, second[0].dropped) == (9, "slow-1", (("repeated", 1),))


async def test_an_entry_expires_and_does_not_hold_the_text(redis):
    await LedgerExtractor(Slow(), Ledger(redis, 60)).extract(passages("cats secret"))
    key = keys.text(digest(Passage("cats secret"), "slow-1"))
    assert 0 < await redis.ttl(key) <= 60
    assert b"secret" not in await redis.get(key)
    assert await redis.exists(keys.reading(digest(Passage("cats secret"), "slow-1"))) == 0


async def test_context_reader_and_variant_make_another_reading(redis):
    inner = Slow(0)
    await LedgerExtractor(inner, Ledger(redis, 60)).extract([Passage("cats"), Passage("cats", "about dogs")])
    await LedgerExtractor(inner, Ledger(redis, 60), variant="sensitive").extract(passages("cats"))
    await LedgerExtractor(Slow(0, "slow-2"), Ledger(redis, 60)).extract(passages("cats"))
    assert inner.asked == ["cats", "cats", "cats"]


async def test_workers_that_meet_a_text_at_the_same_moment_share_one_reading(redis):
    inner = Slow(0.2)
    workers = [LedgerExtractor(inner, Ledger(redis, 60)) for _ in range(4)]
    results = await asyncio.gather(*(w.extract(passages("cats x", f"cats {i}")) for i, w in enumerate(workers)))
    assert inner.asked.count("cats x") == 1
    assert all(r[0].interests for r in results)


async def test_batches_of_one_worker_share_one_reading(redis):
    inner = Slow(0.1)
    worker = LedgerExtractor(inner, Ledger(redis, 60))
    await asyncio.gather(*(worker.extract(passages("cats x", "cats y")) for _ in range(5)))
    assert sorted(inner.asked) == ["cats x", "cats y"]


async def test_overload_is_passed_on_and_leaves_no_lock_behind(redis):
    inner = Slow(0)
    inner.failures = 1
    worker = LedgerExtractor(inner, Ledger(redis, 60))
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

    texts = passages(*(f"cats {i}" for i in range(ledger_module._CHUNK)), "bad")
    inner = Half(0)
    with pytest.raises(Overloaded):
        await LedgerExtractor(inner, Ledger(redis, 60)).extract(texts)
    assert len(await redis.keys(keys.text("*"))) == ledger_module._CHUNK


async def test_a_stand_ins_answer_is_not_kept(redis):
    class StandIn(Slow):
        async def extract(self, passages):
            return [Extraction((), Tier.EMBEDDED, "stand-in", p.text) for p in passages]

    await LedgerExtractor(StandIn(), Ledger(redis, 60)).extract(passages("cats"))
    assert await redis.keys(keys.text("*")) == []


async def test_a_lock_of_a_dead_worker_is_outlived(redis, monkeypatch):
    monkeypatch.setattr(ledger_module, "_LOCK_SECONDS", 0.3)
    await Ledger(redis, 60).claim([digest(Passage("cats"), "slow-1")])
    (found,) = await asyncio.wait_for(LedgerExtractor(Slow(0), Ledger(redis, 60)).extract(passages("cats")), 2)
    assert found.interests


async def test_a_lock_holds_while_its_worker_reads_however_long_that_takes(redis, monkeypatch):
    monkeypatch.setattr(ledger_module, "_LOCK_SECONDS", 0.3)
    monkeypatch.setattr(ledger_module, "_REFRESH_SECONDS", 0.1)
    inner = Slow(1.0)
    workers = [LedgerExtractor(inner, Ledger(redis, 60)) for _ in range(2)]
    results = await asyncio.gather(*(w.extract(passages("cats")) for w in workers))
    assert inner.asked == ["cats"]
    assert all(r[0].interests for r in results)


async def test_batches_that_are_dropped_together_all_end(redis):
    """One that swallowed its end would hold up the batches that come in its place."""
    worker = LedgerExtractor(Slow(), Ledger(redis, 60))
    await Ledger(redis, 60).claim([digest(Passage("cats"), "slow-1")])  # as another worker that reads it
    batches = [asyncio.create_task(worker.extract(passages("cats"))) for _ in range(3)]
    await asyncio.sleep(0.1)
    for batch in batches:
        batch.cancel()
    _, running = await asyncio.wait(batches, timeout=5)
    assert not running
    assert all(batch.cancelled() for batch in batches)


async def test_an_end_that_the_redis_client_swallows_ends_a_wait_all_the_same(redis, monkeypatch):
    ledger = Ledger(redis, 60)
    await ledger.claim([digest(Passage("cats"), "slow-1")])  # as another worker that reads it
    claimed = ledger.claimed

    async def cancelled_and_claimed(digests):
        asyncio.current_task().cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return await claimed(digests)

    monkeypatch.setattr(ledger, "claimed", cancelled_and_claimed)
    batch = asyncio.create_task(LedgerExtractor(Slow(), ledger).extract(passages("cats")))
    await asyncio.wait([batch], timeout=2)
    assert batch.cancelled()


async def test_a_foreign_or_broken_entry_is_read_again(redis):
    for number, value in enumerate(
        [b"not json", b'{"schema":99}', b'{"schema":0,"tier":"vllm","reader":"r","interests":[]}']
    ):
        text = f"cats {number}"
        await redis.set(keys.text(digest(Passage(text), "slow-1")), value)
        (found,) = await LedgerExtractor(Slow(0), Ledger(redis, 60)).extract(passages(text))
        assert found.interests


async def test_a_cancelled_reading_is_taken_up_by_who_waits_for_it(redis):
    inner = Slow(0.2)
    worker = LedgerExtractor(inner, Ledger(redis, 60))
    first = asyncio.create_task(worker.extract(passages("cats")))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(worker.extract(passages("cats")))
    await asyncio.sleep(0.05)
    first.cancel()
    (found,) = await second
    assert found.interests


def written(author, *texts):
    return [Passage(t, author=author) for t in texts]


def key_of(text):
    return keys.text(digest(Passage(text), "slow-1"))


async def test_what_one_author_wrote_goes_with_them_and_what_others_wrote_too_stays(redis):
    """Written together, in one batch, by another worker, from memory; an item's text and one without an author."""
    inner, ledger, other = Slow(0), Ledger(redis, 60), Ledger(redis, 60)
    reader = LedgerExtractor(inner, ledger)
    await reader.extract(written("ann", "cats mine", "cats same batch", "cats elsewhere", "cats from memory"))
    await reader.extract([*written("ann", "cats ours"), *written("bob", "cats ours", "cats his")])
    await reader.extract(written("bob", "cats from memory"))
    await LedgerExtractor(inner, other).extract(written("bob", "cats elsewhere"))
    await reader.extract([Passage("cats item", item=True), Passage("cats nobody")])
    await reader.extract(written("ann", "cats nobody", "cats mine"))

    removed = await ledger.forget("ann")
    assert sorted(removed) == sorted(map(key_of, ["cats mine", "cats same batch"]))
    assert not await redis.exists(*removed, keys.texts("ann"))
    for text in ("cats elsewhere", "cats from memory", "cats ours", "cats his", "cats nobody"):
        assert await redis.exists(key_of(text)), text
        assert 0 < await redis.ttl(key_of(text)) <= 60
    assert (await ledger.search("ann")).owned == []
    assert (await ledger.search("bob")) == ledger_module.Searched(6, [key_of("cats his")])


async def test_the_process_that_forgets_forgets_in_memory_too_and_the_others_in_a_while(redis, monkeypatch):
    inner = Slow(0)
    here, there = (LedgerExtractor(inner, Ledger(redis, 60)) for _ in range(2))
    for reader in (here, there):
        await reader.extract(written("ann", "cats"))
    await here._ledger.forget("ann")
    assert [(await reader.extract(written("bob", "cats")))[0].cached for reader in (there, here)] == [True, False]
    monkeypatch.setattr(ledger_module, "_MEMORY_SECONDS", 0.0)
    there = LedgerExtractor(inner, Ledger(redis, 60))
    await there.extract(written("bob", "cats"))
    await here._ledger.forget("bob")
    assert not (await there.extract(written("bob", "cats")))[0].cached


async def test_a_reading_that_another_process_remembers_does_not_come_back(redis):
    here, there = (LedgerExtractor(Slow(0), Ledger(redis, 60)) for _ in range(2))
    for reader in (here, there):
        await reader.extract(written("ann", "cats"))
    await here._ledger.forget("ann")
    await there.extract(written("bob", "cats"))
    assert await redis.keys("pen:*") == []


async def test_a_forget_that_is_cut_off_anywhere_ends_when_it_is_repeated(redis, monkeypatch):
    monkeypatch.setattr(ledger_module, "_PAGE", 3)
    for cut_at in range(1, 12):
        ledger = Ledger(redis, 60)
        await LedgerExtractor(Slow(0), ledger).extract(written("ann", *(f"cats {n}" for n in range(7))))
        await LedgerExtractor(Slow(0), ledger).extract(written("bob", "cats 0"))
        with pytest.raises(RedisConnectionError):
            await Ledger(CutOff(redis, cut_at), 60).forget("ann")
        await ledger.forget("ann")
        assert (await ledger.search("ann")) == ledger_module.Searched(1, [])
        await redis.flushall()


class CutOff:
    """A client whose connection is lost before its n-th command."""

    def __init__(self, redis, cut_at):
        self._redis, self._left = redis, cut_at

    def __getattr__(self, name):
        self._left -= 1
        if self._left <= 0:
            raise RedisConnectionError("cut off")
        return getattr(self._redis, name)


class Halting(Connection):
    """Sends the first commands of a pipeline; the others after a halt, if at all."""

    first, halt = 0, None

    def pack_commands(self, commands):
        return tuple(b"".join(self.pack_command(*command)) for command in commands)

    async def send_packed_command(self, command, *args, **options):
        if self.halt and isinstance(command, tuple):
            await super().send_packed_command(command[: self.first], *args, **options)
            await self.halt()
            command = command[self.first :]
        await super().send_packed_command(command, *args, **options)


async def settle_with_a_halt(redis_url, first, halt):
    """File a reading of ann's, halting behind so many of the commands that this takes."""
    pool = ConnectionPool.from_url(redis_url, connection_class=Halting)
    connection = await pool.get_connection()
    connection.first, connection.halt = first, halt
    await pool.release(connection)
    text = digest(Passage("cats"), "slow-1")
    async with Redis.from_pool(pool) as client:
        await Ledger(client, 60).settle([text], {text: Extraction((), Tier.VLLM, "slow-1")}, {text: "ann"})


async def test_what_is_half_filed_while_its_author_is_forgotten_can_be_found(redis, redis_url):
    ledger = Ledger(redis, 60)

    async def forget():
        await redis.ping()  # what was sent before has arrived
        await ledger.forget("ann")

    for first in range(8):
        await settle_with_a_halt(redis_url, first, forget)
        await ledger.forget("ann")
        assert (await ledger.search("ann")).owned == [], first


async def test_a_worker_that_dies_while_it_files_leaves_nothing_for_ever(redis, redis_url):
    async def die():
        raise EOFError

    text = digest(Passage("cats"), "slow-1")
    for first in range(8):
        await redis.flushall()
        await Ledger(redis, 60).claim([text])
        with pytest.raises(EOFError):
            await settle_with_a_halt(redis_url, first, die)
        await redis.ping()
        assert all([await redis.ttl(key) > 0 for key in await redis.keys("pen:*")]), first
        assert await redis.pttl(keys.reading(text)) <= ledger_module._LOCK_SECONDS * 1000
        assert await redis.exists(keys.text(text)) <= await redis.sismember(keys.texts("ann"), bytes.fromhex(text))


async def test_what_is_filed_while_its_author_is_forgotten_can_be_found(redis, monkeypatch):
    ledger = Ledger(redis, 60)
    await LedgerExtractor(Slow(0), ledger).extract(written("ann", "cats"))
    delete = redis.delete

    async def file_another_first(*removed):
        monkeypatch.setattr(redis, "delete", delete)
        await LedgerExtractor(Slow(0), Ledger(redis, 60)).extract(written("ann", "cats later"))
        return await delete(*removed)

    monkeypatch.setattr(redis, "delete", file_another_first)
    assert sorted(await ledger.forget("ann")) == sorted(map(key_of, ["cats", "cats later"]))
    assert await redis.keys("pen:*") == []


async def test_an_authors_digests_outlive_the_readings_they_lead_to(redis):
    for ttl in (60, 600, 30):
        await LedgerExtractor(Slow(0), Ledger(redis, ttl)).extract(written("ann", f"cats {ttl}"))
    longest = max([await redis.ttl(key_of(f"cats {ttl}")) for ttl in (60, 600, 30)])
    assert longest <= await redis.ttl(keys.texts("ann")) <= 660


async def test_without_redis_the_error_is_redis_own():
    async with Redis.from_url("redis://127.0.0.1:1") as nowhere:
        with pytest.raises(RedisConnectionError):
            await LedgerExtractor(Slow(0), Ledger(nowhere, 60)).extract(passages("cats"))
