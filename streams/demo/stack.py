"""What the demo runs on: embedded servers and the production worker, each a child process."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from streams.embedded import EmbeddedBroker, EmbeddedRedis
from streams.settings import PREFIX, Settings, load_settings

_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0
_OUTCOMES = ("applied", "duplicates", "replayed", "rejected")


class WorkerFailedError(RuntimeError):
    """The worker ended or did not become ready."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running demo: its settings, and the worker's web address."""

    settings: Settings
    web: str
    worker: "subprocess.Popen[str]"

    def metrics(self) -> dict[str, float]:
        """The worker's metrics: name with labels, as Prometheus writes it, to value."""
        return metrics_of(self.web)

    def check(self) -> None:
        """Raise WorkerFailedError where the worker has ended."""
        if self.worker.poll() is not None:
            raise WorkerFailedError(f"the worker ended with {self.worker.returncode}; its messages are above")

    def done(self) -> int:
        """How many records have come to an end: applied, recognised as duplicates, replayed or rejected."""
        self.check()
        return round(
            sum(
                value
                for name, value in self.metrics().items()
                if name.startswith("penchant_events_total") and any(f'outcome="{o}"' in name for o in _OUTCOMES)
            )
        )


def metrics_of(web: str, timeout_seconds: float = 10.0) -> dict[str, float]:
    """The metrics of the worker at that address, as :meth:`Stack.metrics`. Raises OSError where it does not answer."""
    with urllib.request.urlopen(f"{web}/metrics", timeout=timeout_seconds) as response:  # noqa: S310 - our own worker
        lines = response.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


@contextmanager
def running_stack(overrides: Mapping[str, str]) -> Iterator[Stack]:
    """Start everything; stop everything, whatever happens. ``overrides`` are settings without their prefix."""
    with EmbeddedRedis() as redis, EmbeddedBroker() as broker:
        environment = {
            "KAFKA_BOOTSTRAP": broker.bootstrap,
            "KAFKA_SECURITY": "PLAINTEXT",
            "REDIS_URL": redis.url,
            "WEB_PORT": "0",
            "PARTITIONS": "4",
            "MAX_EVENTS_PER_USER_HOUR": "0",  # a file may bring days of events within a minute
            "MAX_EVENTS_PER_ITEM_HOUR": "0",
            "LOG_LEVEL": "WARNING",
            "LOG_JSON": "false",
            **overrides,
        }
        prefixed = {PREFIX + name: value for name, value in environment.items()}
        worker = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker"],
            env={**os.environ, **prefixed},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo; it stops its worker itself
        )
        try:
            web = await_ready(worker)
            settings = load_settings(**{name.lower(): value for name, value in environment.items()})
            yield Stack(settings, web, worker)
        finally:
            worker.terminate()
            try:
                worker.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()


def await_ready(worker: "subprocess.Popen[str]") -> str:
    """The web address of a worker that was just started, once it is ready; killed where it takes too long."""
    too_long = threading.Timer(_READY_SECONDS, worker.kill)
    too_long.start()
    try:
        for line in worker.stdout or ():
            with_addresses = json.loads(line) if line.startswith("{") else {}
            if with_addresses.get("ready"):
                return str(with_addresses["web"])
    finally:
        too_long.cancel()
    raise WorkerFailedError("the worker did not become ready; its messages are above")
