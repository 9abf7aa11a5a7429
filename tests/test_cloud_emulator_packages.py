"""Packages of jobs: unpacked on a path of their own, or installed in a fresh environment."""

import io
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests import emulator
from tests.emulator import PROJECT, training
from trainer.cloud.emulator import packages
from trainer.errors import RunError
from trainer.storage import paths


def sdist(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return str(path)


def wheel(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


def said(prepared, code):
    """What Python prints with these packages on its path."""
    done = subprocess.run(
        [prepared.python, "-c", code], env={"PYTHONPATH": ":".join(prepared.path)}, capture_output=True, text=True
    )
    return done.stdout.strip() or done.stderr


def test_the_packages_of_sdists_and_wheels_can_be_imported(tmp_path):
    files = [
        sdist(tmp_path / "flat-1.tar.gz", {"flat-1/setup.py": "", "flat-1/flat/__init__.py": "x = 1"}),
        sdist(tmp_path / "deep-1.tar.gz", {"deep-1/setup.py": "", "deep-1/src/deep/__init__.py": "x = 2"}),
        wheel(tmp_path / "wide-1.whl", {"wide/__init__.py": "x = 3", "wide-1.dist-info/METADATA": ""}),
    ]
    prepared = packages.unpacked(files, str(tmp_path / "unpacked"))
    assert prepared.python == sys.executable
    assert said(prepared, "import flat, deep, wide; print(flat.x, deep.x, wide.x)") == "1 2 3"


def test_the_first_package_wins(tmp_path):
    files = [
        sdist(tmp_path / f"{n}.tar.gz", {f"{n}/setup.py": "", f"{n}/same/__init__.py": f"x = '{n}'"}) for n in "ab"
    ]
    assert said(packages.unpacked(files, str(tmp_path / "unpacked")), "import same; print(same.x)") == "a"


@pytest.mark.parametrize("name", ["broken.tar.gz", "broken.whl"])
def test_a_file_that_is_no_package_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"no archive")
    with pytest.raises(RunError, match=name):
        packages.unpacked([str(tmp_path / name)], str(tmp_path / "unpacked"))


def test_a_file_outside_of_its_folder_is_not_unpacked(tmp_path):
    file = sdist(tmp_path / "evil.tar.gz", {"evil/setup.py": "", "../../outside.py": "x = 1"})
    with pytest.raises(RunError, match=r"evil\.tar\.gz"):
        packages.unpacked([file], str(tmp_path / "a" / "unpacked"))
    assert not list(tmp_path.rglob("outside.py"))


SCRIPT = """
import json, sys, importlib.metadata
print(json.dumps({"message": "where", "prefix": sys.prefix, "version": importlib.metadata.version("tiny")}))
"""


@pytest.mark.slow  # pip asks the package index for setuptools
def test_a_job_runs_in_a_fresh_environment_where_its_package_is_installed(gcs, gcs_port, tmp_path):
    uri = emulator.package(f"{gcs}/packages", SCRIPT)
    with emulator.running(str(tmp_path / "state"), storage=f"http://127.0.0.1:{gcs_port}", reuse_env=False) as cloud:
        body = {"jobId": "fresh_1", "trainingInput": training([uri])}
        cloud.ml.projects().jobs().create(parent=f"projects/{PROJECT}", body=body).execute()
        job = cloud.ended(f"projects/{PROJECT}/jobs/fresh_1", deadline_s=200)
        assert (job["state"], job.get("errorMessage")) == ("SUCCEEDED", None)
        (where,) = [line for line in cloud.printed("fresh_1", "chief-replica-0") if isinstance(line, dict)]
        assert where["prefix"].startswith(cloud.state)
        assert where["version"] == "0.1"


@pytest.mark.slow  # pip asks the package index for setuptools
def test_a_package_that_pip_cannot_install_fails_its_job_with_pips_lines_in_the_log(gcs, gcs_port, tmp_path):
    file = sdist(tmp_path / "broken-1.tar.gz", {"broken-1/setup.py": "raise SystemExit('no compiler')"})
    paths.write_bytes(f"{gcs}/broken-1.tar.gz", paths.read_bytes(file))
    with emulator.running(str(tmp_path / "state"), storage=f"http://127.0.0.1:{gcs_port}", reuse_env=False) as cloud:
        body = {"jobId": "broken_1", "trainingInput": training([f"{gcs}/broken-1.tar.gz"])}
        cloud.ml.projects().jobs().create(parent=f"projects/{PROJECT}", body=body).execute()
        job = cloud.ended(f"projects/{PROJECT}/jobs/broken_1", deadline_s=200)
        assert job["state"] == "FAILED"
        assert job["errorMessage"] == "The replica chief 0 exited with a non-zero status of 1."
        errors = [entry for entry in cloud.log("broken_1") if "no compiler" in entry["textPayload"]]
        assert {entry["resource"]["labels"]["task_name"] for entry in errors} == {"chief-replica-0"}
