"""The contestants: what each is started with, and the environment that the peers' packages live in."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OURS = "penchant"
_PACKAGES = ("quixstreams>=3.20", "bytewax>=0.21")
_FOLDER = Path(".venv-bench")
_LOG_TAIL = 1500
_ROOT = Path(__file__).parents[2]


class PeersUnavailableError(RuntimeError):
    """The peers' packages cannot be installed; the message says what to do."""


class ContestantFailedError(RuntimeError):
    """A contestant ended by itself or did no work; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that does the job. ``batches`` is False where it takes one event at a time by nature.

    ``foreign``: it needs packages from an environment of its own.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    batches: bool = True
    foreign: bool = False


CONTESTANTS = (
    Contestant(OURS, "streams.cli", ("worker",)),
    Contestant("no_framework", "streams.bench.peers.no_framework"),
    Contestant("faust", "streams.bench.peers.faust_agent", batches=False),
    Contestant("faust_take", "streams.bench.peers.faust_take"),
    Contestant("quixstreams", "streams.bench.peers.quixstreams", foreign=True),
    Contestant("bytewax", "streams.bench.peers.bytewax", foreign=True),
)


def by_name(name: str) -> Contestant:
    """The contestant of that name."""
    return next(contestant for contestant in CONTESTANTS if contestant.name == name)


def foreign_python() -> Path:
    """The interpreter of the peers' environment, made on first use: ours underneath, their packages on top.

    Raises PeersUnavailableError where no package index gives them.
    """
    python = _FOLDER / "bin" / "python"
    done = _FOLDER / ".ready"
    if done.exists():
        return python.absolute()
    try:
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(_FOLDER))
        site = next(_FOLDER.glob("lib/python*/site-packages"))
        (site / "penchant.pth").write_text(f"{_ROOT}\n{sysconfig.get_path('purelib')}\n")
        _run(sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-input", *_PACKAGES)
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise PeersUnavailableError(
            f"quixstreams and bytewax could not be installed into {_FOLDER} ({said[-300:].strip()}): "
            "they need a package index; without one, leave them out with --without quixstreams --without bytewax"
        ) from error
    done.touch()
    return python.absolute()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command line


@contextmanager
def running(contestant: Contestant, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The contestant as a process; killed at the end, for its groups are never used again."""
    python = str(foreign_python()) if contestant.foreign else sys.executable
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [python, "-m", contestant.module, *contestant.arguments],
            env={**os.environ, **environment, "PYTHONPATH": str(_ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        except ContestantFailedError as failure:
            process.kill()
            log.seek(0)
            tail = log.read()[-_LOG_TAIL:].decode(errors="replace")
            raise ContestantFailedError(f"{contestant.name}: {failure}; its log ends with:\n{tail}") from failure
        finally:
            process.kill()
            process.wait()
