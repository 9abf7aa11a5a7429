"""Read, write, list and remove by path, on this machine's disks or in Google Cloud Storage.

    files = paths.expand(["gs://bucket/babyweight/train.csv*"])
    paths.write_bytes(paths.join(job_dir, "run.json"), text.encode())

A path is a string. Errors name the path; a write is whole or not there.
"""

import contextlib
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any, BinaryIO

from trainer.errors import UsageError
from trainer.storage import local
from trainer.storage.entry import Entry


GS = "gs://"
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)(?:/|$)")  # of a URL; a single letter would be a drive


def join(directory: str, *names: str) -> str:
    """`join("gs://b/x/", "y")` is `gs://b/x/y`; never normalises, since that would break the `//` of a URL."""
    return "/".join([directory.rstrip("/"), *names]) if directory else "/".join(names)


def name(path: str) -> str:
    """The last component: `train.csv` of `gs://b/x/train.csv`."""
    return path.rstrip("/").rsplit("/", 1)[-1]


def parent(path: str) -> str:
    """The folder that holds `path`; `.` for a bare name, and the path itself where nothing holds it: `/`, `gs://b`."""
    head, slash, last = path.rstrip("/").rpartition("/")
    if head.endswith(":/") or not last:
        return path or "."
    return head or slash or "."


def is_remote(path: str) -> bool:
    """Whether `path` is in a bucket. Raises `RunError` for a URL of another kind, or without a bucket."""
    if path.startswith(GS):
        _of(path)
    elif SCHEME.match(path):
        raise UsageError(f"{path}: is neither a local path nor gs://BUCKET/PATH")
    return path.startswith(GS)


def expand(patterns: Sequence[str]) -> list[str]:
    """The files that the globs match, each once, in order. A pattern that matches nothing raises `UsageError`."""
    found: dict[str, str] = {}
    for pattern in patterns:
        files = matches(pattern)
        if not files and is_directory(pattern):
            raise UsageError(f"{pattern}: is a folder; expected files, such as {join(pattern, '*.csv')}")
        if not files:
            raise UsageError(
                f"{pattern or repr('')}: no such file; expected a path or a glob that matches at least one file"
            )
        for file in files:
            found.setdefault(_of(file).identity(file), file)
    return list(found.values())


def matches(pattern: str) -> list[str]:
    """The files that a glob matches, in order; a `*` leaves out hidden ones, such as those that are not whole yet."""
    found: list[str] = _of(pattern).matches(pattern)
    return found


def exists(path: str) -> bool:
    """Whether there is a file or a folder at `path`."""
    return bool(_of(path).exists(path))


def is_directory(path: str) -> bool:
    """Whether `path` is a folder."""
    return bool(_of(path).is_directory(path))


def stat(path: str) -> Entry:
    """What is known of a file without reading it; `MissingError` where there is none."""
    entry: Entry = _of(path).stat(path)
    return entry


def checksum(path: str) -> str:
    """The crc32c of a file's content, as manifests have it."""
    return str(_of(path).checksum(path))


def list_names(directory: str) -> list[str]:
    """The names inside a folder, sorted; empty when there is no such folder."""
    names: list[str] = _of(directory).list_names(directory)
    return names


def list_files(directory: str) -> dict[str, Entry]:
    """All files below a folder, by their paths in it; empty when there is no such folder."""
    files: dict[str, Entry] = _of(directory).list_files(directory)
    return files


def open_input(path: str, *, known: Entry | None = None, buffer_bytes: int = 1 << 20) -> BinaryIO:
    """Open a file for reading bytes; it can seek. From a bucket, `buffer_bytes` are read at once.

    With what `stat` made `known`, content of another version raises `RunError`.
    """
    file: BinaryIO = _of(path).open_input(path, known, buffer_bytes)
    return file


def read_bytes(path: str) -> bytes:
    """The whole content of a file."""
    return bytes(_of(path).read_bytes(path))


def open_output(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open a file for writing bytes. It is there, whole and on the disk, after the block, and not if that raises."""
    output: contextlib.AbstractContextManager[BinaryIO] = _of(path).open_output(path)
    return output


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file: a reader sees the old content or the new, never a part."""
    _of(path).write_bytes(path, content)


def make_directory(directory: str) -> None:
    """Make a folder and its parents, and prove that it can be written to."""
    _of(directory).make_directory(directory)


def remove(path: str) -> None:
    """Remove a file, or a folder and all in it; one that is already gone is fine."""
    _of(path).remove(path)


def sync(directory: str) -> None:
    """Put a folder's entries on the disk: without it a power cut can lose a rename but keep what came after."""
    _of(directory).sync(directory)


def _of(path: str) -> ModuleType | Any:
    """The module that does it: `local` or `gcs`, which have the same functions."""
    if path.startswith(GS):
        from trainer.storage import gcs  # Google's client takes a while to import

        gcs.check(path)
        return gcs
    is_remote(path)
    return local
