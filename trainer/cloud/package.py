"""The sources of a job as an sdist: built as gcloud does, the same bytes for the same sources, stored by its content.

archive = package.build("trainer")                       # with the setup.py beside the folder, or one made for it
uri = package.location(archive, "gs://my-bucket")        # gs://my-bucket/packages/<sha256>/trainer-0.1.0.tar.gz
package.upload(archive, uri)                             # nothing is sent where it is already
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass

from trainer.errors import MissingError, RunError, UsageError
from trainer.storage import paths


PACKAGES = "packages"
MADE_SETUP = """\
from setuptools import find_packages, setup
setup(name={name!r}, version="0.0.0", packages=find_packages(include=[{name!r}, {name!r} + ".*"]))
"""
SETUP_OF_PYPROJECT = "from setuptools import setup\nsetup()\n"
TIME = 315_532_800  # 1980-01-01, the least that the wheel made of it can have
DEADLINE_S = 120


@dataclass(frozen=True)
class Archive:
    """An sdist and the name of its file."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def build(package_path: str) -> Archive:
    """The sdist of the project whose folder `package_path` is: a Python package, with its setup.py beside it.

    Raises `UsageError` where it is none, and `RunError` with the last line of what setuptools said.
    """
    folder = os.path.abspath(package_path)
    if not os.path.isdir(folder):
        raise UsageError(f"--package-path: {package_path}: no such folder; expected a Python package, such as trainer")
    if not os.path.isfile(os.path.join(folder, "__init__.py")):
        raise UsageError(f"--package-path: {package_path}: has no __init__.py; expected a Python package")
    with tempfile.TemporaryDirectory(prefix="trainer-") as temporary:
        project, made = os.path.join(temporary, "project"), os.path.join(temporary, "dist")
        _link(os.path.dirname(folder), project, os.path.basename(folder))
        words = [sys.executable, "setup.py", "-q", "sdist", "--formats=tar", "--dist-dir", made]
        done = subprocess.run(
            words, cwd=project, capture_output=True, text=True, errors="replace", timeout=DEADLINE_S, check=False
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
            raise RunError(f"{os.path.join(os.path.dirname(package_path), 'setup.py')}: sdist failed: {said}")
        (name,) = os.listdir(made)
        return Archive(f"{name}.gz", _same_bytes(os.path.join(made, name)))


def location(archive: Archive, staging: str) -> str:
    """Where an archive is stored below a bucket or a job dir: by its content, so that two are never mistaken."""
    return paths.join(staging, PACKAGES, archive.sha256, archive.name)


def upload(archive: Archive, uri: str) -> None:
    """Store an archive, unless it is there."""
    try:
        paths.stat(uri)
    except MissingError:
        try:
            paths.write_bytes(uri, archive.content)
        except MissingError as error:
            raise RunError(f"{uri}: no such bucket (404); expected one that these credentials may write to") from error


def _link(project: str, copy: str, name: str) -> None:
    """A folder with links to all of a project but what is hidden, for setuptools to leave its traces in.

    Not a copy: there may be data and environments beside the package.
    """
    os.mkdir(copy)
    for entry in os.listdir(project):
        if not entry.startswith(".") and not entry.endswith(".egg-info") and entry not in ("build", "dist"):
            os.symlink(os.path.join(project, entry), os.path.join(copy, entry))
    setup = os.path.join(copy, "setup.py")
    if not os.path.exists(setup):
        described = os.path.exists(os.path.join(copy, "pyproject.toml"))
        with open(setup, "w", encoding="utf-8") as file:
            file.write(SETUP_OF_PYPROJECT if described else MADE_SETUP.format(name=name))


def _same_bytes(tar: str) -> bytes:
    """The files of an archive without what differs from one build to the next: times, owners, umask."""
    content = io.BytesIO()
    with (
        tarfile.open(tar) as source,
        gzip.GzipFile(filename="", fileobj=content, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source.getmembers():  # in order: tarfile adds folders so
            if not member.isfile():
                continue
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mtime, entry.mode = member.size, TIME, 0o755 if member.mode & 0o100 else 0o644
            target.addfile(entry, source.extractfile(member))
    return content.getvalue()
