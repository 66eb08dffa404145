"""A worker for the transport's tests: writes one line a batch to a ledger, then acknowledges. Run as a module.

python -m tests.integration.transport_worker BOOTSTRAP GROUP TOPIC LEDGER SECONDS_PER_BATCH [overlap]
"""

import asyncio
import logging
import os
import sys

from streams.app import build_app, run_app
from streams.lanes import Lanes
from streams.outage_log import OutageFilter
from streams.settings import Settings
from streams.transport import RecordBatchConsumer

MAX_POLL_RECORDS = 200


def main() -> None:
    bootstrap, group, topic, ledger_path, pause, *overlap = sys.argv[1:]
    if overlap:
        overlap_rebalances()
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OutageFilter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    ledger = os.open(ledger_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(line: str) -> None:
        os.write(ledger, f"{line}\n".encode())

    async def prepare(batch):
        await asyncio.sleep(0)
        return batch

    async def apply(batch):
        await asyncio.sleep(float(pause))
        note(f"{batch.partition} {batch.records[0].offset} {batch.records[-1].offset} {os.getpid()}")

    async def run():
        lanes = Lanes(prepare, apply, max_in_flight=2 if overlap else 8)  # two: the agents' queues fill
        settings = Settings(kafka_bootstrap=bootstrap, consumer_group=group, max_poll_records=MAX_POLL_RECORDS)
        await run_app(build_app(settings, {topic: lanes}), ready=lambda: print("ready", flush=True))

    asyncio.run(run())


def overlap_rebalances() -> None:
    """The seek after the second assignment ends only once that is revoked, as with a coordinator that is away."""
    seek, revoke = RecordBatchConsumer.seek_to_committed, RecordBatchConsumer.on_partitions_revoked
    seeks, revoked = iter(range(100)), asyncio.Event()

    async def slow_seek(self):
        number = next(seeks)
        if number == 1:
            await revoked.wait()
        offsets = await seek(self)
        if number > 1:
            await asyncio.sleep(2)
        return offsets

    async def slow_revoke(self, partitions):
        await revoke(self, partitions)
        if seeks.__length_hint__() < 99:
            revoked.set()
            await asyncio.sleep(1)

    RecordBatchConsumer.seek_to_committed, RecordBatchConsumer.on_partitions_revoked = slow_seek, slow_revoke


if __name__ == "__main__":
    main()
