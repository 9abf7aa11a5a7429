"""`python -m trainer.serve`, as a process and by its arguments."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from test_serving_model import place, write_model

from tests.serving import DEADLINE, ask, ask_on, connect, is_ready, wait_until
from trainer import serve
from trainer.errors import RunError, UsageError
from trainer.settings import command


TRUE = {"is_male": "True", "mother_age": 26}
PREDICT = "/v1/models/toy:predict"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_model(str(folder / "model"))
    place(str(folder / "model"), folder / "toy" / "1500000000")
    return str(folder / "toy")


@contextlib.contextmanager
def process(*arguments, **environ):
    """The command, with what it has written: a list of lines that grows."""
    words = [sys.executable, "-m", "trainer.serve", *arguments]
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("AIP_")}, **environ}
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    lines = []

    def read():
        for line in started.stdout:
            lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield started, lines
    finally:
        started.kill()
        started.wait(DEADLINE)
        reader.join(DEADLINE)
        started.stdout.close()


def address(lines):
    """Where the server says that it listens."""
    found = wait_until(lambda: [line for line in lines if "listening on" in line])
    return json.loads(found[0])["url"].rstrip("/")


def test_it_serves_until_it_is_asked_to_end_and_answers_what_it_has_begun(exports):
    """A request waits ten seconds for others to share its call; SIGTERM comes meanwhile."""
    slow = ("--batch-timeout-micros", "10000000")
    with process("--model-dir", exports, "--port", "0", *slow) as (started, lines):
        url = address(lines)
        wait_until(lambda: is_ready(url))
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(url, PREDICT, {"instances": [TRUE]})))
        kept = connect(url)
        assert ask_on(kept, "/v1/models/toy").status == 200
        asking.start()
        wait_until(lambda: "trainer_requests_in_progress 2.0" in ask(url, "/metrics").content.decode())
        started.send_signal(signal.SIGTERM)
        wait_until(lambda: ask_on(kept, "/healthz").status == 503 if kept.sock else True)
        for _ in range(50):
            refused = ask(url, PREDICT, {"instances": [TRUE]})  # nobody is left without an answer
            assert refused.status == 503
            assert refused.headers["connection"] == "close"
        assert not answers
        asking.join(DEADLINE)
        assert answers[0].content == {"predictions": [14.0]}
        assert started.wait(DEADLINE) == 0
        kept.close()
    parsed = [json.loads(line) for line in lines]
    assert all({"severity", "message"} <= line.keys() for line in parsed)
    assert [line["message"] for line in parsed if "httpRequest" not in line][:3] == [
        f"listening on {url}/",
        "serving toy, version 1500000000",
        "ready",
    ]


def test_a_platforms_variables_say_what_and_where(exports):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {
        "AIP_HTTP_PORT": str(port),
        "AIP_STORAGE_URI": exports,
        "AIP_PREDICT_ROUTE": "/p",
        "AIP_HEALTH_ROUTE": "/h",
    }
    with process(**environ) as (started, lines):
        assert address(lines) == f"http://0.0.0.0:{port}"
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(url))
        assert ask(url, "/h").status == 200
        assert ask(url, "/p", {"instances": [TRUE]}).content["predictions"] == [{"outputs": 14.0}]
        started.send_signal(signal.SIGINT)
        assert started.wait(DEADLINE) == 0


def test_a_second_signal_ends_it_at_once(exports):
    slow = ("--batch-timeout-micros", "60000000", "--timeout-secs", "120")
    with process("--model-dir", exports, "--port", "0", *slow) as (started, lines):
        url = address(lines)
        wait_until(lambda: is_ready(url))
        connection = connect(url)
        connection.request("POST", PREDICT, json.dumps({"instances": [TRUE]}))
        wait_until(lambda: "trainer_requests_in_progress 2.0" in ask(url, "/metrics").content.decode())
        started.send_signal(signal.SIGTERM)
        wait_until(lambda: ask(url, "/healthz").status == 503)
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        started.wait(DEADLINE)
        assert time.monotonic() - began < 20
        connection.close()


def test_an_export_that_cannot_be_loaded_ends_it_in_one_line(tmp_path):
    write_model(str(tmp_path / "model"))
    (tmp_path / "model" / "variables" / "variables.index").unlink()
    with process("--model-dir", str(tmp_path / "model"), "--port", "0") as (started, lines):
        assert started.wait(DEADLINE) == 1
    assert lines[-1].startswith("trainer.serve: error: Failed to load model: ")
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--model-dir: missing; expected a job dir"),
        (["--model-dir", "nowhere"], "nowhere: no such directory"),
        (["--model", "nowhere"], "--model 'nowhere': expected NAME=DIR"),
        (["--model", "../x=nowhere"], "--model '../x=nowhere': expected NAME=DIR"),
        (["--model", "a=b", "--model", "a=c"], "--model a/v1: given twice"),
        (["--model", "a=b", "--model-dir", "c"], "--model: unexpected beside --model-dir"),
        (["--model-dir", "a", "--model-name", "a/b"], "--model-name 'a/b': expected letters"),
        (["--model-dir", "a", "--port", "x"], "--port: 'x': expected a whole number"),
        (["--model-dir", "a", "--port", "65536"], "--port: 65536: expected 0 to 65535"),
        (["--model-dir", "a", "--port", "-1"], "--port: -1: expected 0 to 65535"),
        (["--model-dir", "a", "--max-batch-size", "0"], "--max-batch-size: 0: expected 1 or more"),
        (["--model-dir", "a", "--timeout-secs", "0"], "--timeout-secs: 0.0: expected more than 0"),
        (["--model-dir", "a", "--poll-secs", "nan"], "--poll-secs: 'nan': expected a number"),
        (["--modeldir", "a"], "--modeldir: unexpected; did you mean --model-dir?"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(words, expected, capsys):
    assert command.run(lambda argv: serve.main(argv, environ={}), prog=serve.PROG, argv=words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"trainer.serve: error: {expected}")
    assert len(error.splitlines()) == 1


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(exports):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: address already in use"):
            serve.main(["--model-dir", exports, "--port", str(port)], environ={})


def test_a_host_that_is_none_is_said(exports):
    with pytest.raises(UsageError, match=r"--host no\.such\.host"):
        serve.main(["--model-dir", exports, "--host", "no.such.host.invalid", "--port", "0"], environ={})


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_token_file_has_to_hold_a_token(exports, tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(RunError, match=r"token: (no such file|empty; expected a token)"):
        serve.main(["--model-dir", exports, "--auth-token-file", str(tmp_path / "token")], environ={})


@pytest.mark.parametrize(
    ("directory", "name"),
    [("jobs/babyweight", "babyweight"), ("gs://b/my jobs/", "my_jobs"), ("export/final/1500000000/", "1500000000")],
)
def test_a_model_is_called_as_its_directory_unless_it_has_a_name(directory, name):
    args = serve._parser({}).parse_args(["--model-dir", directory])
    assert [(model.name, model.label) for model in serve._sources(args, {})] == [(name, "v1")]
    args = serve._parser({}).parse_args(["--model-dir", directory, "--model-name", "other"])
    assert [model.name for model in serve._sources(args, {})] == ["other"]


def test_several_models_have_names_and_versions_of_their_own():
    words = ["--model", "a=x", "--model", "a/v2=gs://b/y=z", "--model", "b/final=w"]
    named = serve._sources(serve._parser({}).parse_args(words), {})
    assert [(model.name, model.label, model.directory) for model in named] == [
        ("a", "v1", "x"),
        ("a", "v2", "gs://b/y=z"),
        ("b", "final", "w"),
    ]


def test_only_this_machine_may_ask_unless_a_platform_or_the_user_says_otherwise():
    assert serve._parser({}).parse_args([]).host == "127.0.0.1"
    assert serve._parser({"AIP_HTTP_PORT": "8080"}).parse_args([]).host == "0.0.0.0"
    assert serve._parser({"AIP_HTTP_PORT": "8080"}).parse_args([]).port == 8080
    assert serve._parser({"AIP_HTTP_PORT": "8080"}).parse_args(["--host", "::1", "--port", "1"]).port == 1
