"""Packages of jobs: built as gcloud does, the same bytes for the same sources, stored once."""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from trainer.cloud import package
from trainer.errors import RunError, UsageError
from trainer.storage import paths


ROOT = Path(__file__).parent.parent
SETUP = "from setuptools import setup\nsetup(name='acme', version='1.2', packages=['acme'])\n"


@pytest.fixture
def project(tmp_path):
    """A small project with a package."""
    folder = tmp_path / "project"
    (folder / "acme").mkdir(parents=True)
    (folder / "acme/__init__.py").write_text("")
    (folder / "acme/task.py").write_text("print('hello')\n")
    (folder / "setup.py").write_text(SETUP)
    (folder / "data").mkdir()
    (folder / "data/large.csv").write_text("not to be sent")
    return folder


def names(archive):
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        return {member.name for member in tar.getmembers()}


def test_the_package_and_its_setup_are_in_the_archive_and_nothing_else_of_the_project(project):
    archive = package.build(str(project / "acme"))
    assert archive.name == "acme-1.2.tar.gz"
    assert {"acme-1.2/setup.py", "acme-1.2/PKG-INFO", "acme-1.2/acme/__init__.py", "acme-1.2/acme/task.py"} <= names(
        archive
    )
    assert not any("large.csv" in name for name in names(archive))


def test_the_same_sources_are_the_same_bytes_whenever_wherever_and_with_whatever_umask(project, tmp_path):
    first = package.build(str(project / "acme"))
    copy = tmp_path / "elsewhere"
    shutil.copytree(project, copy)
    for path in copy.rglob("*.py"):
        os.utime(path, (time.time() - 1e6,) * 2)
        path.chmod(0o600)
    assert package.build(str(copy / "acme")).content == first.content
    (copy / "acme/task.py").write_text("print('goodbye')\n")
    assert package.build(str(copy / "acme")).sha256 != first.sha256


def test_what_runs_stays_executable(project):
    (project / "acme/run.sh").write_text("#!/bin/sh\n")
    (project / "acme/run.sh").chmod(0o755)
    (project / "setup.py").write_text(
        SETUP.replace("packages=['acme']", "packages=['acme'], package_data={'acme': ['*.sh']}")
    )
    with tarfile.open(fileobj=io.BytesIO(package.build(str(project / "acme")).content)) as tar:
        modes = {member.name: member.mode for member in tar.getmembers()}
    assert modes["acme-1.2/acme/run.sh"] == 0o755
    assert modes["acme-1.2/acme/task.py"] == 0o644


def test_nothing_is_left_in_the_project(project):
    before = {path.relative_to(project) for path in project.rglob("*")}
    package.build(str(project / "acme"))
    assert {path.relative_to(project) for path in project.rglob("*")} == before


def test_a_project_without_a_setup_gets_one(project):
    (project / "setup.py").unlink()
    (project / "acme/inner").mkdir()
    (project / "acme/inner/__init__.py").write_text("")
    archive = package.build(str(project / "acme"))
    assert archive.name == "acme-0.0.0.tar.gz"
    assert "acme-0.0.0/acme/inner/__init__.py" in names(archive)


def test_a_project_may_be_described_by_pyproject_alone(project):
    (project / "setup.py").unlink()
    (project / "pyproject.toml").write_text(
        "[project]\nname = 'acme'\nversion = '3.0'\n[tool.setuptools]\npackages = ['acme']\n"
    )
    assert package.build(str(project / "acme")).name == "acme-3.0.tar.gz"


def test_this_package_is_whole_in_its_archive():
    found = {name.partition("/")[2] for name in names(package.build(str(ROOT / "trainer")))}
    wanted = {
        str(path.relative_to(ROOT)) for path in (ROOT / "trainer").rglob("*") if path.suffix in (".py", ".js", ".css")
    }
    assert wanted <= found


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda project: shutil.rmtree(project / "acme"), UsageError, "no such folder; expected a Python package"),
        (
            lambda project: (project / "acme/__init__.py").unlink(),
            UsageError,
            "has no __init__.py; expected a Python package",
        ),
        (
            lambda project: (project / "setup.py").write_text("1/0"),
            RunError,
            "setup.py: sdist failed: ZeroDivisionError",
        ),
    ],
)
def test_what_cannot_be_packaged_is_said_in_a_line(change, kind, said, project):
    change(project)
    with pytest.raises(kind) as raised:
        package.build(str(project / "acme"))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_archive_is_stored_by_its_content_and_only_once(project, gcs):
    archive = package.build(str(project / "acme"))
    uri = package.location(archive, gcs)
    assert uri == f"{gcs}/packages/{archive.sha256}/acme-1.2.tar.gz"
    package.upload(archive, uri)
    before = paths.stat(uri)
    package.upload(archive, uri)
    assert paths.stat(uri) == before, "it was sent again"
    assert paths.read_bytes(uri) == archive.content


def test_a_bucket_that_is_not_there_is_named(project, gcs):
    archive = package.build(str(project / "acme"))
    with pytest.raises(RunError, match=r"^gs://nobodys-bucket/.*: no such bucket \(404\)"):
        package.upload(archive, package.location(archive, "gs://nobodys-bucket"))


def test_pip_installs_it(project, tmp_path):
    archive = package.build(str(project / "acme"))
    (tmp_path / archive.name).write_bytes(archive.content)
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", "there", archive.name]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there/acme/task.py").read_text() == "print('hello')\n"


def test_the_compressed_file_has_no_time_and_no_name(project):
    content = package.build(str(project / "acme")).content
    with gzip.open(io.BytesIO(content)) as file:
        file.read(1)
        assert file.mtime == 0
    assert content[3] == 0, "a flag for a name, a comment or more"
