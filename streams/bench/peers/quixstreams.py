"""Quix Streams: a batching sink, which is its way to write many records at once."""

import asyncio

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from streams.bench.peers.job import SESSION_SECONDS, ClickJob


class ProfileSink(BatchingSink):
    """Writes what was collected between two checkpoints, partition by partition."""

    def __init__(self, job: ClickJob) -> None:
        super().__init__()
        self._job = job
        self._runner = asyncio.Runner()

    def setup(self) -> None:
        """Load the functions before the first record."""
        self._runner.run(self._job.start())

    def write(self, batch: SinkBatch) -> None:
        """One partition's records since the last checkpoint."""
        self._runner.run(self._job.do(batch.partition, list(batch)))


def main() -> None:
    """Run until killed."""
    job = ClickJob()
    app = Application(
        broker_address=job.settings.kafka_bootstrap,
        consumer_group=job.settings.consumer_group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_every=job.batch,
        commit_interval=5.0,
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": round(SESSION_SECONDS * 1000)},
    )
    clicks = app.dataframe(app.topic(job.topic, key_deserializer="bytes", value_deserializer="bytes"))
    clicks.sink(ProfileSink(job))
    app.run()


if __name__ == "__main__":
    main()
