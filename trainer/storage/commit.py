"""A folder that is there whole or not at all, on a disk or in a bucket: checkpoints and exports.

    with commit.staged(paths.join(job_dir, "checkpoints", "1000")) as folder:
        ...                                   # write files below `folder`, a local path
    newest = commit.committed(paths.join(job_dir, "checkpoints"))[-1]
    commit.verify(newest)                     # raises DamagedError, naming the file
    with commit.opened(newest) as folder:     # a local path again
        ...

The files come first, then `manifest.json` with size and crc32c of each, then the marker `COMMITTED` with the
manifest's own crc32c. On a disk one rename to the final name is last. A bucket has no rename: there the files go to
their final names, a listing has to show each as it was sent, and the marker is created only where there is none.
Readers trust only what the marker covers, so a process may be killed at any line here.
"""

import contextlib
import errno
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping

import google_crc32c

from trainer.errors import ConflictError, MissingError, RunError, reason
from trainer.storage import local, paths
from trainer.storage.entry import Entry, crc32c_text


MANIFEST = "manifest.json"
MARKER = "COMMITTED"
LAST = frozenset({"saved_model.pb", "saved_model.pbtxt", "checkpoint"})
"""What readers look for who know no marker, such as TensorFlow Serving: it is sent after all else."""


class DamagedError(RunError):
    """A committed folder no longer holds what its manifest says."""


def at_once(job: Callable[[], None]) -> None:
    """Do it now; `uploads` has another way."""
    job()


@contextlib.contextmanager
def staged(destination: str, submit: Callable[[Callable[[], None]], None] = at_once) -> Iterator[str]:
    """Yield a local folder to write into; on a clean exit it becomes `destination`, complete and marked.

    The latter is a job that `submit` is given, and that may be done again when it failed. What is committed is never
    written again: raises `RunError` when `destination` is by then, and also, naming it, when the disk is full or the
    folder cannot be written. What was there before stays.
    """
    directory = paths.parent(destination)
    if paths.is_remote(destination):
        _make_staging(_staging(directory))
    else:
        paths.make_directory(directory)
    folder = local.temporary_in(_staging(directory))
    try:
        with _naming(destination, folder):
            os.mkdir(folder)
            yield folder
            submit(functools.partial(_publish, folder, destination))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def committed(directory: str) -> list[str]:
    """The committed folders in `directory` whose names are whole numbers, smallest first."""
    files = (name.split("/") for name in paths.list_files(directory))
    names = {parts[0] for parts in files if parts[1:] == [MARKER] and parts[0].isdecimal()}
    return [paths.join(directory, name) for name in sorted(names, key=int)]


def is_committed(folder: str) -> bool:
    """Whether the marker is there; says nothing of damage since, see `verify`."""
    return paths.exists(paths.join(folder, MARKER))


def verify(folder: str) -> None:
    """Compare every file with the manifest; raise `DamagedError` at the first that is missing or differs.

    On a disk they are read; a bucket knows the checksums of what it holds.
    """
    marker, manifest = (_read(folder, name) for name in (MARKER, MANIFEST))
    if marker.decode(errors="replace").strip() != crc32c_text(google_crc32c.value(manifest)):
        raise DamagedError(f"{paths.join(folder, MANIFEST)}: checksum differs from the one in {MARKER}")
    there = paths.list_files(folder)
    for name, expected in json.loads(manifest)["files"].items():
        path = paths.join(folder, name)
        if name not in there:
            raise DamagedError(f"{path}: {os.strerror(errno.ENOENT).lower()}")
        if there[name].size != expected["size"]:
            raise DamagedError(f"{path}: {there[name].size} bytes, expected {expected['size']}")
        if (there[name].crc32c or _checksum(path)) != expected["crc32c"]:
            raise DamagedError(f"{path}: checksum differs from the one in {MANIFEST}")


@contextlib.contextmanager
def opened(folder: str) -> Iterator[str]:
    """Yield a local folder with the files of one that may be in a bucket: then a copy, removed after the block.

    A copy of a committed folder is verified by itself, since the objects may go while they are copied. Raises
    `DamagedError` when they do; a folder that was never ours is taken as it is.
    """
    if not paths.is_remote(folder):
        yield folder
        return
    from trainer.storage import transfer

    with tempfile.TemporaryDirectory(prefix="trainer-") as copy:
        there = paths.list_files(folder)
        if MANIFEST in there and MARKER not in there:
            raise DamagedError(
                f"{folder}: has no marker {MARKER}; it is being written, or removed, or was found damaged"
            )
        try:
            transfer.fetch(folder, there, copy)
        except MissingError as error:
            raise DamagedError(f"{folder}: was removed while it was being read") from error
        if MARKER in there:
            _verify_copy(copy, folder)
        yield copy


def retract(folder: str) -> None:
    """Take the marker away: readers no longer trust the folder, its files stay to be looked at."""
    paths.remove(paths.join(folder, MARKER))
    if not paths.is_remote(folder) and paths.is_directory(folder):
        paths.sync(folder)


def remove(folder: str) -> None:
    """Remove a committed folder, its marker first, so that no reader takes the rest for whole.

    In a bucket the manifest goes last, so that the rest is not taken for a folder that was never ours either.
    """
    retract(folder)
    if paths.is_remote(folder):
        from trainer.storage import transfer

        transfer.clear(folder, last=MANIFEST)
    else:
        paths.remove(folder)


def prune(directory: str, keep: int) -> None:
    """Remove all committed folders in `directory` but the `keep` with the greatest numbers."""
    for folder in committed(directory)[:-keep]:
        remove(folder)


def remove_staging(directory: str) -> None:
    """Remove what killed writers left on this machine; only the one writer of `directory` may call it."""
    staging = _staging(directory)
    for name in paths.list_names(staging):
        if name.startswith(local.TEMPORARY):
            paths.remove(paths.join(staging, name))


def _staging(directory: str) -> str:
    """Where folders are written that are to be in `directory`: on a disk in it, else always in the same local place."""
    if not paths.is_remote(directory):
        return directory
    own = os.path.join(tempfile.gettempdir(), f"trainer-{os.getuid()}")
    return os.path.join(own, crc32c_text(google_crc32c.value(directory.encode())))


def _make_staging(folder: str) -> None:
    """Make the place below the system's temporary folder, where another user may have made one of that name."""
    own = os.path.dirname(folder)
    os.makedirs(own, mode=0o700, exist_ok=True)
    if os.lstat(own).st_uid != os.getuid():
        raise RunError(f"{own}: belongs to another user; expected a folder of your own, or another TMPDIR")
    os.makedirs(folder, exist_ok=True)


def _publish(folder: str, destination: str) -> None:
    with _naming(destination, folder):
        if paths.is_remote(destination):
            _send(folder, destination)
        else:
            _rename(folder, destination)
    shutil.rmtree(folder, ignore_errors=True)


def _rename(folder: str, destination: str) -> None:
    """Put the files on the disk, manifest and marker too, then all of them in their place: nobody looks here before."""
    manifest = _manifest(_entries(folder))
    for name, content in ((MANIFEST, manifest), (MARKER, _marker(manifest))):
        with open(os.path.join(folder, name), "wb") as output:
            output.write(content)
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                os.fsync(file.fileno())
        paths.sync(root)
    if paths.exists(destination) and not is_committed(destination):
        paths.remove(destination)  # left by a writer that does not commit, or retracted; nothing trusts it
    try:
        os.rename(folder, destination)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise ConflictError(f"{destination}: {TAKEN}") from error
    paths.sync(paths.parent(destination))


def _send(folder: str, destination: str) -> None:
    """Make the objects be the files, then create the manifest, then the marker."""
    from trainer.storage import gcs, transfer  # Google's client takes a while to import: here and above

    files = _entries(folder)
    there = transfer.mirror(folder, files, destination, last=LAST, seal=MARKER)
    if MARKER in there:  # by an attempt whose last answer was lost, or by someone else
        if {name: (there[name].size, there[name].crc32c) for name in there if name not in (MARKER, MANIFEST)} != {
            name: (entry.size, entry.crc32c) for name, entry in files.items()
        }:
            raise ConflictError(f"{destination}: {TAKEN}")
        return
    manifest = _manifest(there)
    for name, content in ((MANIFEST, manifest), (MARKER, _marker(manifest))):
        gcs.write_bytes(paths.join(destination, name), content, generation=0)


TAKEN = "is committed already; is another run writing to this folder?"


def _entries(folder: str) -> dict[str, Entry]:
    """The files of a local folder with their checksums."""
    files = local.list_files(folder)
    return {
        name: Entry(entry.size, entry.version, entry.modified, local.checksum(f"{folder}/{name}"))
        for name, entry in files.items()
    }


def _manifest(files: Mapping[str, Entry]) -> bytes:
    """A manifest's content. Of an object it has the generation too: which of all that had its name it was."""
    described = {
        name: {"size": entry.size, "crc32c": entry.crc32c} | ({"generation": entry.version} if entry.is_object else {})
        for name, entry in files.items()
    }
    return json.dumps({"files": described}, indent=1).encode()


def _marker(manifest: bytes) -> bytes:
    return crc32c_text(google_crc32c.value(manifest)).encode() + b"\n"


def _verify_copy(copy: str, folder: str) -> None:
    try:
        verify(copy)
    except DamagedError as damage:
        raise DamagedError(str(damage).replace(copy, folder)) from damage


def _read(folder: str, name: str) -> bytes:
    with _damaged_if_unreadable(folder):
        return paths.read_bytes(paths.join(folder, name))


def _checksum(path: str) -> str:
    with _damaged_if_unreadable(path):
        return paths.checksum(path)


@contextlib.contextmanager
def _damaged_if_unreadable(path: str) -> Iterator[None]:
    """What a disk cannot read is damaged; of a bucket, only what is not there: the network may be to blame else."""
    try:
        yield
    except RunError as error:
        if paths.is_remote(path) and not isinstance(error, MissingError):
            raise
        raise DamagedError(str(error)) from error


@contextlib.contextmanager
def _naming(destination: str, folder: str) -> Iterator[None]:
    """Name the destination where the system's refusal would name the folder that nobody knows."""
    try:
        yield
    except (OSError, RunError) as error:
        cause = error.__cause__ if isinstance(error, RunError) else error
        if not isinstance(cause, OSError) or (cause is not error and folder not in str(error)):
            raise
        where = f" to {os.path.dirname(folder)} first" if paths.is_remote(destination) else ""
        raise RunError(f"{destination}: cannot be written{where}: {reason(cause)}") from error
