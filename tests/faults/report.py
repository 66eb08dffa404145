"""What a run of schedules amounts to."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from tests.faults.plan import Kind
from tests.faults.schedule import Outcome


def report(broker: str, outcomes: Sequence[Outcome], seconds: float) -> str:
    """The report of a run, for people."""
    faults = Counter(fault.kind for o in outcomes for fault in o.schedule.faults)
    rejected: Counter[str] = Counter()
    recoveries: dict[Kind, list[float]] = defaultdict(list)
    for outcome in outcomes:
        rejected += outcome.verdict.rejected
        for kind, taken in outcome.recoveries:
            recoveries[kind].append(taken)
    total = {name: sum(getattr(o.verdict, name) for o in outcomes) for name in ("events", "duplicates", "lost", "doubled")}
    failed = [o.schedule.seed for o in outcomes if not o.verdict.good]
    worst = max((taken for all_ in recoveries.values() for taken in all_), default=0.0)
    lines = [
        f"broker {broker}: {len(outcomes)} schedules, {sum(faults.values())} faults, {seconds / 60:.1f} minutes",
        f"events {total['events']}, of them {total['duplicates']} duplicates; "
        f"rejected with a reason {sum(rejected.values())} ({', '.join(f'{r} {n}' for r, n in sorted(rejected.items()))})",
        f"lost {total['lost']}, doubled {total['doubled']}, failed schedules {len(failed)} {failed or ''}",
        f"recoveries {sum(map(len, recoveries.values()))}, worst {worst:.1f} s "
        "(from the end of a fault until all that was in the log is done, faults that overlap included)",
    ]
    for kind, count in sorted(faults.items()):
        taken = recoveries[kind] or [0.0]
        lines.append(f"  {kind:16} {count:4}   recovery: median {median(taken):5.1f} s, worst {max(taken):5.1f} s")
    return "\n".join(lines)
