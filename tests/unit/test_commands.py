"""Commands that are used wrongly, or that Kafka refuses: one line that says what to do, and nothing done."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import typer
from kafka.errors import GroupAuthorizationFailedError
from typer.testing import CliRunner

from streams import connections, erasure, publishing
from streams.cli import app, profile
from streams.cli.shared import reaching
from streams.settings import Settings

REFUSAL = GroupAuthorizationFailedError("no READ")
CLICK = {"event_id": "e", "user_id": "u", "occurred_at": 5, "action": "like", "item_id": "i"}


@pytest.fixture(autouse=True)
def refusing(monkeypatch):
    """Brokers that are there, for whom nothing is to be sent."""

    async def let_in(settings):
        return None

    producer = SimpleNamespace(flush=lambda timeout: None, close=lambda timeout: None)
    monkeypatch.setattr(connections, "_knock", let_in)
    monkeypatch.setattr(publishing, "KafkaProducer", lambda **_: producer)


def penchant(*arguments, **environment):
    return CliRunner().invoke(app, arguments, env={f"PENCHANT_{name}": value for name, value in environment.items()})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "--all", "--switch", "--dry-run"], "--dry-run and --reason are about --dead-letters"),
        (["replay", "--all", "--reason", "poison"], "--dry-run and --reason are about --dead-letters"),
        (["replay", "--dead-letters", "--reason", "poison", "--switch"], "are about profiles"),
        (["replay", "--dead-letters", "--reason", "poison", "--metrics-file", "m"], "are about profiles"),
        (["send", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
        (["pin", "u1", ""], "interest"),
        (["forget", "u" * 513, "--yes"], "nothing is erased"),
        (["check", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_wrong_use_is_refused(arguments, said):
    result = penchant(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("horizons", "said"),
    [
        ("now=6x", "now=6x"),
        ("now=0h", "half-life"),
        ("now=infd", "half-life"),
        ("now=6h,now=1d", "repeats"),
        ("lasting=30d,now=6h", "shortest first"),
        ("a=6h,b=6h", "have to grow"),
        ("a=1h,b=2h,c=3h,d=4h,e=5h", "one to four"),
    ],
)
def test_horizons_that_cannot_be_kept_are_refused_with_the_settings(horizons, said):
    result = penchant("config", HORIZONS=horizons)
    assert result.exit_code == 2
    assert result.stderr.startswith("penchant: PENCHANT_HORIZONS: ")
    assert said in result.stderr


def test_a_line_that_cannot_be_read_is_named(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text("{\n")
    result = penchant("send", str(file))
    assert result.exit_code == 1
    assert "event 1 not sent: no JSON" in result.stderr


def test_a_sample_is_checked_by_the_size_that_the_worker_takes(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(CLICK | {"session_id": "s" * 2000}))
    assert penchant("check", str(file)).exit_code == 0
    assert "too_large" in penchant("check", str(file), MAX_VALUE_BYTES="1024").stdout


def test_what_the_brokers_answer_is_said(capsys):
    with pytest.raises(typer.Exit), reaching(Settings()):
        raise REFUSAL
    assert "lets us in, but refuses: [Error 30] GroupAuthorizationFailedError: no READ" in capsys.readouterr().err


def test_a_forget_says_what_kept_kafka_out_of_it(monkeypatch):
    async def erase(*_):
        return erasure.Erased([], {}, [])

    async def look_again(*_):
        return erasure.Found([], [], 0, [])

    def take_letters_back(*_):
        raise REFUSAL

    for step in (erase, look_again, take_letters_back):
        monkeypatch.setattr(erasure, step.__name__, step)
    monkeypatch.setattr(profile, "_publish", lambda *_: None)
    bars = SimpleNamespace(add_task=lambda *_, **__: 0)
    receipt, trouble = profile._erase(Settings(), "u", datetime.now(UTC), bars)
    assert (receipt["published"], receipt["dead_letters"], receipt["verified"]) == (True, None, False)
    assert "GroupAuthorizationFailedError: no READ" in trouble
