"""The demo where its worker does not do what it should, and where a file was fed."""

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


def stack_of(code=None):
    return Stack(Settings(), "http://nowhere", SimpleNamespace(poll=lambda: code, returncode=code))


@pytest.fixture
def users(monkeypatch):
    monkeypatch.setattr(feed, "result", lambda *_: {"users": {f"user-{n}": {} for n in range(20)}})
    monkeypatch.setattr(command, "_reader", lambda _: SimpleNamespace(top=lambda *_: []))


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
    assert "and 8 more users" in shown
