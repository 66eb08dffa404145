"""How long a worker takes from its start until it is ready and until its first event is applied, and what it holds."""

import time
from statistics import median
from typing import Any

from redis import Redis

from .contestants import OURS, by_name, running
from .ground import prepared
from .meters import resident_bytes
from .workload import Workload, applied


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
                while not applied(redis, users):
                    time.sleep(0.02)
                seconds.append(time.monotonic() - started)
                while applied(redis, users) < workload.events:
                    time.sleep(0.05)
                memory.append(resident_bytes(process.pid) / 2**20)
    return {"first_event_seconds": median(seconds), "worker_mib": median(memory), "runs": rounds}
