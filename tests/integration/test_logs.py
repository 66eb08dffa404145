"""A recreated topic is noticed and never skipped as applied before."""

import pytest
from redis.asyncio import Redis

from profiles.logs import LogChangedError, Logs


@pytest.fixture
async def logs(redis_url):
    client = Redis.from_url(redis_url)
    yield Logs(client)
    await client.aclose()


async def test_the_same_topics_keep_their_names(logs):
    ids = {"clicks": "a", "comments": "b"}
    assert await logs.names(ids) == {"clicks": "clicks", "comments": "comments"}
    assert await logs.names(ids) == {"clicks": "clicks", "comments": "comments"}
    assert await logs.accept(ids) == []


async def test_a_recreated_topic_is_refused_until_it_is_accepted(logs):
    await logs.names({"clicks": "a", "comments": "b"})
    recreated = {"clicks": "a2", "comments": "b"}
    with pytest.raises(LogChangedError, match=r"clicks were recreated.*penchant accept-log"):
        await logs.names(recreated)
    assert await logs.accept(recreated) == ["clicks"]
    assert await logs.names(recreated) == {"clicks": "clicks.1", "comments": "comments"}


async def test_a_broker_without_topic_ids_is_not_checked(logs):
    assert await logs.names({"clicks": None}) == {"clicks": "clicks"}
    assert await logs.names({"clicks": "a"}) == {"clicks": "clicks"}
