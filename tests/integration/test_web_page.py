"""The live page in a real browser, over a real Valkey and the real reader."""

import contextlib
import time

import pytest
from redis.asyncio import Redis

from inference.taxonomy import Taxonomy
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.reader import DEFAULT_HORIZONS, AsyncInterestReader
from profiles.store import ProfileStore
from streams.metrics import Metrics
from streams.web import WebState, create_web, serve
from tests.browser import CHROMIUM, open_browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: deploy/system-packages.sh")

READ = "深夜读完《三体》，<b>最喜欢</b>刘慈欣"
USER = 'lin/{1}?&#"é'


class World:
    """A page's server, and the profiles behind it."""

    def __init__(self, store: ProfileStore, redis: Redis) -> None:
        self._store = store
        self.users: dict[str, float] = {}
        self._offset = 0
        self.state = WebState(
            reader=AsyncInterestReader(redis),
            horizons=DEFAULT_HORIZONS,
            recent_users=lambda: list(reversed(self.users.items())),
            checks={"redis": redis.ping},
            exposition=Metrics().exposition,
            concept_names={c.slug: c.name_zh for c in Taxonomy.load().concepts},
        )

    async def tell(self, user: str, *signals: Signal, ago: float = 0.0) -> None:
        self._offset += 1
        at = round((time.time() - ago) * 1e6)
        await self._store.record("comments/0", [Observation(user, f"e{self._offset}", self._offset, at, signals)])
        self.users[user] = time.time()


@pytest.fixture
async def world(redis_url):
    async with contextlib.AsyncExitStack() as stack:
        redis = Redis.from_url(redis_url)
        stack.push_async_callback(redis.aclose)
        store = ProfileStore(redis, Policy())
        await store.prepare()
        world = World(store, redis)
        world.address = await stack.enter_async_context(serve(create_web(world.state), "127.0.0.1", 0))
        yield world


async def test_a_person_watches_asks_why_and_changes_language(world):
    await world.tell(USER, Signal("science-fiction", Stance.LIKE, 1.0, READ, "r1"), ago=3600)
    await world.tell(USER, Signal("horror", Stance.DISLIKE, 1.0, "too scary", "r1"))
    async with open_browser() as page:
        await page.open(world.address)
        # the first user of the list is shown; a dislike is told apart by its sign and its words
        await page.until("document.querySelectorAll('#horizon-now .row').length === 2")
        assert await page.run("document.querySelector('#name').textContent") == USER
        labels = await page.run("[...document.querySelectorAll('#horizon-now .label')].map(n => n.textContent)")
        assert labels == ["science fiction", "✕ horror"]
        spoken = await page.run("document.querySelector('#horizon-now .row.dislike').ariaLabel")
        assert "dislikes" in spoken
        assert await page.run("document.querySelector('#horizon-now .trend').textContent") == "↗"

        # an event arrives: its bar appears without a reload, in the same nodes, and is announced
        await page.run("window.kept = document.querySelector('#horizon-now .row')")
        await world.tell(
            USER, Signal("cats", Stance.LIKE, 3.0, "my cat", "r1"), Signal("opera:Turandot", Stance.LIKE, 2)
        )
        first = "document.querySelector('#horizon-now .label').textContent"
        await page.until(f"{first} === 'cats'")
        assert await page.run("window.kept.isConnected && window.kept.textContent.includes('science fiction')")
        assert "opera, Turandot 2.00" in await page.run("document.querySelector('#news').textContent")

        # why, by keyboard: the evidence is shown as text, and never as markup
        await page.run("window.kept.focus()")
        await page.press("Enter", 13)
        await page.until("!document.querySelector('#why').hidden")
        assert await page.run("document.querySelector('#evidence q').textContent") == READ
        assert await page.run("document.activeElement.id") == "why-title"
        await page.press("Escape", 27)
        assert await page.run("document.querySelector('#why').hidden && document.activeElement === window.kept")

        await page.run("document.querySelector('#language').click()")
        assert await page.run("document.documentElement.lang") == "zh-CN"
        assert (
            await page.run("window.kept.querySelector('.label').textContent")
            == world.state.concept_names["science-fiction"]
        )
        assert page.complaints == []
        assert all(url.startswith((world.address, "about:", "data:")) for url in page.requested), page.requested


async def test_the_evidence_of_a_click_is_its_items_title_without_the_digest_of_its_text(world):
    whole = "Trail #12 for beginners #0123456789abcdef"
    await world.tell("u1", Signal("running-and-jogging", Stance.LIKE, 1.0, whole, "r1"))
    async with open_browser() as page:
        await page.open(world.address)
        await page.until("document.querySelectorAll('#horizon-now .row').length === 1")
        assert await page.run("document.querySelector('#horizon-now .last').textContent") == "“Trail #12 for beginners”"
        await page.run("document.querySelector('#horizon-now .row').click()")
        await page.until("!document.querySelector('#why').hidden")
        assert await page.run("document.querySelector('#evidence q').textContent") == "Trail #12 for beginners"
        asked = "fetch('/api/why?user=u1&interest=running-and-jogging').then(r => r.json()).then(([e]) => e.source)"
        assert await page.run(asked) == whole


async def test_another_user_is_found_by_name_and_markup_in_names_stays_text(world):
    hostile = "<img src=x onerror=alert(1)>"
    await world.tell(hostile, Signal(f"cats:{hostile}", Stance.LIKE, 1.0, hostile, "r1"))
    await world.tell("u2", Signal("opera", Stance.LIKE, 1.0))
    async with open_browser("zh-CN") as page:
        await page.open(world.address)
        await page.until("document.querySelector('#name').textContent === 'u2'")
        assert await page.run("document.documentElement.lang") == "zh-CN"
        await page.run("document.querySelector('#user').focus()")
        await page.send("Input.insertText", text=hostile)
        assert await page.run("document.querySelectorAll('#users li').length") == 1
        await page.press("Enter", 13)
        await page.until("document.querySelectorAll('#horizon-now .row').length === 1")
        assert hostile in await page.run("document.querySelector('#horizon-now .row').textContent")
        assert await page.run("document.querySelectorAll('main img').length") == 0
        assert page.complaints == []
