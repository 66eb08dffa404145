"""Header names that are no UTF-8: read with a question mark for each foreign byte.

aiokafka decodes them strictly. A single such record, which any producer can send, would end every worker that meets it.
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

_LENGTH_AT, _OVERHEAD, _MAGIC_AT = 8, 12, 16
_WITH_HEADERS = 2


def take_any_header_names() -> None:
    """Have all consumers of this process take header names as they come."""
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's records of one fetch; their batches read on where a header's name is no UTF-8."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._records = MemoryRecords(data)
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> Any:
        batch: Any = self._records.next_batch()
        start = self._at
        self._at += _OVERHEAD + struct.unpack_from(">i", self._data, start + _LENGTH_AT)[0]
        if self._data[start + _MAGIC_AT] < _WITH_HEADERS or batch.is_control_batch:
            return batch
        return _Batch(batch, memoryview(self._data)[start : self._at])


class _Batch:
    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            yield from _MendedBatch(self._data)  # from its first record on: the fetcher passes over what it has had


class _MendedBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def _read_msg(self) -> Any:
        for place in self._names():
            name = self._buffer[place]
            try:
                name.decode()
            except UnicodeDecodeError:
                self._buffer[place] = name.decode("ascii", "replace").replace("\ufffd", "?").encode()
        return super()._read_msg()

    def _names(self) -> Iterator[slice]:
        """Where the names of the next record's headers stand."""
        buffer, at = self._buffer, self._pos
        for _ in range(4):  # its length, attributes, time and offset
            _, at = decode_varint(buffer, at)
        for _ in range(2):  # its key and its value
            length, at = decode_varint(buffer, at)
            at += max(length, 0)
        count, at = decode_varint(buffer, at)
        for _ in range(count):
            length, at = decode_varint(buffer, at)
            yield slice(at, at + length)
            length, at = decode_varint(buffer, at + length)
            at += max(length, 0)
