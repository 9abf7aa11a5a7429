"""The order of examples, and batches in that order.

The order is a pure function of the seed, the epoch and the files. An epoch is a sequence of *windows* of rows, each
shuffled by itself: while the files are read for the first time, or when they do not fit in memory, a window is a few
units, drawn in random order; once all rows are in memory, an epoch is one window with all of them. So a position is
(epoch, window, row), and to seek is to read one window.

Examples follow one another without end: a batch may hold the last rows of an epoch and the first of the next, so that
no row is dropped and every row comes once an epoch.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.errors import RunError
from trainer.inputs.columns import UNIT_BYTES, Unit, concatenate
from trainer.inputs.source import Source
from trainer.inputs.spec import Columns, InputSpec, split


MEMORY_BYTES = 1 << 30
"""Encoded rows up to this size are kept in memory after the first epoch."""


@dataclass(frozen=True)
class Shard:
    """Which part of every global batch this worker trains on."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True)
class Batches:
    """`steps` batches of one shape: arrays `(steps, B, ...)` nested as a Keras train step takes them.

    For columns that is `(features by name, label)`.
    """

    steps: int
    data: Any

    def first(self, steps: int) -> "Batches":
        """The first `steps` of them."""
        return Batches(steps, _map(lambda values: values[:steps], self.data))


@dataclass(frozen=True)
class Position:
    """How far the endless sequence of examples has been read: `row` rows into `window` of `epoch`."""

    epoch: int = 0
    window: int = 0
    row: int = 0


@dataclass(frozen=True)
class Window:
    """Rows and the order to take them in, `(N,)` indices."""

    columns: Columns
    order: np.ndarray


class TrainBatches:
    """Endless shuffled batches of `batch_size` (global; this shard's share of each), from wherever it was left.

    `batch_size` must be a multiple of the number of shards.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        shard: Shard = Shard(),
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.shard = shard
        self.memory_bytes = memory_bytes
        self._position = Position()
        self._window: Window | None = None  # the one at the position
        self._next: tuple[Position, Future[tuple[Position, Window]]] | None = None  # the one after, being read
        self._kept: dict[Unit, Columns] = {}
        self._all: Columns | None = None  # all rows, once they are in memory
        self._in_memory: bool | None = None  # None until the size is known
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")

    def save(self, folder: str) -> dict[str, Any]:
        """What `restore` needs to go on from here, as JSON; nothing goes into the checkpoint's folder."""
        del folder
        return asdict(self._position) | {"in_memory": self._in_memory}

    def restore(self, folder: str, saved: dict[str, Any]) -> None:
        """Go to where `saved` was taken."""
        del folder
        self._in_memory = saved["in_memory"]
        self._position = Position(saved["epoch"], saved["window"], saved["row"])
        self._window, self._next = None, None

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.source.spec, self.batch_size // self.shard.count)

    def take(self, steps: int) -> list[Batches]:
        """The next `steps` batches."""
        share = self.batch_size // self.shard.count
        needed = steps * self.batch_size
        parts: list[Columns] = []
        placed = 0
        while placed < needed:
            window = self._current()
            rows = window.order[self._position.row : self._position.row + needed - placed]
            if self.shard.count > 1:
                owner = (np.arange(placed, placed + len(rows)) % self.batch_size) // share
                rows = rows[owner == self.shard.index]
            parts.append(_rows(window.columns, rows))
            placed += self._advance(needed - placed)
        return [_batches(self.source.spec, concatenate(self.source.spec, parts), steps, share)]

    def _current(self) -> Window:
        """The window at the position, read now unless it was read ahead; reading the next then begins."""
        if self._window is None:
            start = Position(self._position.epoch, self._position.window)
            if not self._next or self._next[0] != start:
                self._next = (start, self._reader.submit(self._find, start))
            found, self._window = self._next[1].result()
            self._position = Position(found.epoch, found.window, self._position.row)
            after = Position(found.epoch, found.window + 1)
            self._next = (after, self._reader.submit(self._find, after))
        return self._window

    def _advance(self, wanted: int) -> int:
        """Move on by as many rows as are wanted and left in the window; return how many."""
        assert self._window is not None
        at = self._position
        rows = min(wanted, len(self._window.order) - at.row)
        self._position = Position(at.epoch, at.window, at.row + rows)
        if self._position.row == len(self._window.order):
            self._position, self._window = Position(at.epoch, at.window + 1), None
        return rows

    def _find(self, position: Position) -> tuple[Position, Window]:
        """The first window with rows at or after a position. Runs in the reader's thread only."""
        last_epoch = position.epoch + 1
        while position.epoch <= last_epoch:
            window = self._read(position)
            if window is None:
                position = Position(position.epoch + 1)
            elif len(window.order):
                return position, window
            else:
                position = Position(position.epoch, position.window + 1)
        raise RunError(f"{', '.join(self.source.files)}: no rows that can be trained on")

    def _read(self, position: Position) -> Window | None:
        """The window at a position, or None past the last of its epoch."""
        random = np.random.default_rng([self.seed, position.epoch, position.window])
        if position.epoch > 0 and self._fits():
            assert self._all is not None
            return _shuffled(self._all, random) if position.window == 0 else None
        windows = _windows(self.source.units, np.random.default_rng([self.seed, position.epoch]))
        if position.window >= len(windows):
            return None
        parts = [self._unit(unit) for unit in windows[position.window]]
        return _shuffled(concatenate(self.source.spec, parts), random)

    def _unit(self, unit: Unit) -> Columns:
        if unit in self._kept:
            return self._kept[unit]
        columns = self.source.read(unit)
        if self._in_memory is not False:
            self._kept[unit] = columns
            if sum(_bytes(part) for part in self._kept.values()) > self.memory_bytes:
                self._in_memory = False
                self._kept.clear()
        return columns

    def _fits(self) -> bool:
        """Whether all rows are in memory, reading what is still missing as long as they fit."""
        if self._all is None and self._in_memory is not False:
            for unit in self.source.units:
                self._unit(unit)
                if self._in_memory is False:  # type: ignore[comparison-overlap]
                    return False
            self._all = concatenate(self.source.spec, [self._kept[unit] for unit in self.source.units])
            self._kept.clear()
            self._in_memory = True
        return self._all is not None


class EvalBatches:
    """Every row once, in the order of the files; the last batch may be short. Kept in memory where it fits."""

    def __init__(self, source: Source, *, batch_size: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self.source = source
        self.batch_size = batch_size
        self.memory_bytes = memory_bytes
        self._kept: list[Columns] | None = None

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.source.spec, self.batch_size)

    def passes(self, steps: int) -> Iterator[Batches]:
        """One pass, in groups of `steps` full batches; then what is left, and a short batch by itself at the end."""
        group = steps * self.batch_size
        rest: list[Columns] = []
        for columns in self._columns():
            rest.append(columns)
            if sum(map(_length, rest)) < group:
                continue
            joined = concatenate(self.source.spec, rest)
            whole = _length(joined) // group * group
            for start in range(0, whole, group):
                yield self._group(joined, start, steps, self.batch_size)
            rest = [_rows(joined, slice(whole, None))]
        joined = concatenate(self.source.spec, rest)
        full, short = divmod(_length(joined), self.batch_size)
        if full:
            yield self._group(joined, 0, full, self.batch_size)
        if short:
            yield self._group(joined, full * self.batch_size, 1, short)

    def _group(self, columns: Columns, start: int, steps: int, size: int) -> Batches:
        return _batches(self.source.spec, _rows(columns, slice(start, start + steps * size)), steps, size)

    def _columns(self) -> Iterator[Columns]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Columns] | None = []
        for unit in self.source.units:
            columns = self.source.read(unit)
            yield columns
            if kept is not None:
                kept.append(columns)
                kept = kept if sum(map(_bytes, kept)) <= self.memory_bytes else None
        self._kept = kept


def _windows(units: tuple[Unit, ...], random: np.random.Generator) -> list[list[Unit]]:
    """The units in random order, small ones together until they make about a unit's size."""
    windows: list[list[Unit]] = []
    size = UNIT_BYTES
    for i in random.permutation(len(units)):
        if size >= UNIT_BYTES:
            windows.append([])
            size = 0
        windows[-1].append(units[i])
        size += units[i].size
    return windows


def _batches(spec: InputSpec, columns: Columns, steps: int, size: int) -> Batches:
    stepped = {name: values.reshape(steps, size, *values.shape[1:]) for name, values in columns.items()}
    return Batches(steps, split(spec, stepped))


def _zeros(spec: InputSpec, size: int) -> Any:
    return split(spec, {f.name: np.zeros((size, *f.shape), f.stored_dtype) for f in spec.read})


def _map(function: Callable[[Any], Any], data: Any) -> Any:
    """`data` with the function applied to every array in its dicts, tuples and lists."""
    if isinstance(data, dict):
        return {name: _map(function, value) for name, value in data.items()}
    if isinstance(data, (tuple, list)):
        return type(data)(_map(function, value) for value in data)
    return function(data)


def _shuffled(columns: Columns, random: np.random.Generator) -> Window:
    return Window(columns, random.permutation(_length(columns)))


def _rows(columns: Columns, rows: np.ndarray | slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _bytes(columns: Columns) -> int:
    return sum(values.nbytes for values in columns.values())
