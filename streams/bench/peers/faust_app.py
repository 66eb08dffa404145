"""A Faust app with Faust's own transport, for the two Faust contestants."""

import asyncio
import tempfile

import faust

from streams.bench.peers.job import SESSION_SECONDS, ClickJob
from streams.record_batches import FETCH_BYTES


def build_app(job: ClickJob) -> faust.App:
    """Faust's defaults, but for timeouts and the size of a fetch.

    With a session of a minute the embedded broker starts a group late.
    """
    return faust.App(
        job.settings.consumer_group,
        broker=f"kafka://{job.settings.kafka_bootstrap}",
        broker_session_timeout=SESSION_SECONDS,
        broker_rebalance_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_max_poll_records=job.batch,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        store="memory://",
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="penchant-bench-"),
    )


def run(app: faust.App, job: ClickJob) -> None:
    """Run until killed."""

    async def main() -> None:
        app.finalize()
        await job.start()
        await app.start()
        await asyncio.Event().wait()

    asyncio.run(main())
