"""Faust with its own batching: ``take_events``."""

from collections import defaultdict
from typing import TYPE_CHECKING

from streams.bench.peers.faust_app import build_app, run
from streams.bench.peers.job import ClickJob, Record

if TYPE_CHECKING:
    import faust

_WITHIN_SECONDS = 0.5

job = ClickJob()
app = build_app(job)


@app.agent(app.topic(job.topic, key_serializer="raw", value_serializer="raw"))
async def count(clicks: "faust.StreamT[bytes]") -> None:
    """As many clicks as a record batch holds, grouped by partition."""
    async for events in clicks.take_events(job.batch, within=_WITHIN_SECONDS):
        records = defaultdict(list)
        for event in events:
            message = event.message
            records[message.partition].append(
                Record(message.value, message.key, message.offset, round(message.timestamp * 1000))
            )
        for partition, batch in records.items():
            await job.do(partition, batch)


if __name__ == "__main__":
    run(app, job)
