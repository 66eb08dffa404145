"""Clicks from Kafka to Redis, side by side: the worker, a loop without a framework, and the peers."""

import time
from collections.abc import Callable, Collection, Sequence
from statistics import median
from typing import Any

from .contestants import CONTESTANTS, OURS, by_name, foreign_python
from .ground import Run, prepared
from .workload import Workload

NOTE = (
    "Everyone runs the same decoder, item lookup, planning, store and Redis function on the same preloaded clicks; "
    "profile updates and evidence are off; garbage collection is tuned for all. Faust, quixstreams and we commit, "
    "the loop commits every second, bytewax does not."
)


def measure(
    *,
    events: int,
    rounds: int,
    batches: Sequence[int],
    longest_seconds: float,
    without: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Alternating runs of all contestants but ``without``; medians of the ratios ours to theirs, round by round.

    ``ratios`` are those of the first batch size, ``ratios_by_batch`` all of them.
    """
    peers = [c for c in CONTESTANTS if c.name != OURS and c.name not in without]
    if any(peer.foreign for peer in peers):
        tell("setting up the peers' environment")
        foreign_python()
    workload = Workload(events, until_ms=int(time.time() * 1000))
    runs: dict[int, list[dict[str, Run]]] = {batch: [] for batch in batches}
    tell(f"publishing {events} clicks")
    with prepared(workload) as ground:
        for number in range(rounds):
            for batch in batches:
                entrants = [by_name(OURS), *(p for p in peers if p.batches or batch == batches[0])]
                turn = number % len(entrants)
                results = {}
                for contestant in (*entrants[turn:], *entrants[:turn]):
                    run = ground.run(contestant, batch, longest_seconds)
                    results[contestant.name] = run
                    tell(
                        f"round {number + 1}, batches of {run.batch}: {contestant.name} {run.throughput:,.0f} "
                        f"events/s, worker {run.worker_us:.1f} us, Redis {run.redis_us:.1f} us"
                    )
                runs[batch].append(results)
    ratios = {str(batch): _ratios(rounds_of) for batch, rounds_of in runs.items()}
    return {
        "ratios": ratios[str(batches[0])],
        "ratios_by_batch": ratios,
        "medians": {str(batch): _medians(rounds_of) for batch, rounds_of in runs.items()},
        "runs": [run.as_dict() for rounds_of in runs.values() for results in rounds_of for run in results.values()],
        "workload": {"users": workload.users, "partitions": workload.partitions, "skew": workload.skew},
        "note": NOTE,
    }


def _ratios(rounds: Sequence[dict[str, Run]]) -> dict[str, dict[str, float]]:
    names = [name for name in rounds[0] if name != OURS]
    return {
        name: {
            "throughput": median(r[OURS].throughput / r[name].throughput for r in rounds),
            "worker_cpu": median(r[OURS].worker_us / r[name].worker_us for r in rounds),
            "redis_cpu": median(r[OURS].redis_us / r[name].redis_us for r in rounds),
        }
        for name in names
    }


def _medians(rounds: Sequence[dict[str, Run]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            figure: median(getattr(r[name], figure) for r in rounds)
            for figure in ("throughput", "worker_us", "redis_us", "broker_us")
        }
        for name in rounds[0]
    }
