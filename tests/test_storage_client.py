"""What a bucket refuses, and how it is said: in one line that names the path, without anything secret."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import gcs_server
from tests.fault_proxy import FaultProxy
from tests.gcs_stub import SKEWED, TOKEN, answering, impatient, private_key
from trainer.errors import RunError
from trainer.storage import client, commit, credentials, lease, paths


ROOT = Path(__file__).parent.parent
LOGIN = "expected credentials: run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"


def written(path):
    with paths.open_output(path) as file:
        file.write(b"x")


def staged(path):
    with commit.staged(path) as folder:
        paths.write_bytes(f"{folder}/file", b"x")


CALLS = {
    "read": paths.read_bytes,
    "open": paths.open_input,
    "stat": paths.stat,
    "exists": paths.exists,
    "list": paths.list_names,
    "list all": paths.list_files,
    "glob": lambda path: paths.expand([f"{path}/*.csv"]),
    "file": lambda path: paths.expand([path]),
    "write": lambda path: paths.write_bytes(path, b"x"),
    "output": written,
    "job dir": paths.make_directory,
    "lease": lease.acquire,
    "stage": staged,
    "committed": commit.committed,
    "remove": paths.remove,
}
BRIEFLY = ("read", "list", "write")


def line_of(call, path="gs://some-bucket/folder/name"):
    """What is said where a call fails, which has to be one line that begins with the path."""
    with pytest.raises(RunError) as error:
        call(path)
    line = str(error.value)
    assert line.startswith(path)
    assert "\n" not in line
    assert error.value.exit_code == 1
    return line


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No credentials, no emulator, and a client that knows of none."""
    client._client.cache_clear()
    monkeypatch.setattr(credentials, "_in_use", [])
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "home"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    impatient(monkeypatch, within_s=0.05)
    yield
    client._client.cache_clear()


@pytest.fixture
def account(alone, monkeypatch, tmp_path):
    """Have Google's part played by a stub, for which there are credentials."""

    def use(stub):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", stub.service_account(str(tmp_path)))
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", stub.url)

    return use


@pytest.mark.parametrize("name", CALLS)
def test_a_bucket_that_is_not_there_is_said(name, gcs):
    if name in ("exists", "remove"):
        call = CALLS[name]
        with pytest.raises(RunError, match=r"^gs://nowhere/x/?: no such bucket \(404\)"):
            call("gs://nowhere/x")
    else:
        assert "no such bucket" in line_of(CALLS[name], "gs://nowhere/x")


FORBIDDEN = "permission denied (403): Asked as Bearer [secret]; expected the role Storage Object User on the bucket"


@pytest.mark.parametrize(
    ("name", "status", "problem"),
    [
        *((name, 403, FORBIDDEN) for name in CALLS),
        *((name, 401, f"the credentials were refused (401): Asked as Bearer [secret]; {LOGIN}") for name in BRIEFLY),
        *((name, 400, "Asked as Bearer [secret] (400)") for name in BRIEFLY),
        *((name, 503, "Asked as Bearer [secret] (503); tried for 0 s") for name in BRIEFLY),
    ],
)
def test_what_the_server_answers_is_said_for_every_call_and_without_the_token(name, status, problem, account, caplog):
    with answering(status) as stub:
        account(stub)
        assert line_of(CALLS[name]).endswith(f": {problem}")
        assert {asked for _, target, asked in stub.requests if target != "/token"} == {f"Bearer {TOKEN}"}
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("name", CALLS)
def test_a_port_that_nobody_listens_at_is_said(name, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    impatient(monkeypatch, within_s=0.1)
    assert line_of(CALLS[name]).endswith(": no connection: connection refused; tried for 0 s")


@pytest.mark.parametrize("name", BRIEFLY)
def test_a_server_that_does_not_answer_is_said(name, gcs, gcs_port, monkeypatch):
    with FaultProxy(gcs_port, choose=lambda request: "hang", hang_s=30) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        impatient(monkeypatch, within_s=0.3, timeout_s=0.2)
        assert line_of(CALLS[name]).endswith(": no answer within 0 s; tried for 0 s")


@pytest.mark.parametrize("kind", ["reset_request", "reset_response"])
def test_a_connection_that_is_lost_again_and_again_is_said(kind, gcs, gcs_port, monkeypatch):
    with FaultProxy(gcs_port, choose=lambda request: kind) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        impatient(monkeypatch, within_s=0.2)
        assert ": no connection: " in line_of(CALLS["write"])


def test_an_answer_that_breaks_off_again_and_again_is_said_however_it_is_read(gcs, gcs_port, monkeypatch):
    paths.write_bytes(f"{gcs}/file", b"x" * 10_000)
    known = paths.stat(f"{gcs}/file")
    with FaultProxy(gcs_port, choose=lambda request: "cut") as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        impatient(monkeypatch, within_s=0.2)
        with paths.open_input(f"{gcs}/file", known=known) as file:
            line_of(lambda path: file.read(), f"{gcs}/file")
        line_of(paths.read_bytes, f"{gcs}/file")


@pytest.mark.parametrize(
    "path",
    [
        "gs://",
        "gs:///",
        "gs:///x",
        "gs://b/x",
        "gs://Bucket/x",
        "gs://-b-/x",
        "gs://a b/x",
        "gs://b?cket/x",
        "gs://b:1",
    ],
)
@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_the_name_of_a_bucket_is_refused_without_asking(name, path, alone):
    with pytest.raises(RunError) as error:
        CALLS[name](path)
    bucket = path.removeprefix("gs://").split("/")[0]
    assert str(error.value).startswith(path.rstrip("/"))
    assert str(error.value).endswith(f": {bucket!r} is not the name of a bucket; expected gs://BUCKET/PATH")


@pytest.mark.parametrize("path", ["gs://buck*/x", "gs://*/x", "gs://[ab]/x"])
def test_a_glob_cannot_stand_for_a_bucket(path, alone):
    with pytest.raises(RunError) as error:
        paths.expand([path])
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith(" is not the name of a bucket; expected gs://BUCKET/PATH")


@pytest.mark.parametrize("name", CALLS)
def test_without_credentials_there_is_a_line_that_says_how_to_get_them(name, alone):
    with pytest.raises(RunError) as error:
        CALLS[name]("gs://some-bucket/folder")
    assert str(error.value).startswith("gs://some-bucket")
    assert str(error.value).endswith(f": no Google credentials: there are none; {LOGIN}")
    assert error.value.exit_code == 1


def test_a_clock_that_is_wrong_is_said(account):
    with answering(200, token_error=SKEWED) as stub:
        account(stub)
        assert line_of(paths.read_bytes).endswith(
            f": the credentials could not be renewed: invalid_grant: {SKEWED}; {LOGIN}, and a clock that is right"
        )
        assert {target for _, target, _ in stub.requests} == {"/token"}


def test_a_clock_that_is_set_back_wants_a_new_token_and_no_new_client(account):
    """What expires under a run is renewed by itself."""
    with answering(404) as stub:
        account(stub)
        line_of(paths.read_bytes)
        credentials._in_use[-1].expiry = credentials._in_use[-1].expiry.replace(year=2000)
        line_of(paths.read_bytes)
        assert [target for _, target, _ in stub.requests].count("/token") == 2


SECRETS = (TOKEN, *private_key().split("\n")[1:-2])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("TOKEN may not", "[secret] may not"),
        ("header AUTHORIZATION, bearer abc.def-1", "header Bearer [secret] bearer [secret]"),
        ("POST https://x/upload?upload_id=AbC-1_d&y=1", "POST https://x/upload?upload_id=[secret]&y=1"),
        ("https://x/y?access_token=AbC-1_d", "https://x/y?access_token=[secret]"),
        ("two\nlines", "two lines"),
        ("long" * 100, "long" * 75),
    ],
)
def test_what_the_server_says_is_shown_in_one_line_without_secrets(said, shown, account):
    with answering(400, said=said) as stub:
        account(stub)
        assert line_of(paths.read_bytes) == f"gs://some-bucket/folder/name: {shown} (400)"


@pytest.mark.parametrize("status", [401, 403, 503])
def test_no_secret_is_in_what_an_error_carries_or_in_a_log(status, account, caplog):
    with answering(status) as stub, caplog.at_level(logging.DEBUG, logger="trainer"):
        account(stub)
        with pytest.raises(RunError) as error:
            paths.write_bytes("gs://some-bucket/x", b"x")
        found, chain = error.value, ""
        while found is not None:
            chain += f"{found!r}\n"
            found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    assert str(status) in chain
    for secret in SECRETS:
        assert secret not in chain
        assert secret not in caplog.text


@pytest.mark.parametrize(("status", "token_error"), [(401, ""), (403, ""), (200, SKEWED)])
def test_no_secret_is_in_what_a_command_prints_to_debug(status, token_error, tmp_path):
    with answering(status, token_error=token_error) as stub:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "STORAGE_EMULATOR_HOST"},
            "GOOGLE_APPLICATION_CREDENTIALS": stub.service_account(str(tmp_path)),
            "API_ENDPOINT_OVERRIDE": stub.url,
        }
        command = [sys.executable, "-m", "trainer.predict", "--model-dir", "gs://some-bucket/job"]
        command += ["--json-instances", "docs/examples/babyweight.json", "--debug", "--verbosity", "DEBUG"]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        assert stub.requests
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("trainer.predict: error: gs://some-bucket/job")
    for secret in SECRETS:
        assert secret not in run.stdout + run.stderr


def test_no_secret_is_in_what_a_run_logs_and_leaves(account, births, gcs_port, train, monkeypatch):
    url = f"http://127.0.0.1:{gcs_port}"
    gcs_server.create_bucket(url, "with-a-token")
    with answering(200) as stub:
        account(stub)
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", url)
        impatient(monkeypatch)
        flags = {"train_steps": 4, "eval_every": 2, "train_batch_size": 64, "verbosity": "DEBUG"}
        lines = train("babyweight", data_dir=births, job_dir="gs://with-a-token/job", **flags)
        assert {target for _, target, _ in stub.requests} == {"/token"}
        left = {name: paths.read_bytes(f"gs://with-a-token/{name}") for name in paths.list_files("gs://with-a-token")}
    assert "job/run.json" in left
    assert credentials._in_use[-1].token == TOKEN
    for secret in SECRETS:
        assert secret not in str(lines)
        assert not [name for name, content in left.items() if secret.encode() in content]
