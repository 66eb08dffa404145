"""Real servers for the tests, and a line at the end that says which brokers they were."""

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from streams.embedded import EmbeddedRedis
from tests.brokers import BROKERS, open_broker


@pytest.fixture(scope="session")
def redis_server():
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server):
    """A Valkey without data and functions."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.function_flush()
    return redis_server.url


@pytest.fixture
async def redis(redis_url):
    """An asyncio client of that Valkey."""
    client = AsyncRedis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(scope="session", params=BROKERS)
def broker(request):
    """Each broker that is there, one for the whole session: tests take topics or users of their own."""
    with open_broker(request.param) as server:
        yield server


@pytest.fixture(params=BROKERS)
def own_broker(request):
    """Each broker that is there, new, for a test that reads the topics from their beginning."""
    with open_broker(request.param) as server:
        yield server


def pytest_terminal_summary(terminalreporter):
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ())]
    used = [name for name in BROKERS if any(f"[{name}" in test for test in passed)]
    missing = [name for name in BROKERS if name not in used]
    note = f" (not used: {', '.join(missing)})" if missing else ""
    terminalreporter.write_line(f"brokers used: {', '.join(used) or 'none'}{note}")
