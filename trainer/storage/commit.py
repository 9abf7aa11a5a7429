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
import json
import os
import shutil
import tempfile
from collections.abc import Iterator

import google_crc32c

from trainer.errors import RunError
from trainer.storage import paths


MANIFEST = "manifest.json"
MARKER = "COMMITTED"


class DamagedError(RunError):
    """A committed folder no longer holds what its manifest says."""


@contextlib.contextmanager
def staged(destination: str) -> Iterator[str]:
    """Yield a local folder to write into; on a clean exit it becomes `destination`, complete and marked.

    Raises `RunError` naming `destination` when the disk is full or the folder cannot be written; what was there
    before stays.
    """
    parent = paths.parent(destination)
    folder = None
    try:
        os.makedirs(parent, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=paths.TEMPORARY, dir=parent)
        os.chmod(folder, 0o755)  # mkdtemp makes it private; a server that runs as another user reads exports
        yield folder
        _seal(folder)
        if paths.exists(destination) and not is_committed(destination):
            shutil.rmtree(destination)  # left by a writer that does not commit; nothing trusts it
        os.rename(folder, destination)
        _sync(parent)
    except OSError as error:
        raise RunError(f"{destination}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        if folder:
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
    manifest = _read(folder, MANIFEST)
    if _read(folder, MARKER).decode(errors="replace").strip() != _crc32c(manifest):
        raise DamagedError(f"{paths.join(folder, MANIFEST)}: checksum differs from the one in {MARKER}")
    for name, entry in json.loads(manifest)["files"].items():
        content = _read(folder, name)
        if len(content) != entry["size"]:
            raise DamagedError(f"{paths.join(folder, name)}: {len(content)} bytes, expected {entry['size']}")
        if _crc32c(content) != entry["crc32c"]:
            raise DamagedError(f"{paths.join(folder, name)}: checksum differs from the one in {MANIFEST}")


def retract(folder: str) -> None:
    """Take the marker away: readers no longer trust the folder, its files stay to be looked at."""
    paths.remove(paths.join(folder, MARKER))


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
    files = {}
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                content = file.read()
                os.fsync(file.fileno())
            relative = os.path.relpath(path, folder).replace(os.sep, "/")
            files[relative] = {"size": len(content), "crc32c": _crc32c(content)}
        _sync(root)
    manifest = json.dumps({"files": files}, indent=1).encode()
    paths.write_bytes(paths.join(folder, MANIFEST), manifest)
    paths.write_bytes(paths.join(folder, MARKER), _crc32c(manifest).encode() + b"\n")
    _sync(folder)


def _read(folder: str, name: str) -> bytes:
    try:
        return paths.read_bytes(paths.join(folder, name))
    except RunError as error:
        raise DamagedError(str(error)) from error


def _crc32c(content: bytes) -> str:
    return f"{google_crc32c.value(content):08x}"


def _sync(directory: str) -> None:
    """Make a folder's entries durable: without it a power cut can lose the rename but keep what came after."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
