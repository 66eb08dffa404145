"""How long a worker takes from its start until its first event is applied, and what it holds in memory then."""

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

from redis import Redis

from .contestants import OURS, ContestantFailedError, by_name, running
from .ground import prepared
from .meters import resident_bytes
from .workload import Workload, applied

if TYPE_CHECKING:
    import subprocess


def measure(*, rounds: int) -> dict[str, Any]:
    """Seconds to the first applied event, and resident memory in MiB when 20,000 were applied."""
    workload = Workload(20_000, until_ms=int(time.time() * 1000))
    seconds, memory = [], []
    with prepared(workload) as ground, Redis.from_url(ground.redis.url) as redis:
        users = workload.user_names()
        for _ in range(rounds):
            ground.clear()
            started = time.monotonic()
            with running(by_name(OURS), ground.environment()) as process:
                _wait(process, 0.02, lambda: applied(redis, users) > 0)
                seconds.append(time.monotonic() - started)
                _wait(process, 0.05, lambda: applied(redis, users) >= workload.events)
                memory.append(resident_bytes(process.pid) / 2**20)
    return {"first_event_seconds": median(seconds), "worker_mib": median(memory), "runs": rounds}


def _wait(process: "subprocess.Popen[bytes]", look_seconds: float, done: Callable[[], bool]) -> None:
    while not done():
        if process.poll() is not None:
            raise ContestantFailedError(f"ended with {process.returncode}")
        time.sleep(look_seconds)
