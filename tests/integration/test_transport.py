"""The record-batch transport on brokers: nothing lost, nothing overtaken, whatever becomes of the workers."""

import contextlib
import subprocess
import sys
import time
import uuid

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

PARTITIONS = 4
RECORDS = 12_000
DEADLINE_SECONDS = 60


class Log:
    """A topic of its own, full of records, and the ledger of what workers did with them."""

    def __init__(self, broker, folder):
        self.bootstrap = broker.bootstrap
        self.topic = f"transport-{uuid.uuid4().hex[:8]}"
        self.group = f"group-{self.topic}"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.sent = 0
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        admin.create_topics({self.topic: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        admin.close()

    def produce(self, number):
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        for n in range(self.sent, self.sent + number):
            producer.send(self.topic, value=b"%d" % n, partition=n % PARTITIONS)
        producer.flush(timeout=30)
        producer.close()
        self.sent += number

    @contextlib.contextmanager
    def worker(self, pause=0.02, *options):
        command = [sys.executable, "-m", "tests.integration.transport_worker"]
        process = subprocess.Popen(
            [*command, self.bootstrap, self.group, self.topic, str(self.ledger), str(pause), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def lines(self):
        return [tuple(map(int, line.split())) for line in self.ledger.read_text().splitlines()]

    def applied(self):
        """Records applied at least once. Fails where a batch was applied ahead of records before it."""
        position = dict.fromkeys(range(PARTITIONS), 0)
        for partition, first, last, _ in self.lines():
            assert first <= position[partition], f"{position[partition]}..{first} of partition {partition} overtaken"
            position[partition] = max(position[partition], last + 1)
        return sum(position.values())

    def committed(self):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            offsets = admin.list_group_offsets([self.group])[self.group]
        finally:
            admin.close()
        return sum(offset.offset for partition, offset in offsets.items() if partition.topic == self.topic)

    def wait_for(self, records, done=None):
        done, deadline = done or self.applied, time.monotonic() + DEADLINE_SECONDS
        while done() < records:
            assert time.monotonic() < deadline, f"{done()} of {records} records after {DEADLINE_SECONDS} s"
            time.sleep(0.1)


@pytest.fixture
def log(broker, tmp_path):
    return Log(broker, tmp_path)


def test_a_joining_worker_one_that_is_killed_and_one_that_is_stopped(log):
    log.produce(RECORDS)
    with log.worker() as first:
        log.wait_for(RECORDS // 6)
        with log.worker() as second:
            log.produce(RECORDS)
            first.kill()
            assert log.applied() < log.sent, "the worker was killed too late to show anything"
            log.wait_for(log.sent)
            assert {pid for *_, pid in log.lines()} == {first.pid, second.pid}
            second.terminate()
            assert second.wait(20) == 0
    assert log.applied() == log.sent
    assert log.committed() == log.sent, "a worker that is stopped in good order commits what it has done"


def test_a_rebalance_that_comes_while_the_last_one_still_seeks(log):
    """Faust then lets records flow in between, and empties the agents' queues once more when the second seek ends."""
    log.produce(RECORDS // 2)
    with log.worker(0.1, "overlap"):
        log.wait_for(RECORDS // 50)
        with log.worker() as second:
            second.terminate()
            second.wait(20)
        log.wait_for(log.sent)
        log.wait_for(log.sent, log.committed)
