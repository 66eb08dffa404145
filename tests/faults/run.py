"""Many schedules, several to a ground."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults.crew import Crew
from tests.faults.ground import Ground
from tests.faults.plan import SECONDS, draw
from tests.faults.referee import judge
from tests.faults.schedule import Outcome, Stage
from tests.faults.story import RULERS, Story, items, read_everything, tell
from tests.faults.vllm import unlike

SCHEDULES_PER_GROUND = 12


@dataclass(frozen=True)
class Wish:
    """What schedules are to be like: on which broker, read by whom, by how many workers, how large if not as drawn."""

    broker: str = "embedded"
    vllm: bool = False
    events: int | None = None
    seconds: float = SECONDS
    workers: int = 2


def run(
    wish: Wish,
    seed: int,
    schedules: int,
    *,
    minutes: float = float("inf"),
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Run schedules of the seeds from ``seed`` on. Begins none after ``minutes``."""
    readings = read_everything()
    deadline = time.monotonic() + minutes * 60
    outcomes: list[Outcome] = []
    seeds = list(range(seed, seed + schedules))
    while seeds and time.monotonic() < deadline:
        batch, seeds = seeds[:SCHEDULES_PER_GROUND], seeds[SCHEDULES_PER_GROUND:]
        outcomes += _on_one_ground(wish, batch, readings, deadline, say)
    return outcomes


def _on_one_ground(
    wish: Wish, seeds: list[int], readings: Mapping[str, Any], deadline: float, say: Callable[[str], None]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    played: list[tuple[Outcome, Story]] = []
    with Ground(wish.broker, vllm=wish.vllm) as ground:
        crew = Crew(ground.environment(), wanted=wish.workers)
        try:
            crew.fill()
            crew.await_ready()
            ground.log.publish(items(), 0.0)
            while ground.log.behind(ground.log.ends):
                time.sleep(0.1)
            for seed in seeds:
                if time.monotonic() > deadline:
                    break
                schedule = draw(
                    seed,
                    durable_broker=ground.durable_broker,
                    cluster=ground.cluster is not None,
                    vllm=wish.vllm,
                    events=wish.events,
                    seconds=wish.seconds,
                )
                story = tell(seed, f"s{seed}", schedule.events, readings, rulers=0 if wish.vllm else RULERS)
                if wish.vllm:
                    story.messages = unlike(story.messages)
                outcome = Stage(ground, crew, schedule).play(story)
                outcomes.append(outcome)
                played.append((outcome, story))
                say(_line(outcome, wish))
        finally:
            crew.close()
        for outcome, story in played:  # what a zombie did late would show now
            again = judge(ground, story)
            if outcome.verdict.good and not again.good:
                outcome.verdict = again
                say(_line(outcome, wish))
        if crew.complaints and outcomes:
            outcomes[-1].verdict.findings += crew.complaints
            say(_line(outcomes[-1], wish))
    return outcomes


def _line(outcome: Outcome, wish: Wish) -> str:
    verdict, schedule = outcome.verdict, outcome.schedule
    faults = ", ".join(map(str, schedule.faults))
    worst = max((seconds for _, seconds in outcome.recoveries), default=0.0)
    line = (
        f"{'ok  ' if verdict.good else 'FAIL'} seed {schedule.seed}: {verdict.events} events, lost {verdict.lost}, "
        f"doubled {verdict.doubled}, drained in {outcome.drained:.1f} s, worst recovery {worst:.1f} s; {faults}"
    )
    if verdict.good:
        return line
    extraction = " --extraction vllm" * wish.vllm + f" --events {wish.events}" * bool(wish.events)
    again = f"python -m tests.faults --broker {wish.broker}{extraction} --seed {schedule.seed} --schedules 1"
    findings = "\n".join(f"    {line}" for finding in verdict.findings for line in finding.splitlines())
    return (
        f"{line}\n    again, with the same events and faults; to the millisecond nothing is alike: {again}\n{findings}"
    )
