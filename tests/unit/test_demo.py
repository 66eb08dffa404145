"""The demo where its worker does not do what it should, and where a file was fed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from streams.cli import app
from streams.cli import demo as command
from streams.demo import feed, stack
from streams.demo.stack import Stack, WorkerFailedError, await_ready
from streams.settings import Settings

NEWEST = "2020-01-01T00:00:00+00:00"


def stack_of(code=None, **settings):
    return Stack(Settings(**settings), "http://nowhere", SimpleNamespace(poll=lambda: code, returncode=code))


@pytest.fixture
def users(monkeypatch):
    monkeypatch.setattr(feed, "result", lambda *_: {"at": NEWEST, "users": {f"user-{n}": {} for n in range(20)}})
    monkeypatch.setattr(command, "reader_of", lambda _: SimpleNamespace(top=lambda *_: []))


def test_a_worker_that_says_nothing_is_not_waited_for_longer_than_that(monkeypatch):
    monkeypatch.setattr(stack, "_READY_SECONDS", 0.2)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with worker, pytest.raises(WorkerFailedError):
        await_ready(worker)


@pytest.mark.parametrize(("code", "said"), [(1, "ended with 1"), (None, "what u did does not show")])
def test_a_story_that_does_not_go_on_ends(monkeypatch, code, said):
    monkeypatch.setattr(command, "_SHOW_SECONDS", 0.1)
    player = command._StoryPlayer.__new__(command._StoryPlayer)
    player._stack, player._beats, player._waiting = stack_of(code), [], {"u": (time.monotonic(), None)}
    player._state = lambda user: None
    with pytest.raises(WorkerFailedError, match=said):
        player.play_all()


def test_the_users_of_a_file_are_shown(monkeypatch, users):
    @contextmanager
    def keys():
        yield lambda: "q"

    monkeypatch.setattr(command, "_keys", keys)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    console = Console(file=StringIO(), force_terminal=True, width=100, height=50)
    command._play(stack_of(), console, leave=False, forward=0.0, story=False)
    assert "user-11" in console.file.getvalue()
    assert "user-12" not in console.file.getvalue()


def test_the_commands_for_a_second_terminal_can_be_pasted(monkeypatch):
    monkeypatch.setattr(command.shutil, "which", lambda _: None)
    lines = command._footer(stack_of(kafka_bootstrap="h:1", redis_url="redis://h:2/0"))
    assert {"export PENCHANT_KAFKA_BOOTSTRAP=h:1", "export PENCHANT_REDIS_URL=redis://h:2/0"} <= set(lines)
    assert lines[-1].endswith("bin/penchant top xiaoyu"), "the shell may not know where it is"


def test_profiles_are_shown_on_the_horizons_that_are_set(monkeypatch, users):
    asked = []
    monkeypatch.setattr(
        command, "reader_of", lambda _: SimpleNamespace(top=lambda user, n, horizon, *_: asked.append(horizon) or [])
    )
    command._print_profiles(stack_of(horizons="day=1d,year=365d"), Console(file=StringIO()))
    assert set(asked) == {"day", "year"}


def test_a_demo_that_is_ended_from_outside_stops_its_worker(monkeypatch, tmp_path):
    stopped = []

    @contextmanager
    def running_stack(overrides):
        try:
            yield stack_of()
        finally:
            stopped.append(True)

    monkeypatch.setattr(stack, "running_stack", running_stack)
    monkeypatch.setattr(command, "_feed", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    file = tmp_path / "events.jsonl"
    file.touch()
    try:
        result = CliRunner().invoke(app, ["demo", "--events", str(file), "--exit"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (stopped, result.exit_code) == ([True], 1)
    assert "stopped; nothing is left running" in result.output


def test_rejected_events_are_not_called_applied(monkeypatch, tmp_path):
    fed = SimpleNamespace(settings=None, metrics=lambda: {'penchant_dead_letters_total{reason="bad_time"}': 2.0})
    monkeypatch.setattr(feed, "publish_file", lambda *_: 3)
    monkeypatch.setattr(feed, "wait_until_done", lambda *_: None)
    console = Console(file=StringIO(), width=200)
    assert command._feed(fed, tmp_path, console) == 3
    assert "3 events worked on, rejected 2 (bad_time); 'penchant check" in console.file.getvalue()


def test_the_story_as_json_is_told_first(monkeypatch):
    @contextmanager
    def running_stack(overrides):
        yield stack_of()

    monkeypatch.setattr(stack, "running_stack", running_stack)
    monkeypatch.setattr(command, "_view", lambda *_: None)
    monkeypatch.setattr(command, "_StoryPlayer", lambda *_, **__: SimpleNamespace(play_all=lambda: 29))
    monkeypatch.setattr(feed, "result", lambda _, events: {"consumed": events})
    assert '{"consumed": 29}' in CliRunner().invoke(app, ["demo", "--json"]).output


def test_the_clock_of_a_fed_file_moves_too(monkeypatch, users, tmp_path):
    @contextmanager
    def running_stack(overrides):
        yield stack_of()

    monkeypatch.setattr(stack, "running_stack", running_stack)
    monkeypatch.setattr(command, "_feed", lambda *_: None)
    file = tmp_path / "events.jsonl"
    file.touch()
    shown = CliRunner().invoke(app, ["demo", "--events", str(file), "--exit", "--forward", "5"]).output
    assert "clock moved forward by 5 h" in shown
    assert f"as of the newest event, {NEWEST}" in shown
    assert "live page" not in shown, "it is gone by then"
    assert "and 8 more users" in shown
