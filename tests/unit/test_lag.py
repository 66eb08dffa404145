"""Lag in records and seconds."""

from streams.lag import LagMeter
from streams.observer import BatchApplied, LagMeasured


def applied(end_offset, appended_at):
    return BatchApplied("t", 0, 5, 5, 0, 0, 0, 0, 0, end_offset, appended_at, (0.1,))


def test_lag_is_what_lies_between_the_applied_end_and_the_log_end():
    meter = LagMeter()
    meter.observe(applied(10, 100.0))
    meter.observe(applied(15, 107.0))
    ends = {("t", 0): 18, ("t", 1): 4, ("u", 0): None}
    assert list(meter.measure(ends, now=110.0)) == [LagMeasured("t", 0, 3, 3.0)]
    assert list(meter.measure({("t", 0): 15}, now=110.0)) == [LagMeasured("t", 0, 0, 0.0)]
