"""A folder that is there whole or not at all: checkpoints and exports.

    with commit.staged(paths.join(job_dir, "checkpoints", "1000")) as folder:
        ...                                   # write files below `folder`, a local path
    newest = commit.committed(paths.join(job_dir, "checkpoints"))[-1]
    commit.verify(newest)                     # raises DamagedError, naming the file

The files come first, then `manifest.json` with size and crc32c of each, then the marker `COMMITTED` with the
manifest's own crc32c, then one rename to the final name. Readers trust only what the marker covers, so a process may
be killed at any line here.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import google_crc32c

from trainer.errors import RunError, reason
from trainer.storage import paths


MANIFEST = "manifest.json"
MARKER = "COMMITTED"
CHUNK_BYTES = 1 << 22


class DamagedError(RunError):
    """A committed folder no longer holds what its manifest says."""


@contextlib.contextmanager
def staged(destination: str) -> Iterator[str]:
    """Yield a local folder to write into; on a clean exit it becomes `destination`, complete and marked.

    What is committed is never written again: raises `RunError` when `destination` is by then, and also, naming it,
    when the disk is full or the folder cannot be written. What was there before stays.
    """
    directory = paths.parent(destination)
    paths.make_directory(directory)
    folder = paths.temporary_in(directory)
    try:
        os.mkdir(folder)
        yield folder
        _seal(folder)
        _publish(folder, destination)
        paths.sync(directory)
    except (OSError, RunError) as error:
        cause = error.__cause__ if isinstance(error, RunError) else error
        if not isinstance(cause, OSError) or (cause is not error and folder not in str(error)):
            raise
        raise RunError(f"{destination}: cannot be written: {reason(cause)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def committed(directory: str) -> list[str]:
    """The committed folders in `directory` whose names are whole numbers, smallest first."""
    names = [name for name in paths.list_names(directory) if name.isdecimal()]
    folders = [paths.join(directory, name) for name in sorted(names, key=int)]
    return [folder for folder in folders if is_committed(folder)]


def is_committed(folder: str) -> bool:
    """Whether the marker is there; says nothing of damage since, see `verify`."""
    return paths.exists(paths.join(folder, MARKER))


def verify(folder: str) -> None:
    """Read every file that the manifest names; raise `DamagedError` at the first that is missing or differs."""
    marker, manifest = (_read(folder, name) for name in (MARKER, MANIFEST))
    if marker.decode(errors="replace").strip() != _text(google_crc32c.value(manifest)):
        raise DamagedError(f"{paths.join(folder, MANIFEST)}: checksum differs from the one in {MARKER}")
    for name, expected in json.loads(manifest)["files"].items():
        path = paths.join(folder, name)
        try:
            found = _entry(path)
        except RunError as error:
            raise DamagedError(str(error)) from error
        if found["size"] != expected["size"]:
            raise DamagedError(f"{path}: {found['size']} bytes, expected {expected['size']}")
        if found["crc32c"] != expected["crc32c"]:
            raise DamagedError(f"{path}: checksum differs from the one in {MANIFEST}")


def retract(folder: str) -> None:
    """Take the marker away: readers no longer trust the folder, its files stay to be looked at."""
    paths.remove(paths.join(folder, MARKER))
    if paths.is_directory(folder):
        paths.sync(folder)


def remove(folder: str) -> None:
    """Remove a committed folder, its marker first, so that no reader takes the rest for whole."""
    retract(folder)
    paths.remove(folder)


def remove_staging(directory: str) -> None:
    """Remove what killed writers left; only the one writer of `directory` may call it."""
    for name in paths.list_names(directory):
        if name.startswith(paths.TEMPORARY):
            paths.remove(paths.join(directory, name))


def _seal(folder: str) -> None:
    """Put the files on the disk, then the manifest, then the marker."""
    files = {}
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(root, name)
            files[os.path.relpath(path, folder).replace(os.sep, "/")] = _entry(path)
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        paths.sync(root)
    manifest = json.dumps({"files": files}, indent=1).encode()
    paths.write_bytes(paths.join(folder, MANIFEST), manifest)
    paths.write_bytes(paths.join(folder, MARKER), _text(google_crc32c.value(manifest)).encode() + b"\n")


def _publish(folder: str, destination: str) -> None:
    if paths.exists(destination) and not is_committed(destination):
        paths.remove(destination)  # left by a writer that does not commit, or retracted; nothing trusts it
    try:
        os.rename(folder, destination)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise RunError(f"{destination}: is committed already; is another run writing to this folder?") from error


def _entry(path: str) -> dict[str, Any]:
    """The size and the checksum of a file, read in parts, since a model may be larger than what memory is left."""
    size = checksum = 0
    with paths.open_input(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            size, checksum = size + len(chunk), google_crc32c.extend(checksum, chunk)
    return {"size": size, "crc32c": _text(checksum)}


def _read(folder: str, name: str) -> bytes:
    try:
        return paths.read_bytes(paths.join(folder, name))
    except RunError as error:
        raise DamagedError(str(error)) from error


def _text(checksum: int) -> str:
    return f"{checksum:08x}"
