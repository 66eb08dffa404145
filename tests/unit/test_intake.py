"""One bad event does not stop the rest: decoding that crashes, work that crashes."""

from types import SimpleNamespace

import pytest

from streams.events import Reason, Rejected
from streams.intake import Placed, isolate, take_in
from streams.record_batches import RecordBatch


def record(offset, value=b"{}"):
    return SimpleNamespace(offset=offset, value=value, key=None, headers=(), timestamp=1_795_000_000_000)


class CrashingDecoder:
    clamped = 0

    def decode(self, value, headers, timestamp_ms, key):
        if value == b"bomb":
            raise ZeroDivisionError
        return SimpleNamespace(value=value)


def test_a_record_that_crashes_the_decoder_is_poison():
    batch = RecordBatch("t", 0, [record(0), record(1, b"bomb"), record(2)])
    intake = take_in(batch, CrashingDecoder())
    assert [e.offset for e in intake.events] == [0, 2]
    assert {i: r.reason for i, r in intake.rejected.items()} == {1: Reason.POISON}


@pytest.mark.parametrize("poisonous", [set(), {3}, {0, 7}, set(range(8))])
async def test_work_that_crashes_is_narrowed_down_to_its_events(poisonous):
    calls = []

    async def work(events):
        calls.append(len(events))
        if any(e.offset in poisonous for e in events):
            raise KeyError("boom")
        return [e.offset for e in events]

    events = [Placed(n, n, 0, None) for n in range(8)]
    results = await isolate(work, events, passing=(OSError,))
    assert len(results) == 8
    for n, result in enumerate(results):
        if n in poisonous:
            assert isinstance(result, Rejected)
            assert result.reason is Reason.POISON
        else:
            assert result == n
    assert len(calls) <= 1 + 2 * 3 * max(1, len(poisonous)) + 1


async def test_states_of_the_world_pass():
    async def work(events):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await isolate(work, [Placed(0, 0, 0, None)], passing=(OSError,))
