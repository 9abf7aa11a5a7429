"""Which examples come more than once, in memory that does not grow with the data.

    with TemporaryFile() as first, TemporaryFile() as second:
        train, evaluation = Seen(first), Seen(second)
        train.add(hashes(table, ("key",)))
        ...
        counts = overlap(train, evaluation)

An example is known by 64 bits, so that of a hundred million examples a pair is taken for the same by mistake in one
check of 3,700. Hashes go to a file, sorted, in runs; each 256th of all hashes is then looked at by itself.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import compute


RUN_HASHES = 4 << 20  # in memory at once: 32 MiB
PARTITIONS = 256
WIDE = 256  # bytes of a text, up to which all are padded to the longest
MISSING = np.uint64(0x9E3779B97F4A7C15)
TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
PRIME = np.uint64(0x100000001B3)


@dataclass(frozen=True)
class Overlap:
    """Examples that are not alone. `in_train`: of those to evaluate on, how many are among those to train on."""

    train: int
    twins_in_train: int  # examples with the same content as another one, all of them counted
    evaluation: int
    in_train: int


class Seen:
    """The hashes of many examples, most of them in a file, which nobody else writes to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._held: list[np.ndarray] = []
        self._count = 0
        self._runs: list[np.ndarray] = []  # where each partition of a run starts in the file, in hashes; and its end

    def add(self, found: np.ndarray) -> None:
        """Remember more hashes (N,). Several threads may."""
        with self._lock:
            self._held.append(found)
            self._count += len(found)
            if self._count >= RUN_HASHES:
                self._write()

    def partitions(self) -> Iterator[np.ndarray]:
        """All hashes in order, a 256th of the possible ones at a time."""
        rest = _sorted(self._held)
        places = _places(rest)
        for i in range(PARTITIONS):
            parts = [rest[places[i] : places[i + 1]]]
            for run in self._runs:
                self._file.seek(int(run[i]) * 8)
                parts.append(np.frombuffer(self._file.read(int(run[i + 1] - run[i]) * 8), np.uint64))
            yield _sorted(parts)

    def _write(self) -> None:
        """Move what is in memory to the file: a run."""
        run = _sorted(self._held)
        start = self._file.seek(0, 2) // 8
        self._file.write(run.tobytes())
        self._runs.append(_places(run) + start)
        self._held, self._count = [], 0


def overlap(train: Seen, evaluation: Seen) -> Overlap:
    """How many examples to train on come more than once, and how many to evaluate on are among them."""
    totals = np.zeros(4, np.int64)
    for first, second in zip(train.partitions(), evaluation.partitions(), strict=True):
        known, counts = np.unique(first, return_counts=True)
        totals += (len(first), counts[counts > 1].sum(), len(second), np.isin(second, known).sum())
    return Overlap(*totals.tolist())


def hashes(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """A hash of the values of some columns, of each row: uint64 (N,). Each row's depends on nothing but the row."""
    found = np.zeros(table.num_rows, np.uint64)
    for name in names:
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        found = _mixed(found + _values(column))
    return found


def _values(column: pa.Array) -> np.ndarray:
    """A hash of each value of a column, or the value itself: uint64 (N,)."""
    if pa.types.is_dictionary(column.type):
        words = np.append(_texts(column.dictionary.cast(pa.large_binary())), MISSING)
        codes = column.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(words[codes])
    if pa.types.is_fixed_size_list(column.type):
        content = column.flatten().to_numpy(zero_copy_only=False).view(np.uint8).reshape(len(column), -1)
        return _bytes(content, np.full(len(column), content.shape[1]))
    if column.type in TEXTS:
        return _texts(column.cast(pa.large_binary()))
    values = compute.fill_null(column.cast(pa.float64(), safe=False), float("nan"))
    return np.asarray((values.to_numpy(zero_copy_only=False) + 0.0).view(np.uint64))


def _texts(column: pa.LargeBinaryArray) -> np.ndarray:
    """A hash of each text: uint64 (N,). Long ones are few, and are not padded to."""
    lengths = compute.fill_null(compute.binary_length(column), 0).to_numpy(zero_copy_only=False)
    short = np.minimum(lengths, WIDE)
    size = int(short.max(initial=0))
    starts = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column)]
    content = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    if len(column) and (lengths == size).all():
        matrix = content[starts[0] : starts[0] + size * len(column)].reshape(len(column), size)
    else:
        places = np.arange(size)
        inside = places < short[:, None]
        matrix = np.append(content, np.uint8(0))[np.where(inside, starts[:, None] + places, len(content))]
    found = _bytes(matrix, lengths)
    for i in np.flatnonzero(lengths > WIDE):
        found[i] = int.from_bytes(hashlib.blake2b(column[i].as_py(), digest_size=8).digest(), "big")
    found[column.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return found


def _bytes(content: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A hash of each row of bytes (N, size), of which the first `lengths` (N,) count and the others are zero."""
    padded = np.pad(content, ((0, 0), (0, -content.shape[1] % 8)))
    words = padded.view(np.uint64).reshape(len(padded), padded.shape[1] // 8)
    found = _mixed(lengths.astype(np.uint64) + PRIME)
    for i in range(words.shape[1]):
        place = _mixed(np.array([i + 1], np.uint64))
        found += np.where(lengths > 8 * i, _mixed(words[:, i] ^ place), np.uint64(0))
    return found


def _mixed(values: np.ndarray) -> np.ndarray:
    """Each bit of a value spread over all: the end of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed: np.ndarray = values
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed


def _sorted(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate([np.zeros(0, np.uint64), *parts]))


def _places(run: np.ndarray) -> np.ndarray:
    """Where each partition of sorted hashes starts, and where the last one ends: (PARTITIONS + 1,)."""
    starts = np.arange(PARTITIONS, dtype=np.uint64) << np.uint64(56)
    return np.append(np.searchsorted(run, starts), len(run))
