"""A worker whose wall clock is wrong: ``python -m tests.faults.skewed SECONDS``. Its monotonic clock is right."""

import sys
import time


def main() -> None:
    """Set the clock of this process off, then be a worker."""
    seconds = float(sys.argv[1])
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + round(seconds * 1e9)
    from streams.cli import main as penchant  # after that: who imports the clock by name gets the wrong one

    sys.argv = ["penchant", "worker"]
    penchant()


if __name__ == "__main__":
    main()
