"""What a process has cost so far. Linux only: /proc is asked, which costs the process nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """CPU seconds of worker, Redis and broker at one instant (``at``, monotonic seconds), and events applied."""

    at: float
    events: int
    worker: float
    redis: float
    broker: float


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, in steps of a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_bytes(pid: int) -> int:
    """The memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
