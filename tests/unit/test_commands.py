"""Commands that are used wrongly, or that Kafka refuses: one line that says what to do, and nothing done."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
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
        (["extract", "text", "--extractor", "vllm"], "PENCHANT_EXTRACTION=vllm needs a base URL"),
        (["check", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
        (["send", "events.jsonl", "--user", "u"], "leave the options out"),
        (["send", "--user", "u", "--text", "t", "--click", "i"], "one at a time"),
        (["send", "--user", "u", "--text", "t", "--action", "like"], "one at a time"),
        (["schema", __file__], "cannot be written"),
        (["demo", "--vllm", "gpu-1:8000"], "--vllm gpu-1:8000: not a base URL"),
        (["demo", "--json", "--forward", "6"], "leave one of them out"),
        (["demo", "--forward", "-1"], "--forward"),
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


def test_a_server_that_no_request_could_reach_is_no_setting():
    result = penchant("config", VLLM_URLS="http://gpu-1:8000/v1, gpu-2")
    assert result.exit_code == 2
    assert "PENCHANT_VLLM_URLS: Value error, 'gpu-2' is not http://HOST:PORT/v1" in result.stderr


def test_a_line_that_cannot_be_read_is_named(tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text("\n{\n")
    result = penchant("send", str(file))
    assert result.exit_code == 1
    assert "line 2 and what follows it (sent: 0 before it) not sent: no JSON" in result.stderr


def test_what_came_before_a_bad_line_is_sent_and_counted(tmp_path, monkeypatch):
    calls = []
    producer = SimpleNamespace(
        send=lambda *_, **__: SimpleNamespace(add_errback=lambda _: calls.append("sent")),
        flush=lambda timeout: calls.append("flushed"),
        close=lambda timeout: None,
    )
    monkeypatch.setattr(publishing, "KafkaProducer", lambda **_: producer)
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(CLICK) + "\n[]\n")
    assert "line 2 and what follows it (sent: 1 before it) not sent" in penchant("send", str(file)).stderr
    assert calls == ["sent", "flushed"]


def test_settings_are_explained_to_programs_too():
    plain, explained = (json.loads(penchant("config", "--json", *more).stdout) for more in ([], ["--all"]))
    assert "description" not in plain["PENCHANT_WEB_PORT"]
    assert "page" in explained["PENCHANT_WEB_PORT"]["description"]


def test_an_outdated_folder_of_schemas_is_named(tmp_path):
    assert f"run 'penchant schema {tmp_path}'" in penchant("schema", "--check", str(tmp_path)).stderr


def test_wrong_settings_end_the_demo_before_it_starts():
    result = penchant("demo", HORIZONS="x")
    assert result.exit_code == 2
    assert "starting" not in result.output


def test_the_first_commands_of_the_readme_go_together():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    text = re.search(r'penchant send --user xiaoyu --text "(.*)"', readme)[1]
    asked = re.search(r"penchant why xiaoyu (\S+)", readme)[1]
    (interest,) = json.loads(penchant("extract", text, "--json").stdout)["interests"]
    assert interest["concept"] == asked


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
