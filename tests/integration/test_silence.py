"""What people write and what operators keep secret appears in no log, no metric and no error message."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from kafka import KafkaProducer
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from streams.demo.stack import Stack, await_ready
from streams.embedded import EmbeddedBroker, EmbeddedRedis
from streams.settings import load_settings

pytestmark = pytest.mark.alone

USERS = Path(__file__).parents[2] / "deploy/redis/users.acl"
CRASHING = [sys.executable, "-m", "tests.integration.crashing_worker"]
SAID = "zwergpinguin-4711"
SECRETS = {
    "KAFKA_PASSWORD": "secret-kafka-83ab",
    "VLLM_TOKEN": "secret-vllm-5c1e",
    "WEB_TOKEN": "secret-page-99d0",
}
REDIS_SECRET = "secret-redis-17fe"  # noqa: S105 - made up for this test
AT = 1_795_000_000_000


class GuardedRedis(EmbeddedRedis):
    """The users of deploy/redis, the writer with a password of ours."""

    def __init__(self):
        super().__init__(durable=True)

    @property
    def url(self):
        return f"redis://penchant-writer:{REDIS_SECRET}@127.0.0.1:{self.port}/0"

    def prepare(self):
        acl = USERS.read_text().replace("change-me-writer", REDIS_SECRET)
        (self.folder / "users.acl").write_text(acl)

    def command(self):
        return (*super().command(), "--aclfile", str(self.folder / "users.acl"))

    def answers(self):
        with contextlib.suppress(RedisConnectionError), Redis.from_url(self.url) as client:
            return client.ping()
        return False


def comment(event_id, **changes):
    event = {"event_id": event_id, "user_id": f"u-{SAID}", "occurred_at": AT, "kind": "comment", "text": "I love cats"}
    return json.dumps({**event, **changes}).encode()


GOOD = [comment("good", text=f"I love cats and {SAID}")]
BAD = [
    f'{{"event_id": "{SAID}", not JSON'.encode(),
    comment("kind", kind=SAID),
    comment("time", occurred_at=SAID),
    comment("type", user_id=[SAID]),
    comment("large", text=SAID * 1_000),
    comment("crash", text=f"CRASH on {SAID}"),
]
OTHERS = {
    "clicks": [
        json.dumps({"event_id": "c1", "user_id": SAID, "occurred_at": AT, "action": "like", "item_id": SAID}).encode(),
        json.dumps(
            {
                "event_id": "c2",
                "user_id": SAID,
                "occurred_at": AT,
                "action": "like",
                "item": {"title": f"CRASH {SAID}"},
            }
        ).encode(),
    ],
    "items": [json.dumps({"item_id": f"i-{SAID}", "kind": "article", "title": f"Cats of {SAID}"}).encode()],
    "commands": [
        json.dumps({"event_id": "k", "user_id": SAID, "occurred_at": AT, "command": "mute", "interest": SAID}).encode()
    ],
}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Everything a worker says through good, bad and crashing events, an outage of Redis and a visit to its page."""
    errors = tmp_path_factory.mktemp("silence") / "stderr"
    with GuardedRedis() as redis, EmbeddedBroker() as broker, errors.open("w") as stderr:
        ours = {
            "KAFKA_BOOTSTRAP": broker.bootstrap,
            "KAFKA_USERNAME": "worker",
            "REDIS_URL": redis.url,
            "WEB_PORT": "0",
            "ITEM_WAIT_SECONDS": "0.5",
            "MAX_VALUE_BYTES": "4096",
            "LOG_LEVEL": "DEBUG",
            **SECRETS,
        }
        environment = {**os.environ, **{f"PENCHANT_{name}": value for name, value in ours.items()}}
        worker = subprocess.Popen(CRASHING, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            web = await_ready(worker)
            stack = Stack(load_settings(), web, worker)
            producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
            for kind, values in {"comments": GOOD + BAD, **OTHERS}.items():
                for value in values:
                    producer.send(f"penchant.{kind}.v1", value, SAID.encode())
            producer.flush()
            sent = len(GOOD + BAD) + sum(map(len, OTHERS.values()))
            _wait(lambda: stack.done() >= sent)
            assert httpx2.get(f"{web}/?token={SECRETS['WEB_TOKEN']}", follow_redirects=True).is_success
            assert httpx2.get(f"{web}/api/users/{SAID}?token={SAID}").status_code == 401
            redis.kill()
            producer.send("penchant.comments.v1", comment("late", text=f"{SAID} in an outage"), SAID.encode())
            producer.close()
            _wait(lambda: "batches_wait" in errors.read_text())
            redis.start()
            _wait(lambda: stack.done() >= sent + 1)
            metrics = httpx2.get(f"{web}/metrics").text
            with Redis.from_url(redis.url) as client:
                profiles = [key.decode() for key in client.scan_iter("pen:1:{*}:why")]
        finally:
            worker.terminate()
            answered, _ = worker.communicate(timeout=30)
    return {"log": errors.read_text(), "stdout": answered, "metrics": metrics, "profiles": profiles}


def _wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_all_paths_were_taken(spoken):
    assert "event_crashed_the_code" in spoken["log"]
    assert "batches_wait_no_more" in spoken["log"]
    assert spoken["profiles"] == [f"pen:1:{{u-{SAID}}}:why"]
    for reason in ("invalid_json", "unknown_value", "bad_time", "wrong_type", "too_large", "poison", "unknown_item"):
        assert f'reason="{reason}"' in spoken["metrics"], reason


@pytest.mark.parametrize("where", ["log", "stdout", "metrics"])
def test_nothing_that_people_wrote_is_said(spoken, where):
    assert SAID not in spoken[where]


@pytest.mark.parametrize("where", ["log", "stdout", "metrics"])
def test_no_secret_is_said(spoken, where):
    for secret in (*SECRETS.values(), REDIS_SECRET):
        assert secret not in spoken[where]
