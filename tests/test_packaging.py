"""The package as pip and gcloud see it: an sdist and a wheel, installed in an environment of their own."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent


def run(*words, cwd):
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.mark.slow
def test_the_sdist_and_the_wheel_hold_every_file_of_the_package(built):
    package = {
        str(path.relative_to(ROOT)) for path in (ROOT / "trainer").rglob("*") if path.suffix in (".py", ".typed")
    }
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert package <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert package | {"setup.py", "README.md", "LICENSE"} <= names


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_installed_sdist_trains_and_predicts_away_from_the_sources(built, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    (sdist,) = built.glob("*.tar.gz")
    run(python, "-m", "pip", "install", "--quiet", sdist, cwd=tmp_path)
    run(python, "-m", "trainer.task", "--experiment", "babyweight", "--job-dir", "job", cwd=tmp_path)
    instances = ROOT / "docs/examples/babyweight.json"
    printed = run(python, "-m", "trainer.predict", "--model-dir", "job", "--json-instances", instances, cwd=tmp_path)
    assert len(printed.splitlines()) == 2
