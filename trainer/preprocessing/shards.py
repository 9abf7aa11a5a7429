"""The rows of each file of the output, in order.

    for name, rows in shards.divided(table, plan, "train"): ...      # a share of some rows for each file
    shards.write(output, name, tables, "csv")                        # all shares of a file, whole or not at all

A row's place follows from its key alone: the files of a part cut the range of all keys into equal shares, and each is
in the order of the keys. A key is a hash, so that is a shuffle; and since rows with the same key are the same, all
files of a part, one after the other, are the same bytes for any number of files, workers and blocks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from trainer.preprocessing.layouts import KEY, KEY_TYPE, keys, lines
from trainer.preprocessing.plan import Plan
from trainer.storage import paths
from trainer.storage.entry import crc32c_text


LINE = "line"
ROW_GROUP_ROWS = 1 << 17
WRITE_ROWS = 1 << 17  # of text, at once
HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)


@dataclass(frozen=True)
class Written:
    """A file that is there."""

    name: str
    rows: int
    size: int  # bytes
    crc32c: str


def keyed(table: pa.Table, form: str) -> pa.Table:
    """The rows as they are sent to the files: with their keys, and as lines of text where the files are CSV."""
    texts = lines(table)
    key = keys(texts)
    return pa.table({LINE: texts, KEY: key}) if form == "csv" else table.append_column(KEY, key)


def divided(table: pa.Table, plan: Plan, part: str) -> Iterator[tuple[str, pa.Table]]:
    """The share that each file of a part has of some rows, with the file's name; files without one are left out."""
    count = plan.count(part)
    leading = np.ascontiguousarray(_bytes(table[KEY])[:, :4]).view(">u4")[:, 0].astype(np.uint64)
    files = (leading * count >> 32).astype(np.uint32)
    order = np.argsort(files, kind="stable")
    table, ends = table.take(pa.array(order)), np.searchsorted(files[order], np.arange(count), side="right")
    start = 0
    for index, end in enumerate(ends.tolist()):
        if end > start:
            yield plan.name(part, index), table.slice(start, end - start)
        start = end


def packed(table: pa.Table) -> bytes:
    """A table as bytes, for a runner to send."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    content: bytes = sink.getvalue().to_pybytes()
    return content


def unpacked(content: bytes) -> pa.Table:
    """The table of `packed` bytes."""
    return pa.ipc.open_stream(content).read_all()


def write(output: str, name: str, tables: Iterable[pa.Table], form: str) -> Written:
    """Write the rows of all tables in the order of their keys."""
    table = pa.concat_tables(tables)
    order = np.argsort(_bytes(table[KEY]).view("S28")[:, 0])  # of bytes, all of one length
    with paths.open_output(paths.join(output, name)) as file:
        counted = _Counted(file)
        (_write_lines if form == "csv" else _write_parquet)(counted, table, order)
    return Written(name, len(table), counted.size, crc32c_text(counted.crc32c))


class _Counted:
    """A file that counts what is written to it."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.crc32c = 0

    def write(self, content: bytes) -> int:
        content = bytes(content)
        self._file.write(content)
        self.size += len(content)
        self.crc32c = google_crc32c.extend(self.crc32c, content)
        return len(content)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Whoever opened the file closes it."""


def _write_lines(file: _Counted, table: pa.Table, order: np.ndarray) -> None:
    table = table.combine_chunks()
    for start in range(0, len(order), WRITE_ROWS):
        rows = table.take(pa.array(order[start : start + WRITE_ROWS]))
        text = compute.binary_join_element_wise(rows[LINE].combine_chunks(), _hex(rows[KEY]), ",")
        ended = compute.binary_join_element_wise(text, "", "\n").cast(pa.binary())
        _, offsets, content = ended.buffers()
        file.write(content.slice(0, int(np.frombuffer(offsets, np.int32)[len(ended)])))


def _write_parquet(file: _Counted, table: pa.Table, order: np.ndarray) -> None:
    table = table.take(pa.array(order))
    table = table.set_column(table.column_names.index(KEY), KEY, _hex(table[KEY]))
    pq.write_table(table, file, row_group_size=ROW_GROUP_ROWS)


def _bytes(column: pa.ChunkedArray) -> np.ndarray:
    """Keys as bytes (N, 28)."""
    array = column.combine_chunks()
    size = KEY_TYPE.byte_width
    found = np.frombuffer(array.buffers()[1], np.uint8, len(array) * size, array.offset * size)
    return found.reshape(-1, size)


def _hex(column: pa.ChunkedArray) -> pa.Array:
    """Keys as text."""
    digits = HEX[_bytes(column)]
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(2 * KEY_TYPE.byte_width), len(digits), [None, pa.py_buffer(digits)]
    )
    return fixed.cast(pa.binary()).cast(pa.string())
