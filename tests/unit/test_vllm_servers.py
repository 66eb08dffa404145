"""Which server takes a request, and which rests."""

from contextlib import ExitStack

import pytest

from inference.extraction import Overloaded
from inference.vllm_servers import Servers
from tests.fakes import Clock


@pytest.fixture
def clock():
    return Clock()


def wait_of(servers):
    with pytest.raises(Overloaded) as raised, servers.one():
        pass
    return raised.value.retry_after


def test_requests_spread_over_the_servers(clock):
    servers = Servers(["http://a/v1", "http://b/v1/", "http://a/v1"], clock)
    with ExitStack() as stack:
        chosen = [stack.enter_context(servers.one()).url for _ in range(6)]
    assert sorted(chosen) == ["http://a/v1"] * 3 + ["http://b/v1"] * 3
    with servers.one() as server:
        assert server.in_flight == 1


def test_a_server_rests_after_three_failures_and_longer_after_a_failed_probe(clock):
    servers = Servers(["http://a/v1"], clock)
    for _ in range(3):
        with servers.one() as server:
            servers.failed(server, "refused")
    first = wait_of(servers)
    assert 1.5 <= first <= 2.5
    clock.now += first
    with servers.one() as server:
        assert wait_of(servers) == 1.0  # one probe at a time
        servers.failed(server, "refused")
    assert 3 <= wait_of(servers) <= 5


def test_many_that_fail_at_once_count_as_one_trouble(clock):
    servers = Servers(["http://a/v1"], clock)
    with ExitStack() as stack:
        for server in [stack.enter_context(servers.one()) for _ in range(64)]:
            servers.failed(server, "gone")
    assert wait_of(servers) <= 2.5


def test_a_server_that_works_again_is_used_again(clock):
    servers = Servers(["http://a/v1"], clock)
    with servers.one() as server:
        for _ in range(3):
            servers.failed(server, "gone")
    clock.now += 3
    with servers.one() as server:
        servers.worked(server)
    with servers.one(), servers.one():
        pass


def test_an_answer_under_way_does_not_end_the_rest_a_server_asked_for(clock):
    servers = Servers(["http://a/v1"], clock)
    with servers.one() as server:
        servers.rest(server, 7, "it answered 429")
        servers.worked(server)
    assert wait_of(servers) == 7.0


@pytest.mark.parametrize("failures", [1, 3])
def test_nor_where_requests_failed_before(clock, failures):
    servers = Servers(["http://a/v1"], clock)
    with servers.one() as server:
        for _ in range(failures):
            servers.failed(server, "refused")
        servers.rest(server, 7, "it answered 429")
        servers.worked(server)
    assert wait_of(servers) == 7.0
    clock.now += 7
    with servers.one(), servers.one():
        pass


def test_an_answer_under_way_ends_what_rest_failures_add_to_the_one_asked_for(clock):
    servers = Servers(["http://a/v1"], clock)
    with servers.one() as server:
        for _ in range(3):
            servers.failed(server, "refused")
        servers.rest(server, 1, "it answered 429")
        assert wait_of(servers) > 1.0
        servers.worked(server)
    assert wait_of(servers) == 1.0


def test_the_trouble_of_each_server_is_said(clock):
    servers = Servers(["http://a/v1", "http://b/v1"], clock)
    with servers.one() as first, servers.one() as second:
        servers.rest(first, 5, "it answered 429")
        servers.rest(second, 9, "it answered 401")
    with pytest.raises(Overloaded, match=r"429.*401|401.*429") as raised, servers.one():
        pass
    assert raised.value.retry_after == 5.0
