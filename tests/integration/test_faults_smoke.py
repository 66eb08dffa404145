"""One short schedule of faults in every test run; the many are ``make faults``. And a referee who can say no."""

import pytest
from redis.asyncio import Redis

from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.store import ProfileStore
from streams.embedded import EmbeddedRedis
from tests.faults.plan import Kind, draw
from tests.faults.referee import Verdict, _judge_user
from tests.faults.run import Wish, run
from tests.faults.soak import Sample, Soak, picture, soak, table
from tests.faults.story import tell

pytestmark = pytest.mark.alone

SEED = 161754  # a clock is wrong, a worker and Redis are killed, connections reset
KINDS = (Kind.CLOCK_SKEW, Kind.REDIS_RESET, Kind.WORKER_KILL, Kind.REDIS_KILL)
READINGS = [{"concept": "cats", "entity": None, "stance": "like", "confidence": 0.5}]


def test_a_schedule_of_faults_loses_nothing_and_doubles_nothing():
    said = []
    (outcome,) = run(Wish(events=1000, seconds=5.0, workers=1), SEED, 1, say=said.append)
    assert {fault.kind for fault in outcome.schedule.faults} == set(KINDS)
    assert outcome.verdict.good, said
    assert outcome.verdict.events > 1000
    assert sum(outcome.verdict.rejected.values()) >= 4
    assert len(outcome.recoveries) == len(outcome.schedule.faults)


def test_a_soak_looks_at_memory_and_latency_and_judges_what_it_published(tmp_path):
    result = soak("embedded", 0.15, 100.0, 1, round_seconds=8.0, every=1.0, say=lambda _: None)
    assert [outcome.verdict.findings for outcome in result.outcomes] == [[]] * len(result.outcomes)
    assert sum(outcome.verdict.events for outcome in result.outcomes) > 700
    assert all(sample.rss > 50 * 2**20 for sample in result.samples)
    assert any(0 < sample.p50 <= sample.p99 for sample in result.samples)
    assert len(result.outages) == len(result.outcomes)
    picture(result, tmp_path / "soak.svg")
    assert (tmp_path / "soak.svg").read_text().count("<polyline") == 2
    assert "lost 0, doubled 0" in table(result)


@pytest.mark.parametrize(("rss", "p99", "finding"), [(0, 0, ""), (2, 0, "memory grew"), (0, 1, "p99 between")])
def test_a_soak_finds_what_grows(rss, p99, finding):
    samples = [Sample(n * 10.0, (200 + n * rss) * 2**20, 0.01, 0.05 + n * p99 / 100, 0.0) for n in range(60)]
    outage = Sample(600.0, 200 * 2**20, 1.0, 60.0, 0.0, calm=False)
    assert "\n".join(Soak([*samples, outage]).findings()).startswith(finding)
    assert bool(Soak([*samples, outage]).findings()) == bool(finding)


def test_a_seed_is_a_schedule_and_a_story():
    assert draw(5, durable_broker=True) == draw(5, durable_broker=True) != draw(6, durable_broker=True)
    readings = dict.fromkeys([*_texts()], READINGS)
    assert tell(5, "a", 300, readings).messages == tell(5, "a", 300, readings).messages


def _texts():
    from tests.stream import ITEMS, TEXTS

    return [*TEXTS, *(title for _, _, title in ITEMS)]


@pytest.fixture(scope="module")
def story():
    return tell(5, "a", 300, dict.fromkeys(_texts(), READINGS))


@pytest.mark.parametrize(("change", "lost", "doubled"), [("none", 0, 0), ("lose", 1, 0), ("double", 0, 1)])
async def test_the_referee_notices_one_event_too_few_or_too_many(story, change, lost, doubled):
    user = next(e["user_id"] for e in story.events if e["user_id"] not in story.rulers)
    shown = [s for s in story.shown({}) if s.user == user]
    told = {"none": shown, "lose": [s for s in shown if s.event_id != shown[0].event_id], "double": shown}[change]
    observations = [
        Observation(user, s.event_id, n, s.at, tuple(Signal(i, Stance(st), w) for i, st, w in s.signals), s.target)
        for n, s in enumerate(told)
    ]
    if change == "double":
        first = observations[0]
        observations.append(Observation(user, "another id", len(told), first.at, first.signals, first.target))
    with EmbeddedRedis() as server:
        redis = Redis.from_url(server.url)
        store = ProfileStore(redis, Policy())
        await store.prepare()
        await store.record("clicks/0", observations)
        await redis.aclose()
        verdict = Verdict()
        _judge_user(_sync(server.url), story, user, shown, verdict)
    assert (verdict.lost, verdict.doubled) == (lost, doubled)
    assert verdict.good == (change == "none")


def _sync(url):
    from redis import Redis as SyncRedis

    return SyncRedis.from_url(url)
