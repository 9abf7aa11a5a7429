"""A part of a CSV file, which can be read alone: the lines that start in a range of its bytes, or all of it.

    for part in parts.cut("births.csv", paths.stat("births.csv"), 64 << 20):
        with parts.opened(part) as text: ...

Every line is a row: a quoted cell may hold commas, but no line end. A compressed file cannot be entered in the middle,
so it is one part.
"""

import contextlib
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from trainer.errors import RunError
from trainer.storage import paths
from trainer.storage.entry import Entry


READ_BYTES = 8 << 20  # from a bucket, at once
SEEN_BYTES = 1 << 16  # the same, to see a header or where a line ends
EMPTY_LINE = re.compile(rb"\n(?=\r?\n)")


@dataclass(frozen=True)
class Part:
    """Some lines of a file; all of it without `stop`."""

    path: str
    name: str  # what errors call the file
    start: int = 0
    stop: int | None = None
    known: Entry | None = None  # of the file, when it must not have changed since

    @property
    def is_compressed(self) -> bool:
        """Whether the name says gzip."""
        return self.path.endswith(".gz")

    @property
    def size(self) -> int:
        """About how many bytes it takes in the file, where that is known."""
        return self.stop - self.start if self.stop is not None else self.known.size if self.known else 0


def cut(path: str, known: Entry, part_bytes: int) -> list[Part]:
    """A file in parts of about as many bytes, in order; one part where it is small, empty or compressed."""
    if path.endswith(".gz") or known.size <= part_bytes:
        return [Part(path, path, known=known)]
    starts = range(0, known.size, part_bytes)
    return [Part(path, path, start, min(start + part_bytes, known.size), known) for start in starts]


@contextlib.contextmanager
def opened(part: Part) -> Iterator[Any]:
    """The text of a part, to be read once from its start by `read(size)`. What is no gzip raises `RunError`."""
    start, stop = (0, None) if part.stop is None else _ends(part, part.stop)
    with paths.open_input(part.path, known=part.known, buffer_bytes=READ_BYTES) as file, _naming(part):
        if part.is_compressed:
            yield gzip.GzipFile(fileobj=file)
        elif stop is None:
            yield file
        else:
            file.seek(start)
            yield _Range(file, stop - start)


def whole_lines(text: Any, block_bytes: int) -> Iterator[bytes]:
    """What `opened` gives in blocks of whole lines, about as many bytes each."""
    rest = b""
    while content := text.read(block_bytes):
        end = content.rfind(b"\n") + 1
        if end:
            yield rest + content[:end]
            rest = content[end:]
        else:
            rest += content
    if rest:
        yield rest


def first_line(part: Part) -> bytes:
    """The first line of the file, wherever the part starts."""
    with paths.open_input(part.path, known=part.known, buffer_bytes=SEEN_BYTES) as file, _naming(part):
        return (gzip.GzipFile(fileobj=file) if part.is_compressed else file).readline()


def rows_before(part: Part) -> int:
    """The lines of the file before the part that are not empty, a header among them; reads them."""
    rows = 0
    if part.start:
        with paths.open_input(part.path, known=part.known, buffer_bytes=READ_BYTES) as file:
            while file.tell() < part.start:
                lines = file.read(min(READ_BYTES, part.start - file.tell())) + file.readline()
                rows += lines.count(b"\n") - len(EMPTY_LINE.findall(b"\n" + lines))
    return rows


class _Range:
    """A file up to some place."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self._left = left

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end."""
        content = self._file.read(min(size, self._left))
        self._left -= len(content)
        return content


def _ends(part: Part, stop: int) -> tuple[int, int]:
    """Where the first line starts that starts in the range or after it, and the first that starts after it."""
    with paths.open_input(part.path, known=part.known, buffer_bytes=SEEN_BYTES) as file:
        return _line_start(file, part.start), _line_start(file, stop)


def _line_start(file: BinaryIO, place: int) -> int:
    if not place:
        return 0
    file.seek(place - 1)  # where that byte ends a line, the next one starts at the place
    file.readline()
    return file.tell()


@contextlib.contextmanager
def _naming(part: Part) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RunError(f"{part.name}: not a whole gzip file: {error}") from error
