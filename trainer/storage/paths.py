"""Read, write, list and remove by path.

    files = paths.expand(["data/babyweight/train.csv*"])
    paths.write_bytes(paths.join(job_dir, "run.json"), text.encode())

A path is a string. Errors name the path; a write is whole or not there.
"""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from trainer.errors import RunError, UsageError


GS = "gs://"
TEMPORARY = ".tmp-"  # how the names of files and folders begin that are not whole yet


def join(directory: str, *names: str) -> str:
    """`join("gs://b/x/", "y")` is `gs://b/x/y`; never normalises, since that would break the `//` of a URL."""
    return "/".join([directory.rstrip("/") or "/", *names]).replace("//", "/", 1 if directory == "/" else 0)


def name(path: str) -> str:
    """The last component: `train.csv` of `gs://b/x/train.csv`."""
    return path.rstrip("/").rsplit("/", 1)[-1]


def parent(path: str) -> str:
    """The folder that holds `path`; `.` for a bare name."""
    head, slash, _ = path.rstrip("/").rpartition("/")
    return head if head else ("/" if slash else ".")


def expand(patterns: Sequence[str]) -> list[str]:
    """The files that the globs match, each once, in order. A pattern that matches nothing raises `UsageError`."""
    found: dict[str, None] = {}
    for pattern in patterns:
        files = matches(pattern)
        if not files:
            raise UsageError(f"{pattern}: no such file; expected a path or a glob that matches at least one file")
        found.update(dict.fromkeys(files))
    return list(found)


def matches(pattern: str) -> list[str]:
    """The files that a glob matches, in order; hidden ones, such as half-written ones, do not count."""
    return sorted(path for path in glob.glob(_local(pattern), recursive=True) if os.path.isfile(path))


def exists(path: str) -> bool:
    """Whether there is a file or a folder at `path`."""
    return os.path.exists(_local(path))


def is_directory(path: str) -> bool:
    """Whether `path` is a folder."""
    return os.path.isdir(_local(path))


def size(path: str) -> int:
    """The size of a file in bytes."""
    with _named(path):
        return os.path.getsize(_local(path))


def list_names(directory: str) -> list[str]:
    """The names inside a folder, sorted; empty when there is no such folder."""
    try:
        with _named(directory):
            return sorted(os.listdir(_local(directory)))
    except RunError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return []
        raise


def open_input(path: str) -> BinaryIO:
    """Open a file for reading bytes; it can seek."""
    with _named(path):
        return open(_local(path), "rb")


def read_bytes(path: str) -> bytes:
    """The whole content of a file."""
    with open_input(path) as file:
        return file.read()


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file: a reader sees the old content or the new, never a part."""
    with _named(path):
        directory = parent(_local(path))
        os.makedirs(directory, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(handle, 0o666 & ~_umask())  # mkstemp makes it private; others may read what we write
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def append_bytes(path: str, content: bytes) -> None:
    """Add to the end of a file, made first if it is not there."""
    with _named(path):
        os.makedirs(parent(_local(path)), exist_ok=True)
        with open(path, "ab") as file:
            file.write(content)


def make_directory(directory: str) -> None:
    """Make a folder and its parents, and prove that it can be written to."""
    with _named(directory):
        os.makedirs(_local(directory), exist_ok=True)
        handle, probe = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)
        os.close(handle)
        os.unlink(probe)


def remove(path: str) -> None:
    """Remove a file, or a folder and all in it; one that is already gone is fine."""
    with _named(path), contextlib.suppress(FileNotFoundError):
        if os.path.isdir(_local(path)):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def _local(path: str) -> str:
    if path.startswith(GS):
        raise UsageError(f"{path}: gs:// paths are not supported by this version; use a local path")
    return path


def _umask() -> int:
    mask = os.umask(0o022)  # it can only be read by setting it
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn the operating system's refusal into one line that names the path."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: {(error.strerror or str(error)).lower()}") from error
