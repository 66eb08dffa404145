"""How the cost of an event grows: with users, profiles, interests, partitions, workers, skew and batch size."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .contestants import OURS, by_name
from .ground import prepared
from .workload import ITEMS, Workload

_FEW_USERS = 200


@dataclass(frozen=True, slots=True)
class _Variant:
    """One point of one dimension: the clicks, and how they are worked on."""

    workload: Workload
    batch: int
    workers: int = 1
    others: int = 0
    settings: dict[str, str] = field(default_factory=dict)


def measure(
    *, events: int, users: tuple[int, ...], batch: int, longest_seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """The worker alone, one dimension at a time; CPU of workers and Redis in microseconds an event.

    More users on the same number of events also means fewer events of one user in a batch, which is most of what a
    small batch then costs. What the size of the keyspace costs shows where the same users' clicks meet a Redis with
    the profiles of ``others``: as many as the most ``users``. Interests are varied over 200 users, who come to have as
    many as ``events`` allow.
    """
    rows = {}
    for name, variant in _variants(events, users, batch).items():
        with prepared(variant.workload) as ground:
            run = ground.run(
                by_name(OURS),
                variant.batch,
                longest_seconds,
                workers=variant.workers,
                others=variant.others,
                **variant.settings,
            )
        rows[name] = run.as_dict()
        tell(f"{name}: {run.throughput:,.0f} events/s, worker {run.worker_us:.1f} us, Redis {run.redis_us:.1f} us")
    return rows


def _variants(events: int, users: tuple[int, ...], batch: int) -> dict[str, _Variant]:
    base = Workload(events, until_ms=int(time.time() * 1000))
    few = replace(base, users=_FEW_USERS)
    return {
        **{f"users={n}": _Variant(replace(base, users=n), batch) for n in users},
        **{f"others={n}": _Variant(base, batch, others=n) for n in (0, max(users))},
        **{
            f"interests={n}": _Variant(
                replace(few, taste=n, items=max(ITEMS, n)), batch, settings={"MAX_INTERESTS": "5000"}
            )
            for n in (10, 50, 200, 1000)
        },
        **{f"partitions={n}": _Variant(replace(base, partitions=n), batch) for n in (1, 16)},
        **{f"workers={n}": _Variant(base, batch, workers=n) for n in (1, 2)},
        **{f"skew={s}": _Variant(replace(base, skew=s), batch) for s in (0.0, 1.2)},
        **{f"batch={n}": _Variant(base, n) for n in (100, 500, 5000)},
    }
