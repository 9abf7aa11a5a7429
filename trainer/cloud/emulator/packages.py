"""The packages of a job, fetched from their bucket and made importable: the environment of its replicas.

files = packages.fetched(uris, folder)
prepared = packages.unpacked(files, folder)        # on a path of their own, with this interpreter
command, prepared = packages.environment(folder)   # or a fresh environment, and what installs them in it:
packages.installation(prepared, files)
"""

import os
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.errors import RunError
from trainer.storage import paths


ARCHIVES = (".tar.gz", ".tgz", ".tar", ".tar.bz2")
WHEELS = (".whl", ".zip")


@dataclass(frozen=True)
class Prepared:
    """An interpreter and what goes first on its path."""

    python: str
    path: tuple[str, ...] = ()


def fetched(uris: Sequence[str], folder: str) -> list[str]:
    """The packages as files of this machine. Raises `RunError` for one that cannot be read."""
    files = []
    for position, uri in enumerate(uris):  # two may have the same file name
        file = os.path.join(folder, str(position), paths.name(uri))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        paths.write_bytes(file, paths.read_bytes(uri))
        files.append(file)
    return files


def unpacked(files: Sequence[str], folder: str) -> Prepared:
    """The packages unpacked beside one another, none installed. Raises `RunError` for a file that is no package."""
    roots = []
    for position, file in enumerate(files):
        target = os.path.join(folder, str(position))
        try:
            if file.endswith(WHEELS):
                with zipfile.ZipFile(file) as wheel:
                    wheel.extractall(target)
            else:
                with tarfile.open(file) as archive:
                    archive.extractall(target, filter="data")
        except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
            raise RunError(f"{os.path.basename(file)}: {error}; expected an sdist or a wheel") from error
        roots.append(_root(target))
    return Prepared(sys.executable, tuple(roots))


def environment(folder: str) -> tuple[list[str], Prepared]:
    """The command that makes a fresh environment, and what it makes."""
    return [sys.executable, "-m", "venv", folder], Prepared(os.path.join(folder, "bin", "python"))


def installation(prepared: Prepared, files: Sequence[str]) -> list[str]:
    """The command that installs packages there."""
    return [prepared.python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *files]


def _root(folder: str) -> str:
    """What goes on the path: an sdist has all in a folder of its name, and its packages perhaps in `src` there."""
    names = os.listdir(folder)
    root = os.path.join(folder, names[0]) if len(names) == 1 and not _is_package(folder, names[0]) else folder
    source = os.path.join(root, "src")
    return source if os.path.isdir(source) and not _is_package(root, "src") else root


def _is_package(folder: str, name: str) -> bool:
    return not os.path.isdir(os.path.join(folder, name)) or "__init__.py" in os.listdir(os.path.join(folder, name))
