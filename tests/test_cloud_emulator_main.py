"""`python -m trainer.cloud.emulator` as users call it: what it refuses, what it says first, its own buckets."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import emulator
from tests.emulator import wait_until
from trainer.cloud.emulator import __main__ as command_line
from trainer.errors import ConflictError
from trainer.settings import command
from trainer.storage import paths


ROOT = Path(__file__).parent.parent
EMULATOR = [sys.executable, "-m", "trainer.cloud.emulator"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--host", "0.0.0.0"], "--host: 0.0.0.0: expected 127.0.0.1 or localhost or ::1: it runs what it is sent"),
        (["--port", "70000"], "--port: 70000: expected 0 to 65535"),
        (["--port", "x"], "--port: 'x': expected a whole number; see --help"),
        (["--jobs", "0"], "--jobs: 0: expected 1 or more"),
        (["--grace-secs", "-1"], "--grace-secs: -1.0: expected 0 or more"),
        ([], "--bucket: not given, nor STORAGE_EMULATOR_HOST; expected the name of a bucket to make"),
        (["--buckets", "x"], "--buckets: unexpected; did you mean --bucket?"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(capsys, monkeypatch, tmp_path, words, error):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    words = ["--state", str(tmp_path), *words]
    assert command.run(lambda argv: command_line.main(argv, {}), prog="trainer.cloud.emulator", argv=words) == 2
    assert capsys.readouterr() == ("", f"trainer.cloud.emulator: error: {error}\n")


def test_a_port_that_is_taken_is_refused(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = [*EMULATOR, "--state", str(tmp_path), "--port", port]
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}
        done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"trainer.cloud.emulator: error: --port: {port}: address already in use\n"


def test_it_says_first_where_it_listens_and_what_it_is_for(tmp_path, gcs_port):
    state = str(tmp_path / "state")
    with emulator.running(state, storage=f"http://127.0.0.1:{gcs_port}") as cloud:
        lines = [json.loads(line) for line in Path(f"{state}.log").read_text().splitlines()]
        assert lines[0]["message"] == f"listening on {cloud.url}/"
        assert lines[0]["url"] == f"{cloud.url}/"
        assert cloud.url.startswith("http://127.0.0.1:")
        wait_until(lambda: len(Path(f"{state}.log").read_text().splitlines()) > 1)
        second = json.loads(Path(f"{state}.log").read_text().splitlines()[1])
        assert second["severity"] == "WARNING"
        assert second["message"].startswith("for development and tests")
        assert cloud.end() == 0


def test_its_own_buckets_keep_objects_and_preconditions_over_a_restart(tmp_path, monkeypatch):
    state = str(tmp_path / "state")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)

    def host(started):
        lines = Path(f"{state}.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if "STORAGE_EMULATOR_HOST" in line]
        return found[started] if len(found) > started else None

    for started in (0, 1):
        with emulator.running(state, "--bucket", "births", "more", storage=None):
            said = wait_until(lambda started=started: host(started))
            assert said["buckets"] == ["births", "more"]
            assert said["message"] == f"export STORAGE_EMULATOR_HOST={said['STORAGE_EMULATOR_HOST']}"
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", said["STORAGE_EMULATOR_HOST"])
            if not started:
                paths.write_bytes("gs://births/a/b.txt", b"hello")
                known = paths.stat("gs://births/a/b.txt")
            assert paths.stat("gs://births/a/b.txt") == known
            assert paths.read_bytes("gs://births/a/b.txt") == b"hello"
            assert paths.list_names("gs://more") == []
            with pytest.raises(ConflictError):
                create_only("births", "a/b.txt")
            assert paths.read_bytes("gs://births/a/b.txt") == b"hello"


def create_only(bucket, name):
    """Write an object that must not be there."""
    from trainer.storage import client

    blob = client.bucket(bucket).blob(name)
    client.request(name, lambda: blob.upload_from_string(b"other", if_generation_match=0, **client.LIMITS))
