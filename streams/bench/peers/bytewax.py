"""Bytewax: its Kafka source, and a sink that writes the batches that arrive together."""

import asyncio
from collections import defaultdict
from typing import Any

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from streams.bench.peers.job import ClickJob, Record


class _Writer(StatelessSinkPartition[Any]):
    def __init__(self, job: ClickJob) -> None:
        self._job = job
        self._runner = asyncio.Runner()
        self._runner.run(job.start())

    def write_batch(self, items: list[Any]) -> None:
        by_partition = defaultdict(list)
        for message in items:
            by_partition[message.partition].append(
                Record(message.value, message.key, message.offset, message.timestamp[1])
            )
        for partition, records in by_partition.items():
            self._runner.run(self._job.do(partition, records))


class ProfileSink(DynamicSink[Any]):
    """The sink of one worker."""

    def __init__(self, job: ClickJob) -> None:
        self._job = job

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Writer:  # noqa: ARG002 - bytewax's signature
        """One writer for the one worker."""
        return _Writer(self._job)


def main() -> None:
    """Run until killed. Bytewax keeps no positions of its own here, and commits nothing."""
    job = ClickJob()
    flow = Dataflow("clicks")
    source = KafkaSource([job.settings.kafka_bootstrap], [job.topic], tail=True, batch_size=job.batch)
    op.output("profiles", op.input("kafka", flow, source), ProfileSink(job))
    run_main(flow)


if __name__ == "__main__":
    main()
