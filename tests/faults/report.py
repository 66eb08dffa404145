"""What a run of schedules amounts to."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median

from tests.faults.plan import Kind  # noqa: TC001 - the tests run without deferred annotations
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
    names = ("events", "duplicates", "lost", "doubled")
    total = {name: sum(getattr(o.verdict, name) for o in outcomes) for name in names}
    failed = [o.schedule.seed for o in outcomes if not o.verdict.good]
    worst = max((taken for all_ in recoveries.values() for taken in all_), default=0.0)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(rejected.items()))
    number = sum(map(len, recoveries.values()))
    lines = [
        f"broker {broker}: {len(outcomes)} schedules, {sum(faults.values())} faults, {seconds / 60:.1f} minutes",
        f"events {total['events']}, of them {total['duplicates']} duplicates",
        f"rejected, each with its reason: {sum(rejected.values())} ({reasons})",
        f"lost {total['lost']}, doubled {total['doubled']}, failed schedules {len(failed)} {failed or ''}",
        f"recoveries {number}, worst {worst:.1f} s: from the end of a fault until all that was in the log is done",
        "(faults overlap: each is charged with what follows it)",
    ]
    for kind, count in sorted(faults.items()):
        taken = recoveries[kind] or [0.0]
        lines.append(f"  {kind:16} {count:4}   recovery: median {median(taken):5.1f} s, worst {max(taken):5.1f} s")
    return "\n".join(lines)
