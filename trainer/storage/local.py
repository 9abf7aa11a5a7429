"""Files and folders on this machine's disks: what `paths` does for a path without a scheme."""

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from typing import BinaryIO

from trainer.errors import MissingError, RunError, reason
from trainer.storage.entry import CHANGED, Entry, crc32c_of


TEMPORARY = ".tmp-"  # how the names of files and folders begin that are not whole yet


def identity(path: str) -> str:
    """The same text for every way to write a path."""
    return os.path.abspath(path)


def matches(pattern: str) -> list[str]:
    if os.path.isfile(pattern):
        return [pattern]  # a name may have brackets of its own
    return sorted({path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)})


def exists(path: str) -> bool:
    return os.path.exists(path)


def is_directory(path: str) -> bool:
    return os.path.isdir(path)


def stat(path: str) -> Entry:
    with _named(path):
        found = os.stat(path)
    return Entry(found.st_size, version=str(found.st_mtime_ns), modified=found.st_mtime)


def list_names(directory: str) -> list[str]:
    try:
        with _named(directory):
            return sorted(os.listdir(directory))
    except MissingError:
        return []


def list_files(directory: str) -> dict[str, Entry]:
    found = {}
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            with contextlib.suppress(MissingError):  # a writer may have removed it since
                found[os.path.relpath(path, directory).replace(os.sep, "/")] = stat(path)
    return dict(sorted(found.items()))


def checksum(path: str) -> str:
    with open_input(path) as file, _named(path):
        return crc32c_of(file)


def open_input(path: str, known: Entry | None = None, buffer_bytes: int = 0) -> BinaryIO:
    del buffer_bytes  # the system reads ahead by itself
    with _named(path):
        file = open(path, "rb")  # noqa: SIM115 -- the caller closes it
        if known and str(os.fstat(file.fileno()).st_mtime_ns) != known.version:
            file.close()
            raise RunError(f"{path}: {CHANGED}")
        return file


def read_bytes(path: str) -> bytes:
    with open_input(path) as file, _named(path):
        return file.read()


@contextlib.contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    with _named(path):
        target = os.path.realpath(path)  # a link stays a link
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            with open(path, "wb") as file:  # a pipe or a terminal, such as /dev/stdout, has no content to replace
                yield file
            return
        _make(os.path.dirname(target))
        temporary = temporary_in(os.path.dirname(target))
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            sync(os.path.dirname(target))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def write_bytes(path: str, content: bytes) -> None:
    with open_output(path) as file:
        file.write(content)


def make_directory(directory: str) -> None:
    try:
        _make(directory)
        probe = temporary_in(directory)
        open(probe, "xb").close()
        os.unlink(probe)
    except OSError as error:
        raise RunError(f"{directory}: {reason(error)}; expected a folder that can be written to") from error


def temporary_in(directory: str) -> str:
    """A new name for what is not whole yet; what has it gets the rights that the user's umask leaves."""
    return os.path.join(directory, TEMPORARY + secrets.token_hex(8))


def remove(path: str) -> None:
    with _named(path), contextlib.suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def sync(directory: str) -> None:
    """Put a folder's entries on the disk: without it a power cut can lose a rename but keep what came after."""
    with _named(directory):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
    except FileNotFoundError as error:
        raise MissingError(f"{path}: {reason(error)}") from error
    except OSError as error:
        raise RunError(f"{path}: {reason(error)}") from error
