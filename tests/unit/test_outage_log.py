"""An outage of the brokers is said once, then every ten seconds, and when it is over."""

import logging

import pytest
from structlog.testing import capture_logs

from streams.outage_log import Outage, OutageFilter
from tests.fakes import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outage(clock):
    return Outage(clock)


@pytest.fixture
def passes(outage, clock):
    outage_filter = OutageFilter(outage, clock)

    def passes(message, name="aiokafka", level=logging.ERROR, line=1):
        return outage_filter.filter(logging.LogRecord(name, level, "x.py", line, message, (), None))

    return passes


def test_a_hundred_complaints_a_second_become_one_every_ten_seconds(passes, clock):
    said = 0
    for _ in range(3000):
        said += passes("Unable connect to node with id %s: %s")
        clock.now += 0.01
    assert said == 3


def test_all_signs_are_one_outage(passes):
    assert passes("Failed fetch messages from %s: %s", name="aiokafka.consumer.fetcher")
    assert not passes("Unable to update metadata from %s")


def test_both_clients_speak_of_one_outage(passes):
    assert passes("Unable connect to node with id %s: %s")
    assert not passes("%s: Connection lost: %s", name="kafka.net.connection", line=2)
    assert not passes("Metadata refresh: failed %s", name="kafka.cluster", line=3)
    assert passes("Controller ID not available, got -1", name="kafka.admin.client", line=4)


def test_the_end_is_said_once_it_has_been_quiet(passes, outage, clock):
    passes("Unable connect to node with id %s: %s")
    clock.now += 7
    passes("Unable connect to node with id %s: %s")
    with capture_logs() as logs:
        clock.now += 4
        outage.check()
        assert outage.active
        clock.now += 2
        outage.check()
        outage.check()
    assert [(log["event"], log["lasted_seconds"], log["complaints"]) for log in logs] == [("kafka_outage_over", 7.0, 2)]
    assert passes("Unable connect to node with id %s: %s"), "the next outage is said again"


def test_other_warnings_pass_at_their_own_pace(passes, clock):
    assert passes("Sending username and password in the clear", line=2)
    assert passes("OffsetCommit failed for group %s", line=3)
    assert not passes("OffsetCommit failed for group %s", line=3)
    clock.now += 11
    assert passes("OffsetCommit failed for group %s", line=3)


def test_nobody_elses_records_are_held_back(passes):
    for _ in range(3):
        assert passes("Unable connect to", name="streams.lanes")
        assert passes("Unable connect to", level=logging.INFO)
