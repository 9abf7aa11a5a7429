"""Read, write, list and remove by path.

    files = paths.expand(["data/babyweight/train.csv*"])
    paths.write_bytes(paths.join(job_dir, "run.json"), text.encode())

A path is a string. Errors name the path; a write is whole or not there.
"""

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from trainer.errors import RunError, UsageError, reason


GS = "gs://"
TEMPORARY = ".tmp-"  # how the names of files and folders begin that are not whole yet
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
            found.setdefault(os.path.abspath(file), file)
    return list(found.values())


def matches(pattern: str) -> list[str]:
    """The files that a glob matches, in order; a `*` leaves out hidden ones, such as those that are not whole yet."""
    if os.path.isfile(_local(pattern)):
        return [pattern]  # a name may have brackets of its own
    return sorted({path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)})


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
    with open_input(path) as file, _named(path):
        return file.read()


@contextlib.contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    """Open a file for writing bytes. It is there, whole and on the disk, after the block, and not if that raises."""
    with _named(path):
        target = os.path.realpath(_local(path))  # a link stays a link
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            with open(path, "wb") as file:  # a pipe or a terminal, such as /dev/stdout, has no content to replace
                yield file
            return
        _make(parent(target))
        temporary = temporary_in(parent(target))
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            sync(parent(target))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file: a reader sees the old content or the new, never a part."""
    with open_output(path) as file:
        file.write(content)


def append_bytes(path: str, content: bytes) -> None:
    """Add to the end of a file, made first if it is not there."""
    with _named(path):
        _make(parent(_local(path)))
        with open(path, "ab") as file:
            file.write(content)


def make_directory(directory: str) -> None:
    """Make a folder and its parents, and prove that it can be written to."""
    try:
        _make(_local(directory))
        probe = temporary_in(directory)
        open(probe, "xb").close()
        os.unlink(probe)
    except OSError as error:
        raise RunError(f"{directory}: {reason(error)}; expected a folder that can be written to") from error


def temporary_in(directory: str) -> str:
    """A new name for what is not whole yet; what has it gets the rights that the user's umask leaves."""
    return join(directory, TEMPORARY + secrets.token_hex(8))


def remove(path: str) -> None:
    """Remove a file, or a folder and all in it; one that is already gone is fine."""
    with _named(path), contextlib.suppress(FileNotFoundError):
        if os.path.isdir(_local(path)) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def sync(directory: str) -> None:
    """Put a folder's entries on the disk: without it a power cut can lose a rename but keep what came after."""
    with _named(directory):
        handle = os.open(_local(directory), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _local(path: str) -> str:
    if scheme := SCHEME.match(path):
        raise UsageError(f"{path}: {scheme[1]}// paths are not supported by this version; expected a local path")
    return path


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn the operating system's refusal into one line that names the path."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: {reason(error)}") from error
