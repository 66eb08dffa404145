"""The straight line: poll, decode, plan, write, one write a partition in flight while the next batch is decoded."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.bench.peers.job import SESSION_SECONDS, ClickJob
from streams.record_batches import FETCH_BYTES, FETCH_WAIT_MS

_COMMIT_SECONDS = 1.0


async def main() -> None:
    """Run until killed."""
    job = ClickJob()
    consumer = AIOKafkaConsumer(
        job.topic,
        bootstrap_servers=job.settings.kafka_bootstrap,
        group_id=job.settings.consumer_group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        session_timeout_ms=round(SESSION_SECONDS * 1000),
    )
    await consumer.start()
    await job.start()
    writing: dict[TopicPartition, tuple[asyncio.Task[None], int]] = {}
    done: dict[TopicPartition, int] = {}
    committed_at = time.monotonic()
    while True:
        for partition, records in (await consumer.getmany(timeout_ms=200, max_records=job.batch)).items():
            observations = await job.read(partition.partition, records)
            if partition in writing:
                task, end = writing[partition]
                await task
                done[partition] = end
            task = asyncio.create_task(job.write(partition.partition, observations))
            writing[partition] = (task, records[-1].offset + 1)
        if done and time.monotonic() - committed_at > _COMMIT_SECONDS:
            await consumer.commit(done)
            done, committed_at = {}, time.monotonic()


if __name__ == "__main__":
    asyncio.run(main())
