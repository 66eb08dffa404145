"""What the brokers refuse: an update that is too large goes without, anything else is said to the caller."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import MessageSizeTooLargeError, NotLeaderForPartitionError
from structlog.testing import capture_logs

from profiles.comparison import Snapshot
from profiles.model import Applied, Change, Stance
from profiles.policy import Policy
from streams.events import Reason, Rejected
from streams.outbox import Outbox
from streams.record_batches import RecordBatch

START = 1_795_000_000_000_000
UPDATES = [
    Applied(user, newest=START, events=1, changes=[Change("cats", Stance.LIKE, "now", START)])
    for user in ("heavy", "light")
]


class Producer:
    """Refuses what has one of these keys; notes the keys of what went out."""

    def __init__(self, refusals):
        self._refusals = refusals
        self.sent = []

    async def send(self, topic, value, key):
        answer = asyncio.get_running_loop().create_future()
        if key in self._refusals:
            answer.set_exception(self._refusals[key])
        else:
            self.sent.append(key)
            answer.set_result(None)
        return answer


def outbox_of(producer):
    return Outbox(producer, dead_letters_topic="letters", updates_topic="updates", half_lives=Policy().half_lives)


def batch():
    record = SimpleNamespace(offset=7, timestamp=0, key=None, value=b"", headers=())
    return RecordBatch("clicks", 0, [record])


async def test_an_update_that_is_too_large_holds_up_no_other():
    producer = Producer({b"heavy": MessageSizeTooLargeError()})
    with capture_logs() as logs:
        await outbox_of(producer).publish(batch(), {}, UPDATES)
        whole = Snapshot({}, START, {}, {}, None)
        await outbox_of(producer).publish_whole([(user, whole, whole) for user in ("heavy", "light")])
    assert producer.sent == [b"light", b"light"]
    assert [log["event"] for log in logs] == ["profile_update_too_large"] * 2
    assert "heavy" not in str(logs)


@pytest.mark.parametrize(
    "refusals",
    [{b"heavy": NotLeaderForPartitionError()}, {b"clicks/0/7": MessageSizeTooLargeError()}],
    ids=["an update for another reason", "a dead letter, which must not get lost"],
)
async def test_other_refusals_are_said(refusals):
    with pytest.raises(tuple(map(type, refusals.values()))):
        await outbox_of(Producer(refusals)).publish(batch(), {0: Rejected(Reason.POISON, "")}, UPDATES)
