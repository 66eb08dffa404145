"""The web side over ports of our own: routes, guard, server-sent events, the address."""

import asyncio
import contextlib
import json
import re
import socket

import httpx2
import pytest

from profiles.model import Evidence, RankedInterest, Stance
from streams.metrics import Metrics
from streams.web import AddressTakenError, WebState, create_web, profiles, serve
from streams.web.app import STATIC
from streams.web.guard import RateLimit
from streams.web.readiness import Readiness
from tests.fakes import Clock

SESAME = "sésame"
NOW = 1_795_000_000.0
ODD_USER = 'a/b?c=d&{e}\n"😀'


class FakeReader:
    """A reader whose profiles are set by hand: (horizon, stance) to interests and weights."""

    def __init__(self):
        self.sets = {}
        self.evidence = {}
        self.down = False
        self.asked_at = set()
        self.users = set()

    async def top(self, user, n=20, horizon="now", at=None, stance=Stance.LIKE):
        if self.down:
            raise ConnectionError("secret detail")
        self.asked_at.add(at)
        self.users.add(user)
        weights = self.sets.get((horizon, stance), {})
        return [RankedInterest(i, w, stance) for i, w in sorted(weights.items(), key=lambda kv: -kv[1])][:n]

    async def why(self, user, interest):
        if self.down:
            raise ConnectionError("secret detail")
        return self.evidence.get(interest, [])


@pytest.fixture
def reader():
    reader = FakeReader()
    reader.sets = {
        ("now", Stance.LIKE): {"cats": 2.0, "opera": 0.4, "travel": 0.01},
        ("lasting", Stance.LIKE): {"cats": 3.0, "opera": 1.0, "travel": 1.0},
        ("now", Stance.DISLIKE): {"horror": 1.0},
    }
    reader.evidence = {"cats": [Evidence("e1", 1_795_000_000_000_000, 1.0, Stance.LIKE, "my cat", "r1")]}
    return reader


def state_of(reader, **changes):
    async def answers():
        return None

    settings = {
        "reader": reader,
        "horizons": {"now": 21600.0, "lasting": 2592000.0},
        "recent_users": lambda: [("u2", NOW), (ODD_USER, NOW - 1)],
        "checks": {"redis": answers, "kafka": answers},
        "exposition": Metrics().exposition,
        "concept_names": {"cats": "猫"},
        "clock": lambda: NOW,
    }
    return WebState(**settings | changes)


@contextlib.asynccontextmanager
async def client_of(state):
    transport = httpx2.ASGITransport(app=create_web(state))
    async with httpx2.AsyncClient(transport=transport, base_url="http://penchant") as client:
        yield client


async def test_a_profile_has_its_horizons_trends_and_newest_evidence(reader):
    async with client_of(state_of(reader)) as client:
        answer = await client.get("/api/profile", params={"user": ODD_USER})
    assert reader.users == {ODD_USER}
    assert reader.asked_at == {NOW}
    now = answer.json()["horizons"]["now"]
    assert [(r["interest"], r["weight"], r["stance"], r["trend"]) for r in now] == [
        ("cats", 2.0, "like", "rising"),
        ("opera", 0.4, "like", "steady"),
        ("travel", 0.01, "like", "fading"),
        ("horror", 1.0, "dislike", "steady"),
    ]
    last = {"event": "e1", "at": 1_795_000_000_000, "weight": 1.0, "stance": "like", "source": "my cat", "reader": "r1"}
    assert [r["last"] for r in now] == [last, None, None, None]


async def test_users_concepts_and_why(reader):
    async with client_of(state_of(reader)) as client:
        assert (await client.get("/api/users")).json() == [
            {"user": "u2", "seen": NOW},
            {"user": ODD_USER, "seen": NOW - 1},
        ]
        assert (await client.get("/api/concepts")).json() == {"cats": "猫"}
        (piece,) = (await client.get("/api/why", params={"user": "u", "interest": "cats"})).json()
        assert piece["source"] == "my cat"
        assert (await client.get("/api/why", params={"user": "u"})).status_code == 400
        assert (await client.get("/api/profile", params={"user": "u" * 1001})).status_code == 400


async def test_health_metrics_and_readiness_by_name(reader):
    async def refuses():
        raise ConnectionRefusedError("redis://:password@host")

    async def answers():
        return None

    async with client_of(state_of(reader, token=SESAME, checks={"redis": refuses, "kafka": answers})) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert "penchant_event_to_profile_seconds" in (await client.get("/metrics")).text
        ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {
        "ready": False,
        "dependencies": {
            "redis": {"ok": False, "detail": "ConnectionRefusedError"},
            "kafka": {"ok": True, "detail": "answers"},
        },
    }


async def test_a_check_that_hangs_is_a_dependency_that_is_down(reader, monkeypatch):
    monkeypatch.setattr("streams.web.readiness._CHECK_SECONDS", 0.05)

    async def hangs():
        await asyncio.sleep(60)

    async with client_of(state_of(reader, checks={"redis": hangs})) as client:
        assert (await client.get("/readyz")).json()["dependencies"]["redis"]["ok"] is False


async def test_those_who_ask_for_readiness_at_the_same_time_share_one_check(reader):
    asked = []

    async def slow():
        asked.append("redis")
        await asyncio.sleep(0.01)

    async with client_of(state_of(reader, checks={"redis": slow})) as client:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
    assert [answer.json()["ready"] for answer in answers] == [True] * 20
    assert asked == ["redis"]


async def test_what_a_dependency_answered_stands_for_a_second():
    clock, answers = Clock(), iter([ConnectionError, None])

    async def recovers():
        if error := next(answers):
            raise error

    readiness = Readiness({"redis": recovers}, clock)
    for seconds, ok in ((0.0, False), (0.9, False), (0.2, True), (0.9, True)):
        clock.now += seconds
        assert (await readiness.answers())["redis"]["ok"] is ok


async def test_a_caller_who_leaves_takes_no_answer_from_the_others():
    started, may_answer = asyncio.Event(), asyncio.Event()

    async def slow():
        started.set()
        await may_answer.wait()

    readiness = Readiness({"redis": slow}, Clock())
    leaves, stays = (asyncio.create_task(readiness.answers()) for _ in range(2))
    await started.wait()
    leaves.cancel()
    may_answer.set()
    assert (await stays)["redis"]["ok"]


async def test_without_redis_the_api_says_so_and_tells_no_details(reader):
    reader.down = True
    async with client_of(state_of(reader)) as client:
        for path in ("/api/profile", "/api/why"):
            answer = await client.get(path, params={"user": "u", "interest": "cats"})
            assert answer.status_code == 503
            assert "secret" not in answer.text


async def test_the_token_opens_page_and_api_and_nothing_else_does(reader):
    async with client_of(state_of(reader, token=SESAME)) as client:
        for path in ("/", "/api/users", "/api/events?user=u", "/static/page.js"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers={"Authorization": "Bearer wrong"})).status_code == 401
        assert (await client.get("/", params={"token": "wrong"})).status_code == 401
        bearer = {"Authorization": f"Bearer {SESAME}".encode()}
        assert (await client.get("/api/users", headers=bearer)).status_code == 200
        opened = await client.get("/", params={"token": SESAME})
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        assert SESAME not in opened.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict"} <= set(opened.headers["set-cookie"].split("; "))
        assert (await client.get("/")).status_code == 200


async def test_a_query_of_raw_bytes_is_refused_before_anything_stumbles_over_it(reader):
    """As HTTP it is wrong, but not every server refuses it; found by tests/faults/coverage.py."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/api/profile", "query_string": b"us\xe5r=u1", "headers": []}
    await create_web(state_of(reader))(scope, None, send)
    assert sent[0]["status"] == 400


async def test_every_answer_carries_headers_that_allow_our_own_files_only(reader):
    async with client_of(state_of(reader)) as client:
        for path in ("/", "/static/page.js", "/api/users", "/nowhere"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"].startswith("default-src 'self';")
            assert headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/static/../app.py")).status_code == 404


def test_the_page_holds_nothing_inline_and_asks_nobody_else():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page)
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write", text), file.name


def test_both_languages_say_everything_the_page_asks_for():
    texts = (STATIC / "texts.js").read_text()
    english, chinese = (set(re.findall(r"^ {4}(\w+):", part, re.MULTILINE)) for part in texts.split("zh: {"))
    page, script = (STATIC / "index.html").read_text(), (STATIC / "page.js").read_text()
    asked = set(re.findall(r'data-(?:text|label|hint)="(\w+)"', page))
    asked |= set(re.findall(r'(?:say|setStatus)\("(\w+)"\)', script))
    assert english == chinese
    assert asked <= english


def _luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_enough_in_light_and_dark():
    style = (STATIC / "style.css").read_text()
    for theme in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", theme))
        for ink in ("ink", "soft", "like", "dislike"):
            for ground in ("paper", "card", "track"):
                light, dark = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
                ratio = (light + 0.05) / (dark + 0.05)
                assert ratio >= (3 if ground == "track" and ink.endswith("like") else 4.5), (ink, ground, ratio)


def test_the_rate_limit_lets_bursts_through_and_recovers():
    time = [0.0]
    limit = RateLimit(2.0, clock=lambda: time[0])
    assert [limit.admits("a") for _ in range(11)] == [True] * 10 + [False]
    assert limit.admits("b")
    time[0] = 0.25
    assert not limit.admits("a")
    time[0] = 0.5  # being refused costs nothing
    assert limit.admits("a")
    assert not limit.admits("a")


async def test_too_many_requests_are_told_to_wait(reader):
    async with client_of(state_of(reader, requests_per_second=0.2)) as client:
        answers = [(await client.get("/api/users")).status_code for _ in range(3)]
        assert answers == [200, 429, 429]
        assert (await client.get("/metrics")).status_code == 200


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(profiles, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(profiles, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(profiles, "_RETRY_SECONDS", 0.01)


async def _next(changes):
    async with asyncio.timeout(5):
        return await anext(changes)


async def test_changes_are_sent_once_and_quiet_ones_keep_the_line_open(reader, quick):
    changes = profiles.LiveProfiles(state_of(reader)).changes("u")
    first = json.loads((await _next(changes)).removeprefix("data: "))
    assert first["horizons"]["now"][0]["last"]["event"] == "e1"
    assert (await _next(changes)).startswith(":")
    reader.sets["now", Stance.LIKE] = {"cats": 2.5}
    reader.evidence["cats"] = [Evidence("e2", 1, 0.5, Stance.LIKE)]
    second = json.loads((await _next(changes)).removeprefix("data: "))
    assert second["horizons"]["now"][0]["weight"] == 2.5
    assert second["horizons"]["now"][0]["last"]["event"] == "e2"
    await changes.aclose()


async def test_watching_outlives_an_outage_of_redis(reader, quick):
    changes = profiles.LiveProfiles(state_of(reader)).changes("u")
    await _next(changes)
    reader.down = True
    assert (await _next(changes)).startswith("event: unavailable")
    assert (await _next(changes)).startswith(":")
    reader.down = False
    assert (await _next(changes)).startswith("data: ")
    await changes.aclose()


async def test_many_open_pages_look_less_often(reader):
    live = profiles.LiveProfiles(state_of(reader))
    async with contextlib.AsyncExitStack() as stack:
        for expected in (profiles.POLL_SECONDS, 2 * profiles.POLL_SECONDS):
            for _ in range(10):
                changes = await stack.enter_async_context(contextlib.aclosing(live.changes("u")))
                await _next(changes)
            assert live.pace_seconds == expected
    assert live.pace_seconds == profiles.POLL_SECONDS


async def test_streams_are_bounded_and_a_closed_page_gives_its_place_back(reader, quick):
    async with contextlib.AsyncExitStack() as stack:
        web = create_web(state_of(reader, max_streams=1))
        address = await stack.enter_async_context(serve(web, "127.0.0.1", 0))
        async with httpx2.AsyncClient(base_url=address) as client:
            async with client.stream("GET", "/api/events", params={"user": "u"}) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                async for line in stream.aiter_lines():
                    assert line.startswith("data: ")
                    break
                assert (await client.get("/api/events", params={"user": "u"})).status_code == 503
            async with asyncio.timeout(5):
                while True:
                    async with client.stream("GET", "/api/events", params={"user": "u"}) as again:
                        if again.status_code == 200:
                            break
                    await asyncio.sleep(0.02)


async def test_of_pages_that_ask_for_the_last_place_at_once_none_waits_in_silence(reader, quick):
    async def status_and_first_line(client):
        async with client.stream("GET", "/api/events", params={"user": "u"}) as stream:
            lines = stream.aiter_lines()
            first = await anext(lines, None)
            await asyncio.sleep(0.2)
            return stream.status_code, first

    web = create_web(state_of(reader, max_streams=1))
    async with (
        asyncio.timeout(5),
        serve(web, "127.0.0.1", 0) as address,
        httpx2.AsyncClient(base_url=address) as client,
    ):
        asked = asyncio.gather(*(status_and_first_line(client) for _ in range(8)))
        watched = [first for status, first in await asked if status == 200 and first]
    assert len(watched) == 1


async def test_leaving_ends_open_streams_within_seconds(reader, quick):
    async with asyncio.timeout(5), httpx2.AsyncClient() as client, contextlib.AsyncExitStack() as stack:
        async with serve(create_web(state_of(reader)), "127.0.0.1", 0) as address:
            stream = await stack.enter_async_context(client.stream("GET", f"{address}/api/events?user=u"))
            assert stream.status_code == 200
        with pytest.raises(httpx2.HTTPError):
            await client.get(f"{address}/healthz")


async def test_a_taken_port_names_the_setting(reader):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serving = serve(create_web(state_of(reader)), "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(AddressTakenError, match="PENCHANT_WEB_PORT"):
            await serving.__aenter__()
