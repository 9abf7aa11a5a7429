"""A served model follows the exports of its directory."""

import gc
import logging
import os
import shutil
import threading
import weakref

import pytest
import tensorflow as tf
from test_serving_model import place

from tests.serving import ask, ask_on, connect, serving, wait_until
from trainer.serving import model as calling
from trainer.serving import served


def write_constant(folder, value):
    """An export that answers every row with one number."""
    module = tf.Module()
    module.value = tf.Variable(float(value))
    function = tf.function(lambda x: {"y": 0.0 * x + module.value})
    signature = function.get_concrete_function(x=tf.TensorSpec([None], tf.float32, "x"))
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})


@pytest.fixture(scope="module")
def constants(tmp_path_factory):
    """Exports that answer 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("constants")
    for value in (1, 2, 3):
        write_constant(folder / str(value), value)
    return folder


@pytest.fixture
def warnings(caplog):
    """The warnings of the server."""
    log = logging.getLogger("trainer.serving")
    log.addHandler(caplog.handler)
    yield caplog
    log.removeHandler(caplog.handler)


def value(model):
    return calling.predict(model, [0.0])[0]["y"]


def test_a_newer_export_is_found_and_loaded(constants, tmp_path):
    first = place(constants / "1", tmp_path / "1500000000")
    assert served.newer(str(tmp_path), first, set()) is None
    place(constants / "2", tmp_path / "1500000001")
    newest = place(constants / "3", tmp_path / "1500000002")
    model = served.newer(str(tmp_path), first, set())
    assert model.directory == newest
    assert value(model) == 3.0


def test_the_best_of_the_same_second_is_newer_than_the_final(constants, tmp_path):
    final = place(constants / "1", tmp_path / "export" / "final" / "1500000000")
    best = place(constants / "2", tmp_path / "export" / "best" / "1500000000")
    assert served.newer(str(tmp_path), final, set()).directory == best
    assert served.newer(str(tmp_path), best, set()) is None


def test_an_older_export_is_not_taken_when_the_newest_is_removed(constants, tmp_path):
    place(constants / "1", tmp_path / "1500000000")
    assert served.newer(str(tmp_path), str(tmp_path / "1500000001"), set()) is None


def test_an_export_that_is_named_itself_is_never_replaced(constants, tmp_path):
    export = place(constants / "1", tmp_path / "1500000000")
    place(constants / "2", tmp_path / "1500000001")
    assert served.newer(export, export, set()) is None


def test_an_export_that_is_not_committed_is_not_taken(constants, tmp_path):
    first = place(constants / "1", tmp_path / "1500000000")
    shutil.copytree(constants / "2", tmp_path / "1500000001")
    assert served.newer(str(tmp_path), first, set()) is None


@pytest.mark.parametrize("damage", ["changed", "cannot be loaded"])
def test_a_damaged_export_is_passed_over_and_said_once(constants, tmp_path, warnings, damage):
    first = place(constants / "1", tmp_path / "1500000000")
    good = place(constants / "2", tmp_path / "1500000001")
    if damage == "changed":
        bad = place(constants / "3", tmp_path / "1500000002")
        with open(os.path.join(bad, "variables", "variables.data-00000-of-00001"), "ab") as file:
            file.write(b"x")
    else:
        shutil.copytree(constants / "3", tmp_path / "broken")
        (tmp_path / "broken" / "variables" / "variables.index").unlink()
        bad = place(tmp_path / "broken", tmp_path / "1500000002")
    refused = set()
    assert served.newer(str(tmp_path), first, refused).directory == good
    assert refused == {bad}
    assert f"still serving {first}" in warnings.text
    warnings.clear()
    assert served.newer(str(tmp_path), good, refused) is None
    assert warnings.text == ""


def test_a_folder_without_a_number_is_version_1():
    assert served.number("models/toy") == "1"
    assert served.number("gs://b/export/best/1500000000") == "1500000000"


def test_damaged_warm_up_requests_do_not_stop_a_server(constants, tmp_path, warnings):
    shutil.copytree(constants / "1", tmp_path / "model")
    (tmp_path / "model" / "assets.extra").mkdir()
    (tmp_path / "model" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"junk")
    assert value(served.load(str(tmp_path / "model"))) == 1.0
    assert "not warmed up" in warnings.text


def test_warm_up_requests_are_sent_one_by_one_and_together(babyweight_job, monkeypatch):
    rows = []
    call = calling.call

    def counted(model, signature, columns):
        rows.append((signature.name, len(next(iter(columns.values())))))
        return call(model, signature, columns)

    monkeypatch.setattr(calling, "call", counted)
    served.load(served.locate.locate(babyweight_job))
    for name in ("serving_default", "serving_examples"):
        assert rows.count((name, 1)) > 10
        assert rows.count((name, rows.count((name, 1)))) == 1


def test_a_newer_export_takes_over_without_a_failed_request(constants, tmp_path):
    """Clients ask without a pause while exports come; what they see goes from 1 to 2 to 3 and never back."""
    place(constants / "1", tmp_path / "export" / "best" / "1500000000")
    seen, failures, stop = [[] for _ in range(4)], [], threading.Event()

    def client(number):
        connection = connect(url)
        while not stop.is_set():
            answer = ask_on(connection, "/v1/models/toy:predict", {"instances": [0.0]})
            if answer.status == 200:
                seen[number].append(answer.content["predictions"][0])
            else:
                failures.append(answer)
        connection.close()

    with serving(("toy", str(tmp_path)), poll_seconds=0.05) as url:
        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for each in clients:
            each.start()
        for number in (2, 3):
            place(constants / str(number), tmp_path / "export" / "best" / f"150000000{number}")
            path = f"/v1/models/toy/versions/150000000{number}"
            wait_until(lambda path=path: ask(url, path).status == 200)
        wait_until(lambda: all(numbers and numbers[-1] == 3.0 for numbers in seen))
        stop.set()
        for each in clients:
            each.join()
        assert ask(url, "/v1/models/toy/versions/1500000000").status == 404
        assert 'trainer_reloads_total{model="toy"} 2.0' in ask(url, "/metrics").content.decode()
    assert failures == []
    for numbers in seen:
        assert numbers == sorted(numbers)
        assert set(numbers) >= {1.0, 3.0}


def test_a_model_that_was_replaced_is_freed(constants, tmp_path):
    export = place(constants / "1", tmp_path / "1500000000")
    model = served.load(export)
    gone = weakref.ref(model)
    session = weakref.ref(model.functions["serving_default"]._session)
    del model
    gc.collect()
    assert gone() is None
    assert session() is None


def test_a_model_in_a_bucket_is_fetched_verified_and_followed(gcs, constants, tmp_path):
    place(constants / "1", f"{gcs}/job/export/best/1500000000")
    with serving(("toy", f"{gcs}/job"), poll_seconds=0.1) as url:
        assert ask(url, "/v1/models/toy:predict", {"instances": [0.0]}).content == {"predictions": [1.0]}
        place(constants / "2", f"{gcs}/job/export/best/1500000001")
        wait_until(lambda: ask(url, "/v1/models/toy/versions/1500000001").status == 200)
        assert ask(url, "/v1/models/toy:predict", {"instances": [0.0]}).content == {"predictions": [2.0]}
