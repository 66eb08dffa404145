"""One schedule, carried out: events are published while things go wrong; then all is mended, and judged."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.faults.crew import Crew
from tests.faults.ground import Ends, Ground
from tests.faults.plan import VLLM, Fault, Kind, Schedule
from tests.faults.referee import Verdict, judge
from tests.faults.story import Story

CALM_SECONDS = 180.0
CALM_SECONDS_EMBEDDED = 480.0
"""The embedded broker now and then keeps a leader in the group that is gone, and lets nobody in for six minutes."""

_TICK = 0.03
_LARGEST_SKEW_POWER = 6  # of ten, in seconds: eleven days


@dataclass
class Outcome:
    """What a schedule did and what came of it. ``recoveries`` are (kind, seconds)."""

    schedule: Schedule
    verdict: Verdict
    recoveries: list[tuple[Kind, float]] = field(default_factory=list)
    drained: float = 0.0


@dataclass
class _Wound:
    """A fault that is over, and the records that were in the log by then."""

    kind: Kind
    over: float
    ends: Ends


class Stage:
    """Breaks and mends; one for each schedule."""

    def __init__(self, ground: Ground, crew: Crew, schedule: Schedule) -> None:
        self._ground = ground
        self._crew = crew
        self._schedule = schedule
        self._rng = random.Random(schedule.seed + 1)
        self._wounds: list[_Wound] = []
        self.recoveries: list[tuple[Kind, float]] = []

    def play(self, story: Story) -> Outcome:
        """Carry the schedule out and judge it."""
        failures: list[BaseException] = []
        publishing = threading.Thread(target=self._publish, args=(story, failures), daemon=True)
        publishing.start()
        began = time.monotonic()
        due = [(fault.at, fault, None) for fault in self._schedule.faults]
        while due or time.monotonic() - began < self._schedule.seconds:
            now = time.monotonic() - began
            for entry in [entry for entry in due if entry[0] <= now]:
                due.remove(entry)
                _, fault, ending = entry
                if ending is None:
                    ending = self._break(fault)
                    if ending is not None and fault.seconds:
                        due.append((fault.at + fault.seconds, fault, ending))
                else:
                    ending()
                    self._over(fault)
            self._look()
            time.sleep(_TICK)
        self._ground.mend()
        self._crew.fill()
        verdict, drained = self._await_calm(publishing, failures)
        if verdict is None:
            verdict = judge(self._ground, story)
        verdict.findings += self._crew.complaints
        self._crew.complaints.clear()
        return Outcome(self._schedule, verdict, self.recoveries, drained)

    def _publish(self, story: Story, failures: list[BaseException]) -> None:
        try:
            self._ground.log.publish(story.messages, self._schedule.seconds)
        except BaseException as error:  # noqa: BLE001 - told in the verdict
            failures.append(error)

    def _await_calm(self, publishing: threading.Thread, failures: list[BaseException]) -> tuple[Verdict | None, float]:
        began = time.monotonic()
        log = self._ground.log
        patience = CALM_SECONDS if self._ground.durable_broker else CALM_SECONDS_EMBEDDED
        while publishing.is_alive() or failures or log.behind(log.ends):
            self._crew.fill()
            self._look()
            waited = time.monotonic() - began
            if failures or waited > patience:
                reason = (
                    failures[0] if failures else f"{log.behind(log.ends)} records are not done after {waited:.0f} s"
                )
                logs = "\n".join(hand.tail() for hand in self._crew.hands)
                return Verdict(lost=log.behind(log.ends), findings=[f"stuck: {reason}\n{logs}"]), waited
            time.sleep(_TICK)
        self._look()
        return None, time.monotonic() - began

    def _look(self) -> None:
        self._crew.tend()
        for wound in list(self._wounds):
            if not self._ground.log.behind(wound.ends):
                self.recoveries.append((wound.kind, time.monotonic() - wound.over))
                self._wounds.remove(wound)

    def _over(self, fault: Fault) -> None:
        self._wounds.append(_Wound(fault.kind, time.monotonic(), dict(self._ground.log.ends)))

    def _break(self, fault: Fault) -> Callable[[], object] | None:
        """Begin a fault; returns what ends it. One that is over at once is noted as over."""
        ground, kind = self._ground, fault.kind
        redis, broker = ground.redis_proxy, ground.broker_proxy
        cluster = ground.cluster
        lasting: dict[Kind, tuple[Callable[[], object], Callable[[], object]]] = {
            Kind.REDIS_KILL: (ground.redis_server.kill, ground.redis_server.start),
            Kind.BROKER_KILL: (ground.broker.kill, ground.broker.start),
            Kind.REDIS_STALL: (partial(redis.stall, on=True), partial(redis.stall, on=False)),
            Kind.BROKER_STALL: (partial(broker.stall, on=True), partial(broker.stall, on=False)),
            Kind.REDIS_REFUSE: (partial(redis.refuse, on=True), partial(redis.refuse, on=False)),
            Kind.BROKER_REFUSE: (partial(broker.refuse, on=True), partial(broker.refuse, on=False)),
        }
        if cluster is not None:
            lasting |= {
                Kind.LEADER_KILL: (cluster.kill_leader, cluster.start),
                Kind.COORDINATOR_KILL: (partial(cluster.kill_coordinator, ground.group), cluster.start),
                Kind.CONTROLLER_KILL: (cluster.kill_controller, cluster.start),
            }
        momentary: dict[Kind, Callable[[], object]] = {
            Kind.REDIS_RESTART: ground.redis_server.restart,
            Kind.BROKER_RESTART: ground.broker.restart,
            Kind.REDIS_RESET: redis.reset,
            Kind.BROKER_RESET: broker.reset,
            Kind.OFFSETS_LOST: self._lose_offsets,
        }
        if ground.vllm is not None and kind in VLLM:
            ground.vllm.shape(kind.removeprefix("vllm_"))
            return partial(ground.vllm.shape, "ok")
        if kind in momentary:
            momentary[kind]()
            self._over(fault)
            return None
        if kind not in lasting:
            return self._hurt_worker(fault)
        begin, end = lasting[kind]
        begin()
        return end

    def _hurt_worker(self, fault: Fault) -> Callable[[], object] | None:
        crew = self._crew
        if fault.kind is Kind.WORKER_JOIN:
            return partial(crew.dismiss, crew.hire())
        hand = crew.pick(self._rng)
        if hand is None:
            return None
        if fault.kind is Kind.WORKER_PAUSE:
            crew.pause(hand)
            return partial(crew.resume, hand)
        if fault.kind is Kind.CLOCK_SKEW:
            crew.dismiss(hand)
            off = self._rng.choice((-1, 1)) * 10 ** self._rng.uniform(0, _LARGEST_SKEW_POWER)
            return partial(crew.dismiss, crew.hire(off))
        end = crew.kill if fault.kind is Kind.WORKER_KILL else crew.dismiss
        end(hand)
        return crew.hire

    def _lose_offsets(self) -> None:
        """All workers go; those that follow are of a group that has no offsets and reads the log from its start."""
        for hand in list(self._crew.hands):
            self._crew.kill(hand)
        self._ground.group += "+"
        self._ground.log.new_group()
        self._crew.environment = self._ground.environment()
        self._crew.fill()
