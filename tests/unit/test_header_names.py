"""A record whose header has a name that is no UTF-8 is read like any other, and so is what stands around it."""

import gzip
import struct

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.app import build_app
from streams.header_names import take_any_header_names
from streams.settings import Settings

FOREIGN = "größe".encode("latin-1")
_ATTRIBUTES_AT, _CRC_AT, _CHECKED_FROM, _RECORDS_AT = 22, 17, 21, 61
_GZIP = 1


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    take_any_header_names()


def batch(first, name, *, compressed=False):
    """Three records as a broker sends them; a header of the middle one has that name."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    stand_in = "x" * len(name)  # the builder would refuse the name
    for n, headers in enumerate([[], [("plain", b"1"), (stand_in, b"2"), ("none", None)], []]):
        builder.append(n, timestamp=1, key=None if n else b"k", value=b"value" + name, headers=headers)
    raw = bytearray(bytes(builder.build()).replace(stand_in.encode(), name))
    struct.pack_into(">q", raw, 0, first)
    if compressed:
        raw[_RECORDS_AT:] = gzip.compress(raw[_RECORDS_AT:])
        raw[_ATTRIBUTES_AT] |= _GZIP
        struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">I", raw, _CRC_AT, calc_crc32c(raw[_CHECKED_FROM:]))
    return bytes(raw)


def read(data, start=0):
    records = fetcher.MemoryRecords(data)
    assert records.size_in_bytes() == len(data)
    place = TopicPartition("t", 0)
    return list(fetcher.PartitionRecords(place, records, [], start, None, None, True, fetcher.READ_UNCOMMITTED))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("start", [0, 1])
def test_a_foreign_name_holds_up_neither_its_record_nor_the_others(start, compressed):
    data = batch(0, FOREIGN, compressed=compressed) + batch(3, b"plain") + batch(6, FOREIGN, compressed=compressed)
    came = read(data, start)
    assert [record.offset for record in came] == list(range(start, 9))
    foreign = (("plain", b"1"), ("gr??e", b"2"), ("none", None))
    ours = (("plain", b"1"), ("plain", b"2"), ("none", None))
    assert [record.headers for record in came if record.headers] == [foreign, ours, foreign]
    assert {record.value for record in came} == {b"value" + FOREIGN, b"valueplain"}


def test_a_name_in_any_script_stays_as_it_is():
    assert read(batch(0, "größe".encode()))[1].headers[1] == ("größe", b"2")


async def test_the_worker_asks_for_it(monkeypatch):
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    build_app(Settings(), {})
    assert fetcher.MemoryRecords is not None
