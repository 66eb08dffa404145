"""A replay keeps to its rate, and stands still while the live worker is behind."""

from streams.replay.pace import Pace
from tests.fakes import Clock


def paced(lags=(), *, rate=100.0, most_lag=10):
    """A pace, the seconds it slept and the lags it waited for, on a clock that moves only while it sleeps."""
    clock, slept, waited = Clock(), [], []
    remaining = list(lags)

    async def sleep(seconds):
        slept.append(round(seconds, 6))
        clock.now += seconds

    async def live_lag():
        return remaining.pop(0) if remaining else 0

    return Pace(rate, live_lag, most_lag, on_wait=waited.append, clock=clock, sleep=sleep), slept, waited


async def test_events_go_at_the_rate_from_the_second_batch_on():
    pace, slept, _ = paced()
    for events in (50, 50, 10, 10):
        await pace.spend(events)
    assert slept == [0.5, 0.5, 0.1]


async def test_nothing_goes_while_the_live_worker_is_behind():
    pace, slept, waited = paced([11, 5000, 10])
    await pace.spend(1)
    assert waited == [11, 5000]
    assert slept == [1.0, 1.0]


async def test_the_lag_is_asked_for_at_most_once_a_second():
    pace, _, waited = paced([0, 500], rate=10.0)
    for _ in range(5):
        await pace.spend(1)
    assert waited == []
    await pace.spend(10)
    await pace.spend(1)
    assert waited == [500]
