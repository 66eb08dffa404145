"""``penchant demo``: the main job, live, on embedded servers."""

import os
import select
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .shared import BAD_NEWS, WRONG_USE, Json, fail, print_json, reader_of, settings

if TYPE_CHECKING:
    from rich.console import Console

    from streams.demo.stack import Stack
    from streams.demo.view import Seen, View

_FORWARD_HOURS = 6.0
_FRAMES = 8
_SHOWN_USERS = 12
_SHOW_SECONDS = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    *,
    events: Annotated[Path | None, typer.Option(help="feed this JSONL file instead of the story")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="end once everything is applied")] = False,
    as_json: Json = False,
    vllm: Annotated[str | None, typer.Option(help="read texts with the vLLM server at this base URL")] = None,
    forward: Annotated[float, typer.Option(help="move the demo's clock forward by this many hours", min=0)] = 0.0,
) -> None:
    """Watch clicks and comments become interest profiles: embedded Valkey and broker, the production worker.

    In a terminal: press f to move the clock forward by six hours and see interests fade, q or Ctrl-C to end. With
    --events FILE --exit --json: feed a file, wait until all of it is applied, print one JSON object, where weights are
    those at the newest event.
    """
    from rich.console import Console

    from streams.demo.stack import WorkerFailedError, running_stack
    from streams.embedded import EmbeddedUnavailableError
    from streams.publishing import PublishError

    if events is not None and not events.is_file():
        fail(WRONG_USE, f"{events}: no such file")
    if vllm is not None and not vllm.startswith(("http://", "https://")):
        fail(WRONG_USE, f"--vllm {vllm}: not a base URL such as http://host:8000/v1")
    if as_json and forward:
        fail(WRONG_USE, "--forward moves what is shown, and --json shows nothing: leave one of them out")
    settings()  # which says what is wrong before servers are started
    overrides = {"EXTRACTION": "vllm", "VLLM_URLS": vllm} if vllm else {}
    console = Console(stderr=as_json)
    try:
        console.print("starting a broker, a Valkey and the worker ...", style="dim")
        with _ended_by_signals(), running_stack(overrides) as stack:
            number = _feed(stack, events, console) if events is not None else 0
            if as_json:
                from streams.demo.feed import result

                if events is None:
                    number = _StoryPlayer(stack, _view(stack), console, quiet=False).play_all()
                print_json(result(stack, number))
            elif leave and events is not None:
                _print_profiles(stack, console, forward=forward * 3600, fed=True)
            else:
                _play(stack, console, leave=leave, forward=forward, story=events is None)
    except (WorkerFailedError, EmbeddedUnavailableError, PublishError) as error:
        fail(BAD_NEWS, str(error))
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running", style="dim")
        if leave or as_json:
            raise typer.Exit(BAD_NEWS) from None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a terminal that closes end the demo as Ctrl-C does: its worker would outlive it."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _feed(stack: "Stack", path: Path, console: "Console") -> int:
    from rich.progress import Progress

    from streams.demo.feed import publish_file, rejections, wait_until_done

    number = publish_file(path, stack.settings)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("applied", total=number)
        wait_until_done(stack, number, lambda done, _: progress.update(task, completed=done))
    rejected = ", ".join(f"{count} ({reason})" for reason, count in rejections(stack.metrics()).items() if count)
    see = f", rejected {rejected}; 'penchant check {path}' says what to change" if rejected else ""
    console.print(f"{number} events worked on{see}", style="dim", highlight=False, soft_wrap=True)
    return number


def _play(stack: "Stack", console: "Console", *, leave: bool, forward: float, story: bool) -> None:
    """Play the story and show it; where nobody watches, play it once and print what came of it."""
    watched = console.is_terminal and sys.stdin.isatty() and not leave
    view = _view(stack, _footer(stack))
    view.forward = forward * 3600
    player = _StoryPlayer(stack, view, console, quiet=watched) if story else None
    if player is None:
        view.users, _, _ = _some_users(stack)
    if not watched:
        if player is not None:
            player.play_all()
        _print_profiles(stack, console, forward=view.forward, fed=not story)
        return
    from rich.live import Live

    with _keys() as pressed, Live(view.render(), console=console, refresh_per_second=_FRAMES, screen=True) as live:
        while True:
            stack.check()
            if player is not None:
                player.step()
                player.notice()
            key = pressed()
            if key == "f":
                view.forward += _FORWARD_HOURS * 3600
            elif key == "q":
                return
            live.update(view.render())
            time.sleep(1 / _FRAMES)


class _StoryPlayer:
    """Publishes the story beat by beat and measures how long each event takes to show."""

    def __init__(self, stack: "Stack", view: "View", console: "Console", *, quiet: bool) -> None:
        from streams.connections import blocking_redis_client
        from streams.demo.story import beats
        from streams.publishing import Publisher

        self._stack = stack
        self._beats = list(beats())
        self._publisher = Publisher(stack.settings)
        self._redis = blocking_redis_client(stack.settings)
        self._view = view
        self._console = console
        self._quiet = quiet
        self._due = time.monotonic()
        self._waiting: dict[str, tuple[float, bytes | None]] = {}

    def step(self) -> bool:
        """Publish the next event when it is due. Returns whether the story goes on."""
        if self._beats and time.monotonic() >= self._due:
            beat = self._beats.pop(0)
            user = beat.event.get("user_id")
            if user:
                from streams.demo.view import Seen

                self._view.users.setdefault(user, Seen()).last_event = _told(beat.event)
                self._waiting[user] = (time.monotonic(), self._state(user))
            self._publisher.send(beat.event)
            self._publisher.flush()
            self._due = time.monotonic() + (self._beats[0].wait if self._beats else 0.0)
        return bool(self._beats)

    def notice(self) -> None:
        """See which events show by now."""
        for user, (sent, before) in list(self._waiting.items()):
            if self._state(user) != before:
                seen = self._view.users[user]
                seen.milliseconds = (time.monotonic() - sent) * 1000
                del self._waiting[user]
                if not self._quiet:
                    self._console.print(f"{user:<8} {seen.milliseconds:5.0f} ms  {seen.last_event}")

    def play_all(self) -> int:
        """The whole story, each event shown before the end: how many. Raises WorkerFailedError where one never is."""
        from streams.demo.stack import WorkerFailedError

        number = len(self._beats)
        while self.step() or self._waiting:
            self._stack.check()
            self.notice()
            late = [user for user, (sent, _) in self._waiting.items() if time.monotonic() - sent > _SHOW_SECONDS]
            if late:
                raise WorkerFailedError(f"what {late[0]} did does not show after {_SHOW_SECONDS:.0f} s")
            time.sleep(0.01)
        return number

    def _state(self, user: str) -> bytes | None:
        from profiles import keys

        return cast("bytes | None", self._redis.hget(keys.meta(user), "events"))


def _told(event: dict[str, Any]) -> str:
    if "text" in event:
        return str(event["text"])
    return f"{event.get('action')} {event.get('item_id')}"


def _view(stack: "Stack", footer: Sequence[str] = ()) -> "View":
    from streams.demo.view import View
    from streams.runtime import policy_of

    return View(reader_of(stack.settings), [h.name for h in policy_of(stack.settings).horizons], footer)


def _footer(stack: "Stack") -> list[str]:
    ours = os.path.relpath(Path(sys.executable).with_name("penchant"))
    command = "penchant" if shutil.which("penchant") else shlex.quote(ours)
    return [
        f"live page  {stack.web}/",
        "f: six hours on   q: end   In a second terminal:",
        f"export PENCHANT_KAFKA_BOOTSTRAP={stack.settings.kafka_bootstrap}",
        f"export PENCHANT_REDIS_URL={stack.settings.redis_url.get_secret_value()}",
        f"{command} send --user xiaoyu --text '最近迷上了天文摄影'",
        f"{command} top xiaoyu",
    ]


def _print_profiles(stack: "Stack", console: "Console", *, forward: float = 0.0, fed: bool = False) -> None:
    """The profiles as they are now; those of a file as of its newest event, for its events may be old."""
    view = _view(stack)
    view.forward = forward
    view.users, more, newest = _some_users(stack)
    if fed and view.users:
        view.at = newest
    console.print(view.render())
    if more:
        console.print(f"... and {more} more users", style="dim")


def _some_users(stack: "Stack") -> "tuple[dict[str, Seen], int, float]":
    """The first users that have a profile, how many there are beside them, and the newest event's time."""
    from streams.demo.feed import result
    from streams.demo.view import Seen

    found = result(stack, 0)
    users = list(found["users"])
    newest = datetime.fromisoformat(found["at"]).timestamp()
    return {user: Seen() for user in users[:_SHOWN_USERS]}, len(users[_SHOWN_USERS:]), newest


@contextmanager
def _keys() -> Iterator[Any]:
    """Keys as they are pressed, without Enter; the terminal is as before afterwards."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def pressed() -> str:
        ready, _, _ = select.select([descriptor], [], [], 0)
        return os.read(descriptor, 1).decode("utf-8", "ignore") if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
