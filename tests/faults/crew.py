"""The workers of a fault run, as a supervisor keeps them: hired, killed, stopped, and replaced where they end."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streams.embedded import _die_with_parent

_LOG_TAIL = 3000


@dataclass(eq=False)
class Hand:
    """One worker process and its log."""

    process: "subprocess.Popen[bytes]"
    log: Path
    dismissed: bool = False
    paused: bool = False
    ready: bool = False
    spared: bool = False

    def look(self) -> None:
        """Note whether it has become ready."""
        if not self.ready:
            self.ready = b'"ready": true' in self.log.read_bytes()

    def web(self) -> str:
        """Where its pages and metrics are; only once it is ready."""
        line = next(line for line in self.log.read_text().splitlines() if '"ready": true' in line)
        return str(json.loads(line)["web"])

    def tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-_LOG_TAIL:]


@dataclass
class Crew:
    """The workers, ``wanted`` of them unless a schedule says otherwise.

    ``complaints`` are ends that no one asked for. A worker that ends before it is ready met an outage as it started:
    it is replaced, as every supervisor would.
    """

    environment: Mapping[str, str]
    wanted: int = 2
    hands: list[Hand] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    failed_starts: int = 0
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="penchant-faults-")))
    _number: int = 0

    def hire(self, clock_off: float = 0.0) -> Hand:
        """Start one more worker, its wall clock off by so many seconds."""
        self._number += 1
        log = self.folder / f"worker-{self._number}.log"
        work = ["tests.faults.skewed", str(clock_off)] if clock_off else ["streams.cli", "worker"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *work],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
            )
        hand = Hand(process, log)
        self.hands.append(hand)
        return hand

    def pick(self, rng: random.Random) -> Hand | None:
        """One of those at work that are not spared, if any."""
        present = [h for h in self.hands if not (h.dismissed or h.spared) and h.process.poll() is None]
        return rng.choice(present) if present else None

    def kill(self, hand: Hand) -> None:
        """End a worker as a crash would."""
        hand.dismissed = True
        self.hands.remove(hand)
        hand.process.kill()
        hand.process.wait()

    def dismiss(self, hand: Hand) -> None:
        """Ask a worker to end in good order; ``tend`` sees to it that it does."""
        hand.dismissed = True
        self.resume(hand)
        if hand.process.poll() is None:
            hand.process.terminate()

    def pause(self, hand: Hand) -> None:
        """Freeze a worker: the group will take it for dead, and it will come back not knowing."""
        hand.paused = True
        hand.process.send_signal(signal.SIGSTOP)

    def resume(self, hand: Hand) -> None:
        """Let a frozen worker go on."""
        hand.paused = False
        if hand.process.poll() is None:
            hand.process.send_signal(signal.SIGCONT)

    def tend(self) -> None:
        """Notice who ended and why."""
        for hand in list(self.hands):
            hand.look()
            code = hand.process.poll()
            if code is None:
                continue
            self.hands.remove(hand)
            if hand.dismissed:
                if hand.ready and code != 0:
                    self.complaints.append(f"a worker answered SIGTERM with exit code {code}:\n{hand.tail()}")
            elif hand.ready:
                self.complaints.append(f"a worker ended by itself with exit code {code}:\n{hand.tail()}")
            else:
                self.failed_starts += 1

    def fill(self) -> None:
        """Resume who is frozen and hire until there are as many as wanted."""
        for hand in self.hands:
            if hand.paused:
                self.resume(hand)
        while sum(not h.dismissed for h in self.hands) < self.wanted:
            self.hire()

    def await_ready(self, seconds: float = 90.0) -> None:
        """Return once all are ready. Raises TimeoutError with what they wrote."""
        deadline = time.monotonic() + seconds
        while not all(h.ready for h in self.hands):
            self.tend()
            self.fill()
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join(h.tail() for h in self.hands))
            time.sleep(0.1)

    def close(self, seconds: float = 40.0) -> None:
        """Ask all to end; who does not is killed and complained about."""
        for hand in self.hands:
            self.dismiss(hand)
        deadline = time.monotonic() + seconds
        while self.hands and time.monotonic() < deadline:
            self.tend()
            time.sleep(0.1)
        for hand in list(self.hands):
            self.complaints.append(f"a worker did not end within {seconds:g} s of SIGTERM:\n{hand.tail()}")
            self.kill(hand)
        shutil.rmtree(self.folder, ignore_errors=True)
