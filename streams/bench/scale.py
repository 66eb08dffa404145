"""How the cost of an event grows: with users, interests a user, partitions, workers and batch size."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .contestants import OURS, by_name
from .ground import prepared
from .workload import Workload


def measure(
    *, events: int, users: tuple[int, ...], batch: int, longest_seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """The worker alone, one dimension at a time; CPU of worker and Redis in microseconds an event.

    More users on the same number of events also means fewer events of one user in a batch.
    """
    base = Workload(events, until_ms=int(time.time() * 1000))
    variants: dict[str, tuple[Workload, int]] = {
        **{f"users={n}": (replace(base, users=n), batch) for n in users},
        **{f"interests={n}": (replace(base, taste=n, items=max(200, n)), batch) for n in (5, 50, 200)},
        **{f"partitions={n}": (replace(base, partitions=n), batch) for n in (1, 16)},
        **{f"skew={s}": (replace(base, skew=s), batch) for s in (0.0, 1.2)},
        **{f"batch={n}": (base, n) for n in (100, 500, 5000)},
    }
    rows = {}
    for name, (workload, size) in variants.items():
        with prepared(workload) as ground:
            run = ground.run(by_name(OURS), size, longest_seconds)
        rows[name] = run.as_dict()
        tell(f"{name}: {run.throughput:,.0f} events/s, worker {run.worker_us:.1f} us, Redis {run.redis_us:.1f} us")
    return {"base": {"users": base.users, "batch": batch, "partitions": base.partitions}, "rows": rows}
