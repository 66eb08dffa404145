"""The command line as its users meet it: answers, exit codes, and errors that say what to do."""

import json
import os
import subprocess
import sys
import time

import pytest
from redis.asyncio import Redis

from profiles import keys
from profiles.model import Observation, Signal, Stance
from profiles.policy import Policy
from profiles.store import ProfileStore
from streams.embedded import free_port


def penchant(*arguments, environment=None, text=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        input=text,
        timeout=120,
        check=False,
        env={**clean, **(environment or {})},
    )


@pytest.fixture
async def profile(redis_url):
    client = Redis.from_url(redis_url)
    store = ProfileStore(client, Policy())
    await store.prepare()
    now = int(time.time() * 1_000_000)
    signals = (Signal("cats", Stance.LIKE, 2.0, "I love cats", "r"), Signal("horror", Stance.DISLIKE, 1.0))
    await store.record("comments/0", [Observation("u1", "e1", 0, now, signals)])
    await client.aclose()
    return {"PENCHANT_REDIS_URL": redis_url, "PENCHANT_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}"}


def test_help_is_instant_and_names_every_command():
    started = time.perf_counter()
    shown = penchant("--help")
    assert shown.returncode == 0
    assert time.perf_counter() - started < 5
    for command in ("demo", "worker", "send", "top", "why", "check", "extract", "forget", "train", "eval", "schema"):
        assert f" {command} " in shown.stdout


def test_an_unknown_setting_is_an_error():
    result = penchant("config", environment={"PENCHANT_REDIS_URI": "redis://x"})
    assert result.returncode == 2
    assert "PENCHANT_REDIS_URI: no such setting" in result.stderr


def test_a_wrong_setting_is_named():
    result = penchant("config", environment={"PENCHANT_WEB_PORT": "99999"})
    assert result.returncode == 2
    assert result.stderr.startswith("penchant: PENCHANT_WEB_PORT: ")


def test_secrets_are_masked():
    secrets = {"PENCHANT_REDIS_URL": "redis://me:hunter2@h:1/0", "PENCHANT_VLLM_TOKEN": "hunter2"}
    for arguments in (["config"], ["config", "--json"], ["config", "--all"]):
        result = penchant(*arguments, environment=secrets)
        assert result.returncode == 0
        assert "hunter2" not in result.stdout + result.stderr
        assert "redis://me:********@h:1/0" in result.stdout


def test_top_and_why(profile):
    (row,) = json.loads(penchant("top", "u1", "--json", environment=profile).stdout)
    assert row["interest"] == "cats"
    assert row["weight"] == pytest.approx(2.0, rel=1e-3)
    assert "horror" in penchant("top", "u1", "--dislikes", environment=profile).stdout
    (evidence,) = json.loads(penchant("why", "u1", "cats", "--json", environment=profile).stdout)
    assert (evidence["event"], evidence["source"]) == ("e1", "I love cats")


async def test_why_shows_the_title_of_an_item_and_as_json_the_digest_of_its_text_too(profile):
    client = Redis.from_url(profile["PENCHANT_REDIS_URL"])
    whole = "Trail #12 for beginners #0123456789abcdef"
    signals = (Signal("running-and-jogging", Stance.LIKE, 1.0, whole, "r"),)
    now = int(time.time() * 1_000_000)
    await ProfileStore(client, Policy()).record("clicks/0", [Observation("u1", "e2", 0, now, signals, "i7")])
    await client.aclose()
    asked = ("why", "u1", "running-and-jogging")
    shown = penchant(*asked, environment=profile).stdout
    assert "Trail #12 for beginners  (e2, r)" in shown
    (evidence,) = json.loads(penchant(*asked, "--json", environment=profile).stdout)
    assert evidence["source"] == whole
    assert "nothing is known of 'nobody'" in penchant("top", "nobody", environment=profile).stdout
    assert penchant("top", "u1", "--horizon", "weekly", environment=profile).returncode == 2


async def test_forget_prints_a_receipt_and_leaves_no_interest(profile):
    result = penchant("forget", "u1", "--json", environment=profile)
    receipt = json.loads(result.stdout)
    assert result.returncode == 3, "dead letters were not looked through"
    assert "repeat" in result.stderr
    assert not receipt["published"]
    assert not receipt["verified"]
    assert receipt["dead_letters"] is None
    assert receipt["second_scan"]["holding"] == []
    assert set(receipt["left"]) == {keys.meta("u1"), keys.rules("u1"), keys.seen("u1")}
    assert receipt["removed"][keys.interests("u1", "like", "now")] == 1
    assert receipt["removed"][keys.why("u1")] == 2
    client = Redis.from_url(profile["PENCHANT_REDIS_URL"])
    assert not await client.exists(keys.interests("u1", "like", "now"), keys.why("u1"))
    await client.aclose()


def test_a_dependency_that_does_not_answer_is_named():
    nowhere = f"127.0.0.1:{free_port()}"
    redis = penchant("top", "u", environment={"PENCHANT_REDIS_URL": f"redis://{nowhere}/0"})
    assert redis.returncode == 3
    assert "set PENCHANT_REDIS_URL" in redis.stderr
    kafka = penchant("send", "--user", "u", "--text", "hi", environment={"PENCHANT_KAFKA_BOOTSTRAP": nowhere})
    assert kafka.returncode == 3
    assert "PENCHANT_KAFKA_BOOTSTRAP" in kafka.stderr
    for result in (redis, kafka):
        assert "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_extract_keeps_its_contract():
    texts = ["我最喜欢阅读科幻小说，特别是刘慈欣的作品。", "哈哈哈", "Horror movies are awful, never again"]
    result = penchant("extract", "-", "--json", text="\n".join(texts))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == texts
    (interest,) = [i for i in rows[0]["interests"] if i["entity"]]
    assert (interest["concept"], interest["concept_id"], interest["stance"]) == ("science-fiction", "652", "like")
    start, end = interest["span"]
    assert rows[0]["cleaned"][start:end] == interest["entity"] == "刘慈欣"
    assert 0 < interest["confidence"] <= 1
    assert rows[1]["interests"] == []
    assert [i["stance"] for i in rows[2]["interests"]] == ["dislike"]


def test_check_says_line_field_and_what_to_change(tmp_path):
    path = tmp_path / "sample.jsonl"
    path.write_text('{"item_id": "i", "kind": "article", "title": "t"}\n{"user_id": "u", "action": "click"}\n')
    result = penchant("check", str(path), "--json")
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert found["lines"] == 2
    assert {f["line"] for f in found["findings"]} == {2}
    assert {f["reason"] for f in found["findings"]} == {"missing_field"}
