"""Measurements that would be wrong or never end: full batches, a load or a worker that ends."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from streams.bench import freshness, startup
from streams.bench.contestants import ContestantFailedError
from streams.bench.workload import send_in_batches


class Producer:
    """Its batches hold two records."""

    def __init__(self, **options):
        self.sent = []

    def create_batch(self):
        records = []

        def append(key, value, timestamp):
            return None if len(records) == 2 else records.append(key) or records

        return SimpleNamespace(append=append, records=records)

    async def send_batch(self, batch, topic, *, partition):
        self.sent.append((partition, batch.records))

    async def start(self):
        pass

    async def stop(self):
        pass


async def test_records_beyond_a_full_batch_go_into_the_next():
    producer = Producer()
    await send_in_batches(producer, "t", [(n % 2, n, b"") for n in range(8)])
    assert producer.sent == [(0, [0, 2]), (1, [1, 3]), (0, [4, 6]), (1, [5, 7])]


async def test_a_load_that_ended_is_no_measurement(monkeypatch):
    async def end_at_once(*_):
        raise ConnectionError("gone")

    async def no_broker(*_):
        pass

    for name, value in {
        "AIOKafkaProducer": Producer,
        "running": lambda *_: nullcontext(),
        "_keep_sending": end_at_once,
        "_begin_at_the_end": no_broker,
        "_DRAINED_PROBES": 0,
        "_WARM_SECONDS": 0.01,
    }.items():
        monkeypatch.setattr(freshness, name, value)
    ground = SimpleNamespace(
        clear=lambda: None,
        environment=dict,
        broker=SimpleNamespace(bootstrap=""),
        redis=SimpleNamespace(url="redis://nowhere"),
        workload=None,
    )
    with pytest.raises(ContestantFailedError, match="gone"):
        async with freshness._live(ground, 1.0):
            pass


def test_a_worker_that_ended_is_not_waited_for():
    ended = SimpleNamespace(poll=lambda: 3, returncode=3)
    with pytest.raises(ContestantFailedError, match="ended with 3"):
        startup._wait(ended, 0.01, lambda: False)
