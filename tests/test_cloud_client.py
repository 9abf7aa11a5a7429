"""What becomes of a request to a service: answered, sent again, or refused in one line."""

import subprocess
import sys

import pytest

from tests import gcs_stub
from tests.scripted import answering
from trainer.cloud import client
from trainer.errors import ConflictError, MissingError, RunError


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Try again after milliseconds, for a second in all."""
    retry = client.RETRY.with_delay(initial=0.01, maximum=0.05).with_timeout(1.0)
    monkeypatch.setattr(client, "RETRY", retry)


def error(code, message):
    return (code, {"error": {"code": code, "message": message, "status": "X"}})


def job(url):
    return client.connect("ml", endpoint=url).projects().jobs().get(name="projects/p/jobs/j")


def test_an_answer_is_a_dict():
    with answering(lambda request: (200, {"jobId": "j"})) as server:
        assert client.send(job(server.url)) == {"jobId": "j"}
        assert server.requests[0].path == "/v1/projects/p/jobs/j?alt=json"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_that_may_pass_is_waited_for(status, caplog):
    with answering(lambda request: error(status, "later") if len(server.requests) < 3 else (200, {"a": 1})) as server:
        with caplog.at_level("INFO", "trainer.cloud"):
            assert client.send(job(server.url)) == {"a": 1}
        assert len(server.requests) == 3
    assert "waiting for the service: " in caplog.messages[0]


@pytest.mark.parametrize(("status", "why"), [(429, "a quota is used up"), (503, "the service is not available")])
def test_trouble_that_stays_ends_with_its_reason(status, why):
    with answering(lambda request: error(status, "Quota exceeded for 'x'.")) as server:
        with pytest.raises(RunError) as raised:
            client.send(job(server.url))
        assert str(raised.value) == f"{server.url}: {why} ({status}): Quota exceeded for 'x'.; tried for 1 s"
        assert len(server.requests) > 3


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, RunError, "wrong (400)"),
        (401, RunError, "the credentials were refused (401): wrong; expected credentials: run gcloud auth"),
        (403, RunError, "permission denied (403): wrong; expected a role that may do this in the project"),
        (404, MissingError, "wrong (404)"),
        (409, ConflictError, "wrong (409)"),
    ],
)
def test_a_refusal_is_one_line_with_the_services_sentence_and_is_final(status, kind, said):
    with answering(lambda request: error(status, "wrong")) as server:
        with pytest.raises(kind) as raised:
            client.send(job(server.url))
        assert str(raised.value).startswith(f"{server.url}: {said}")
        assert len(server.requests) == 1


@pytest.mark.parametrize("content", [b"<html>Sign in</html>", b"", b"\xff\xfe", b"{"])
def test_an_answer_that_is_no_json_is_said(content):
    with (
        answering(lambda request: (200, content)) as server,
        pytest.raises(RunError, match="the answer is no JSON object"),
    ):
        client.send(job(server.url))


def test_an_error_that_is_no_json_has_the_reason_of_its_status():
    with answering(lambda request: (404, b"<html>")) as server, pytest.raises(MissingError) as raised:
        client.send(job(server.url))
    assert str(raised.value).endswith("not found, in an answer that is not JSON (404)")


def test_an_error_may_be_a_sentence_alone():
    said = (400, {"error": "Prediction failed: x"})
    with answering(lambda request: said) as server, pytest.raises(RunError, match=r"Prediction failed: x \(400\)"):
        client.send(job(server.url))


def test_a_connection_that_is_lost_is_tried_again():
    with answering(lambda request: None if len(server.requests) < 6 else (200, {"a": 1})) as server:
        assert client.send(job(server.url)) == {"a": 1}


def test_a_port_where_nobody_listens_is_said_at_once():
    with answering(lambda request: None) as server:
        pass
    with pytest.raises(RunError, match="nobody listens there; expected the address of a service that runs"):
        client.send(job(server.url))


def test_what_must_not_be_done_twice_is_looked_for_before_it_is_sent_again():
    looked = []

    def done():
        looked.append(True)
        return {"found": True}

    with answering(lambda request: error(503, "later")) as server:
        assert client.send_unless_done(job(server.url), done) == {"found": True}
        assert len(server.requests) == len(looked) == 1


def test_what_was_not_done_is_sent_again():
    with answering(lambda request: error(503, "later") if len(server.requests) < 2 else (200, {"a": 1})) as server:
        assert client.send_unless_done(job(server.url), lambda: None) == {"a": 1}
        assert len(server.requests) == 2


def test_without_credentials_there_is_a_line_that_says_how_to_get_them(tmp_path):
    code = "from trainer.cloud import client; client.connect('ml', endpoint='https://ml.example.com')"
    environ = {"HOME": str(tmp_path), "PATH": "", "NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "RunError: https://ml.example.com: no Google credentials: there are none; expected credentials: run" in last


def test_vertex_ai_is_asked_in_its_region(tmp_path, monkeypatch):
    with gcs_stub.answering(200) as stub:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", stub.service_account(str(tmp_path)))
        service = client.connect("aiplatform", endpoint=None, region="europe-west4")
        request = service.projects().locations().customJobs().get(name="projects/p/locations/r/customJobs/1")
    assert request.uri.startswith("https://europe-west4-aiplatform.googleapis.com/v1/projects/p/")


def test_an_address_elsewhere_is_asked_with_credentials(tmp_path, monkeypatch):
    """Only this machine's own are asked without."""
    with gcs_stub.answering(200) as stub:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", stub.service_account(str(tmp_path)))
        service = client.connect("ml", endpoint="https://ml.example.com")
        assert service._http.credentials.service_account_email == "trainer@nobodys.iam.gserviceaccount.com"
        client.send(job(stub.url))
        assert [authorization for _, _, authorization in stub.requests] == [""]
