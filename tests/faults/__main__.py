"""``python -m tests.faults``: schedules of faults on real parts, judged by the oracle. Exits 1 where one failed."""

import argparse
import sys
import time
from functools import partial

from tests.faults.ground import BROKERS
from tests.faults.report import report
from tests.faults.run import Wish, run


def main() -> int:
    """Run what the command line asks for and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schedule")
    parser.add_argument("--schedules", type=int, default=200, help="how many, with the seeds that follow")
    parser.add_argument("--broker", choices=BROKERS, default="embedded", help="all but embedded need KAFKA_HOME, Java")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no schedule after that time")
    parser.add_argument("--extraction", choices=("embedded", "vllm"), default="embedded", help="vllm: a stand-in")
    parser.add_argument("--events", type=int, help="events in each schedule, instead of 1500 to 4000")
    arguments = parser.parse_args()
    say = partial(print, flush=True)
    began = time.monotonic()
    wish = Wish(arguments.broker, arguments.extraction == "vllm", arguments.events)
    outcomes = run(wish, arguments.seed, arguments.schedules, minutes=arguments.minutes, say=say)
    say(report(arguments.broker, outcomes, time.monotonic() - began))
    return 0 if outcomes and all(o.verdict.good for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
