"""What a schedule does and when: drawn from a seed, known before it begins."""

import random
from dataclasses import dataclass
from enum import StrEnum

SECONDS = 9.0
"""How long a schedule publishes and breaks things; what is out by then is mended."""


class Kind(StrEnum):
    """What can go wrong."""

    WORKER_KILL = "worker_kill"
    WORKER_TERM = "worker_term"
    WORKER_JOIN = "worker_join"
    WORKER_PAUSE = "worker_pause"
    CLOCK_SKEW = "clock_skew"
    REDIS_KILL = "redis_kill"
    REDIS_RESTART = "redis_restart"
    REDIS_RESET = "redis_reset"
    REDIS_STALL = "redis_stall"
    REDIS_REFUSE = "redis_refuse"
    BROKER_KILL = "broker_kill"
    BROKER_RESTART = "broker_restart"
    BROKER_RESET = "broker_reset"
    BROKER_STALL = "broker_stall"
    BROKER_REFUSE = "broker_refuse"
    LEADER_KILL = "leader_kill"
    COORDINATOR_KILL = "coordinator_kill"
    CONTROLLER_KILL = "controller_kill"
    OFFSETS_LOST = "offsets_lost"
    VLLM_BUSY = "vllm_busy"
    VLLM_UNAVAILABLE = "vllm_unavailable"
    VLLM_BROKEN = "vllm_broken"
    VLLM_GARBAGE = "vllm_garbage"
    VLLM_CUT_OFF = "vllm_cut_off"
    VLLM_CUT_OFF_EARLY = "vllm_cut_off_early"
    VLLM_WHITE_SPACE = "vllm_white_space"
    VLLM_NOT_EVEN_JSON = "vllm_not_even_json"
    VLLM_SLOW = "vllm_slow"
    VLLM_SILENT = "vllm_silent"


VLLM = tuple(kind for kind in Kind if kind.startswith("vllm_"))
"""What only happens where the workers read with vLLM."""

_LONGEST = {
    Kind.WORKER_KILL: 3.0,
    Kind.WORKER_TERM: 3.0,
    Kind.WORKER_JOIN: 8.0,
    Kind.WORKER_PAUSE: 14.0,  # longer than the session: the paused one comes back as a zombie
    Kind.CLOCK_SKEW: 10.0,
    Kind.REDIS_KILL: 4.0,
    Kind.REDIS_STALL: 6.0,
    Kind.REDIS_REFUSE: 4.0,
    Kind.BROKER_KILL: 3.0,
    Kind.BROKER_STALL: 8.0,
    Kind.BROKER_REFUSE: 5.0,
    Kind.LEADER_KILL: 6.0,
    Kind.COORDINATOR_KILL: 6.0,
    Kind.CONTROLLER_KILL: 6.0,
    **dict.fromkeys(VLLM, 6.0),
}
_RARE = {Kind.BROKER_KILL, Kind.BROKER_RESTART, Kind.OFFSETS_LOST}
_DURABLE_BROKER_ONLY = {Kind.BROKER_KILL, Kind.BROKER_RESTART}
_CLUSTER_ONLY = {Kind.LEADER_KILL, Kind.COORDINATOR_KILL, Kind.CONTROLLER_KILL}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong ``at`` seconds into the schedule, for ``seconds``."""

    at: float
    kind: Kind
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:.1f}s {self.kind}" + (f" for {self.seconds:.1f}s" if self.seconds else "")


@dataclass(frozen=True)
class Schedule:
    """One run: how many events, over how many seconds, and what goes wrong meanwhile."""

    seed: int
    events: int
    seconds: float
    faults: tuple[Fault, ...]


def draw(
    seed: int,
    *,
    durable_broker: bool,
    cluster: bool = False,
    vllm: bool = False,
    events: int | None = None,
    seconds: float = SECONDS,
) -> Schedule:
    """The schedule of a seed. The embedded broker forgets when it ends, so only a durable one is restarted."""
    rng = random.Random(seed)
    impossible = {*_DURABLE_BROKER_ONLY} if not durable_broker else set()
    impossible |= set() if cluster else _CLUSTER_ONLY
    kinds = [kind for kind in Kind if kind not in impossible and (vllm or kind not in VLLM)]
    odds = [0.4 if kind in _RARE else 2.0 if kind in {*VLLM, *_CLUSTER_ONLY} else 1.0 for kind in kinds]
    number = rng.randint(3, 7)
    faults = [
        Fault(rng.uniform(0.3, seconds - 1), kind, rng.uniform(0.2, _LONGEST[kind]) if kind in _LONGEST else 0.0)
        for kind in rng.choices(kinds, odds, k=number)
    ]
    faults.sort(key=lambda fault: fault.at)
    return Schedule(seed, events or rng.randint(1500, 4000), seconds, tuple(faults))
