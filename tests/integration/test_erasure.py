"""A user is forgotten: what they wrote, what was read in it, what was rejected of it; and nothing of anybody else's."""

import asyncio
import json

import pytest
from redis.asyncio import Redis

from inference.ledger import Ledger, LedgerExtractor
from profiles import keys
from profiles.policy import Policy
from profiles.snapshots import SnapshotReader
from profiles.store import ProfileStore
from streams.demo.feed import publish_file, wait_until_done
from streams.demo.stack import running_stack
from streams.erasure import look_again
from streams.events import Command, CommandKind, Comment, CommentKind
from streams.intake import Placed
from streams.letters import sweep
from streams.observer import Recorder
from streams.outbox import whole
from streams.pipeline import CommandHandler, ProfileHandler
from streams.reading import CommentReader, TextReader
from tests.fakes import KeywordExtractor

START = 1_795_000_000_000_000
MINUTE = 60 * 10**6


def command(user, minute, kind, interest=None):
    at = START + minute * MINUTE
    return Command(event_id="k", user_id=user, occurred_at=at, command=kind, interest=interest)


class Copy:
    """One copy of the profiles, as a worker keeps it: comments and commands in, by hand."""

    def __init__(self, redis):
        self.redis = redis
        self.store = ProfileStore(redis, Policy())
        self.ledger = Ledger(redis, 60)
        reader = CommentReader(TextReader(LedgerExtractor(KeywordExtractor(), self.ledger), Recorder()))
        self.comments = ProfileHandler(reader.observe, self.store, ledger=self.ledger)
        self.commands = CommandHandler(
            self.store, self.ledger, self.take_letters_back, SnapshotReader(redis, Policy()), self.tell
        )
        self.swept, self.told = [], []
        self.offset = 0

    async def take_letters_back(self, users):
        self.swept.append(users)

    async def tell(self, profiles, moment):
        self.told += [whole(user, now, before, Policy().half_lives, moment) for user, now, before in profiles]

    async def write(self, user, text, minute):
        self.offset += 1
        event = Comment(
            event_id=f"e{self.offset}",
            user_id=user,
            occurred_at=START + minute * MINUTE,
            kind=CommentKind.COMMENT,
            text=text,
        )
        placed = [Placed(0, self.offset, START, event)]
        for _ in range(2):  # as if redelivered
            await self.comments.write("comments/0", await self.comments.read(placed))

    async def forget(self, user, minute):
        await self.commands.write("commands/0", [command(user, minute, CommandKind.FORGET)])

    async def readings(self, user):
        return (await self.ledger.search(user)).owned


@pytest.fixture
async def copy(redis_url):
    client = Redis.from_url(redis_url)
    copy = Copy(client)
    await copy.store.prepare()
    yield copy
    await client.aclose()


async def test_a_command_takes_profile_evidence_and_readings_and_leaves_the_others(copy):
    await copy.write("ann", "my cats", 0)
    await copy.write("ann", "opera for all", 1)
    await copy.write("bob", "opera for all", 2)
    await copy.forget("ann", 3)
    assert await copy.readings("ann") == []
    assert (await copy.ledger.search("bob")).entries == 1
    assert set(await copy.store.keys_of("ann")) == {keys.meta("ann"), keys.rules("ann"), keys.seen("ann")}
    assert await copy.redis.exists(keys.why("bob")) == 1


async def test_caches_are_told_what_a_command_took_and_what_is_left(copy):
    await copy.write("ann", "my cats", 0)
    await copy.write("ann", "opera for all", 1)
    await copy.commands.write("commands/0", [command("ann", 2, CommandKind.PIN, "opera")])
    assert copy.told == [], "a pin changes no weight"
    await copy.commands.write("commands/0", [command("ann", 3, CommandKind.MUTE, "opera")])
    (muted,) = copy.told
    weights = {change.interest: change.weight for change in muted.changes if change.horizon == "now"}
    assert muted.events == 0
    assert weights["opera"] == 0.0
    assert weights["pets"] > 0
    for _ in range(2):  # as if redelivered
        await copy.forget("ann", 4)
    _, first, again = copy.told
    assert {change.weight for change in first.changes} == {0.0}
    assert "pets" in {change.interest for change in first.changes}
    assert (again.user_id, again.events, again.changes) == ("ann", 0, [])


async def test_a_comment_that_comes_after_its_user_was_forgotten_leaves_no_reading_behind(copy):
    await copy.write("ann", "my cats", 0)
    await copy.forget("ann", 3)
    await copy.write("ann", "my horror novel", 2)
    assert await copy.readings("ann") == []
    assert not await copy.redis.exists(keys.texts("ann"), keys.why("ann"))
    await copy.write("ann", "my opera", 4)
    assert len(await copy.readings("ann")) == 1


async def test_the_letters_of_all_whom_a_batch_forgets_are_taken_back_at_once(copy):
    forget, mute = CommandKind.FORGET, CommandKind.MUTE
    await copy.commands.write("commands/0", [command("bob", 1, mute, "cats")])
    assert copy.swept == []
    batch = [command("ann", 1, forget), command("bob", 2, mute, "opera"), command("cyd", 3, forget)]
    await copy.commands.write("commands/0", [*batch, command("ann", 4, forget)])
    assert copy.swept == [{"ann", "cyd"}]


@pytest.mark.parametrize("dies_in", ["ledger.forget", "store.forget", "commands._take_letters_back"])
async def test_a_worker_that_dies_between_the_steps_ends_the_same(copy, monkeypatch, dies_in):
    async def die(*_):
        raise ConnectionError

    await copy.write("ann", "my cats", 0)
    part, step = dies_in.split(".")
    with monkeypatch.context() as patched:
        patched.setattr(getattr(copy, part), step, die)
        with pytest.raises(ConnectionError):
            await copy.forget("ann", 3)
    assert copy.swept == []
    for n in (1, 2):
        await copy.forget("ann", 3)
        assert copy.swept == [{"ann"}] * n
        assert await copy.readings("ann") == []
        assert set(await copy.store.keys_of("ann")) == {keys.meta("ann"), keys.rules("ann"), keys.seen("ann")}


def test_a_worker_that_reads_the_command_from_kafka_does_it_whichever_topic_it_reads_first(tmp_path):
    at = START // 1000
    texts = {"ann": ["I love science fiction", "My cat is the love of my life"], "bob": ["I love science fiction"]}
    comments = [
        {"event_id": f"{user}{n}", "user_id": user, "occurred_at": at, "kind": "comment", "text": text}
        for user, written in texts.items()
        for n, text in enumerate(written)
    ]
    rejected = [{"event_id": user, "user_id": user, "occurred_at": at, "action": "frowned at"} for user in texts]
    forget = {"event_id": "k", "user_id": "ann", "occurred_at": at + 1, "command": "forget"}
    path = tmp_path / "events.jsonl"
    with running_stack({}) as stack:
        done = 0
        for events in ([*rejected, comments[0]], [*comments[1:], forget]):
            path.write_text("\n".join(json.dumps(event) for event in events))
            done += publish_file(path, stack.settings)
            wait_until_done(stack, done, lambda *_: None)
        found = asyncio.run(look_again(stack.settings, "ann"))
        assert set(found.left) == {keys.meta("ann"), keys.rules("ann"), keys.seen("ann")}
        assert (found.holding, found.readings) == ([], [])
        assert asyncio.run(look_again(stack.settings, "bob")).holding
        assert [sweep(stack.settings, {user}, take_back=False).found for user in ("ann", "bob")] == [0, 1]
