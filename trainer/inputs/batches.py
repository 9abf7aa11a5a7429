"""The order of examples, and batches in that order.

The order is a pure function of the seed, the epoch and the files. An epoch is a sequence of *windows* of shuffled rows.
In the first epoch, while the files are read, a window is a few units from anywhere in the files, and their rows
shuffled. After it all rows are in memory, and the windows are parts of one shuffled sequence of all rows; unless they
are too many for that, when every epoch is like the first. So a position is (epoch, window, row), and to seek is to make
one window.

Examples follow one another without end: a batch may hold the last rows of an epoch and the first of the next, so that
no row is dropped and every row comes once an epoch. Every worker reads all rows and takes its share of each batch.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.errors import RunError, UsageError
from trainer.inputs.columns import Unit
from trainer.inputs.source import Source
from trainer.inputs.spec import Columns, InputSpec, concatenate, count_rows, split, take_rows
from trainer.storage import paths


MEMORY_BYTES = 2 << 30
"""Files of up to this size, uncompressed, are kept in memory; encoded, CSV takes about a third of it."""

UNITS_AT_ONCE = 4  # from a bucket, which takes its time for each answer
UNITS_AT_ONCE_HERE = 2  # from a disk: a core each, and training has to have some of them
WINDOW_BYTES = 16 << 20


@dataclass(frozen=True)
class Shard:
    """Which part of every global batch this worker trains on."""

    index: int = 0
    count: int = 1

    def share(self, size: int) -> slice:
        """The rows of a batch of `size` that are this worker's."""
        return slice(self.index * size // self.count, (self.index + 1) * size // self.count)


def check_shares(batch_size: int, shard: Shard) -> None:
    """Raise `UsageError` for a batch that cannot be cut into equal shares, whose gradients would not weigh the same."""
    if batch_size % shard.count:
        raise UsageError(f"--train-batch-size: {batch_size}: expected a multiple of the {shard.count} workers")


@dataclass(frozen=True)
class Batches:
    """`steps` batches of one shape: arrays `(steps, B, ...)` nested as a Keras train step takes them.

    For columns that is `(features by name, label)`.
    """

    steps: int
    data: Any

    def part(self, start: int, stop: int) -> "Batches":
        """Those from `start` to before `stop`."""
        return Batches(stop - start, _map(lambda values: values[start:stop], self.data))


@dataclass(frozen=True)
class Position:
    """How far the endless sequence of examples has been read: `row` rows into `window` of `epoch`."""

    epoch: int = 0
    window: int = 0
    row: int = 0


class TrainBatches:
    """Endless shuffled batches of `batch_size` (global; this shard's share of each), from wherever it was left.

    A thread makes the next window while this one is used. It has no more than that to do, so a process that ends waits
    for one window at most.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        shard: Shard = Shard(),
        memory_bytes: int = MEMORY_BYTES,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        check_shares(batch_size, shard)
        self.spec = source.spec
        self.batch_size = batch_size
        self.shard = shard
        self._windows = _Windows(source, seed=seed, memory_bytes=memory_bytes, window_bytes=window_bytes)
        self._position = Position()
        self._window: Columns | None = None  # the one at the position
        self._next: tuple[Position, Future[tuple[Position, Columns]]] | None = None  # another, being made
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="windows")

    def save(self, folder: str) -> dict[str, Any]:
        """What `restore` needs to go on from here, as JSON; nothing goes into the checkpoint's folder."""
        del folder
        return asdict(self._position)

    def restore(self, folder: str, saved: dict[str, Any]) -> None:
        """Go to where `saved` was taken."""
        del folder
        self._position, self._window = Position(saved["epoch"], saved["window"], saved["row"]), None

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.spec, self.batch_size // self.shard.count)

    def take(self, steps: int) -> list[Batches]:
        """The next `steps` batches. What goes wrong in the thread is raised here."""
        parts: list[Columns] = []
        wanted = steps * self.batch_size
        while wanted:
            parts.append(self._rows(wanted))
            wanted -= count_rows(parts[-1])
        return [_batches(self.spec, concatenate(self.spec, parts), steps, self.shard)]

    def _rows(self, wanted: int) -> Columns:
        """The next rows, at most as many as are wanted, out of one window."""
        window = self._current()
        at = self._position
        rows = take_rows(window, slice(at.row, at.row + wanted))
        self._position = Position(at.epoch, at.window, at.row + count_rows(rows))
        if self._position.row >= count_rows(window):  # more only if the files have changed since the position was saved
            self._position, self._window = Position(at.epoch, at.window + 1), None
        return rows

    def _current(self) -> Columns:
        """The window at the position. When it is a new one, the thread goes on to the next."""
        if self._window is None:
            start = Position(self._position.epoch, self._position.window)
            if not self._next or self._next[0] != start:
                self._make(start)
            assert self._next is not None
            found, self._window = self._next[1].result()
            self._position = Position(found.epoch, found.window, self._position.row)
            self._make(Position(found.epoch, found.window + 1))
        return self._window

    def _make(self, start: Position) -> None:
        if self._next:
            self._next[1].cancel()  # after a restore: the thread may not even have begun with it
        self._next = (start, self._maker.submit(self._windows.find, start))


class _Windows:
    """Where the rows are, in which order they come, and those that are in memory. For one thread."""

    def __init__(self, source: Source, *, seed: int, memory_bytes: int, window_bytes: int) -> None:
        self.source = source
        self.seed = seed
        self.window_bytes = window_bytes
        self.kept = _Kept(source, memory_bytes)
        self.all: Columns | None = None
        self.order: tuple[int, np.ndarray] | None = None  # of all rows, in an epoch

    def find(self, position: Position) -> tuple[Position, Columns]:
        """The first window with rows at or after a position, and its position."""
        last_epoch = position.epoch + 1
        while position.epoch <= last_epoch:
            window = self._from_memory(position) if position.epoch and self.kept.fits else self._from_files(position)
            if window is None:
                position = Position(position.epoch + 1)
            elif count_rows(window):
                return position, window
            else:
                position = Position(position.epoch, position.window + 1)
        raise RunError(f"{', '.join(self.source.files)}: no rows that can be trained on")

    def _from_files(self, position: Position) -> Columns | None:
        """The rows of some units, shuffled; None past the last of the epoch."""
        windows = self._units(position.epoch)
        if position.window >= len(windows):
            return None
        rows = concatenate(self.source.spec, self.kept.read_all(windows[position.window]))
        random = np.random.default_rng([self.seed, position.epoch, 1 + position.window])
        return take_rows(rows, random.permutation(count_rows(rows)))

    def _units(self, epoch: int) -> list[list[Unit]]:
        """All units in random order, as many together as make about a window's size."""
        windows: list[list[Unit]] = []
        size = self.window_bytes
        for i in np.random.default_rng([self.seed, epoch]).permutation(len(self.source.units)):
            if size >= self.window_bytes:
                windows.append([])
                size = 0
            windows[-1].append(self.source.units[i])
            size += self.source.units[i].size
        return windows

    def _from_memory(self, position: Position) -> Columns | None:
        """A part of all rows, shuffled; None past the last of the epoch."""
        if self.all is None:
            self.all = concatenate(self.source.spec, self.kept.read_all(self.source.units))
            self.kept.forget()
        if self.order is None or self.order[0] != position.epoch:
            random = np.random.default_rng([self.seed, position.epoch])
            self.order = (position.epoch, random.permutation(count_rows(self.all)))
        size = max(1, self.window_bytes // self.source.spec.stored_bytes)
        rows = self.order[1][position.window * size : (position.window + 1) * size]
        return take_rows(self.all, rows) if len(rows) else None


class _Kept:
    """Units once read, as long as all of a source fits in memory."""

    def __init__(self, source: Source, memory_bytes: int) -> None:
        self.source = source
        self.fits = source.size <= memory_bytes
        self.units: dict[Unit, Columns] = {}

    def read(self, unit: Unit) -> Columns:
        """The rows of a unit."""
        if unit in self.units:
            return self.units[unit]
        columns = self.source.read(unit)
        if self.fits:
            self.units[unit] = columns
        return columns

    def read_all(self, units: Sequence[Unit]) -> list[Columns]:
        """The rows of some units, a few of them read at once."""
        remote = any(paths.is_remote(unit.path) for unit in units)
        with ThreadPoolExecutor(UNITS_AT_ONCE if remote else UNITS_AT_ONCE_HERE) as pool:
            return list(pool.map(self.read, units))

    def forget(self) -> None:
        """Let go of all units."""
        self.units.clear()


class EvalBatches:
    """Every row once, in the order of the files; the last batch may be short. Kept in memory where it fits."""

    def __init__(self, source: Source, *, batch_size: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self.source = source
        self.batch_size = batch_size
        self._kept = _Kept(source, memory_bytes)

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.source.spec, self.batch_size)

    def check(self) -> None:
        """Read what is kept for the passes to come, or at least the first unit; raises for a bad row, or for no row."""
        parts = self._kept.read_all(self.source.units if self._kept.fits else self.source.units[:1])
        if self._kept.fits and not any(map(count_rows, parts)):
            raise RunError(f"{', '.join(self.source.files)}: no rows that can be evaluated on")

    def passes(self, steps: int) -> Iterator[Batches]:
        """One pass, in groups of `steps` full batches; then what is left, and a short batch by itself at the end."""
        spec, group = self.source.spec, steps * self.batch_size
        held: list[Columns] = []  # less than a group
        missing = group
        for columns in self._all():
            start = 0
            while count_rows(columns) - start >= missing:
                held.append(take_rows(columns, slice(start, start + missing)))
                yield _batches(spec, concatenate(spec, held), steps)
                held, start, missing = [], start + missing, group
            held.append(take_rows(columns, slice(start, None)))
            missing -= count_rows(held[-1])
        rest = concatenate(spec, held)
        full = count_rows(rest) // self.batch_size
        for rows, count in ((slice(full * self.batch_size), full), (slice(full * self.batch_size, None), 1)):
            if count_rows(columns := take_rows(rest, rows)):
                yield _batches(spec, columns, count)

    def _all(self) -> Iterator[Columns]:
        """The rows of all units, some units at once."""
        units = self.source.units
        for first in range(0, len(units), UNITS_AT_ONCE):
            yield from self._kept.read_all(units[first : first + UNITS_AT_ONCE])


def _batches(spec: InputSpec, columns: Columns, steps: int, shard: Shard = Shard()) -> Batches:
    """Rows as `steps` batches, and of each the share of a shard."""
    size = count_rows(columns) // steps
    share = shard.share(size)
    stepped = {name: values.reshape(steps, size, *values.shape[1:])[:, share] for name, values in columns.items()}
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
