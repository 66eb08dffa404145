"""Faust as its documentation begins: an agent, one event at a time."""

from typing import TYPE_CHECKING

from streams.bench.peers.faust_app import build_app, run
from streams.bench.peers.job import ClickJob, Record

if TYPE_CHECKING:
    import faust

job = ClickJob()
app = build_app(job)


@app.agent(app.topic(job.topic, key_serializer="raw", value_serializer="raw"))
async def count(clicks: "faust.StreamT[bytes]") -> None:
    """Each click, by itself."""
    async for event in clicks.events():
        message = event.message
        record = Record(message.value, message.key, message.offset, round(message.timestamp * 1000))
        await job.do(message.partition, [record])


if __name__ == "__main__":
    run(app, job)
