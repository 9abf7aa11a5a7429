"""An export that does not answer as the live model is refused, by name; and the process that finds it out."""

import dataclasses
import logging
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tests import iris_experiment, linear_experiment
from trainer.errors import RunError, UsageError
from trainer.experiment import Evaluation, ExportStrategy
from trainer.experiments import babyweight, mnist
from trainer.exporting import checker, comparison, parity, savedmodel, signatures
from trainer.exporting.strategies import RefusedError
from trainer.inputs.serving import ServingInput
from trainer.training import state
from trainer.training.loop import Trainer


ROOT = Path(__file__).parent.parent
LOGGER = "trainer.exporting"
ROWS = np.array([0.5, -0.25, 3.0, 100.0, 0.0], np.float32)


def model():
    """y = x, exactly: (B, 1) -> (B, 1)."""
    inputs = keras.Input((1,), name="x")
    same = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    return keras.Model({"x": inputs}, same(inputs))


def column(request):
    return {"x": tf.expand_dims(request["x"], -1)}


def outputs_of(outputs):
    return {"y": outputs[:, 0]}


def serving(features_fn=column, rows=ROWS, **more):
    return ServingInput({"x": tf.TensorSpec([None])}, features_fn, golden={"x": rows}, **more)


def keyed():
    """A serving input that forwards a key."""
    request = {"x": tf.TensorSpec([None]), "key": tf.TensorSpec([None], tf.string)}
    golden = {"x": ROWS, "key": np.array(["a", "b", "c", "d\0", "é"], object)}
    return ServingInput(request, column, forward=("key",), golden=golden)


def export(folder, given=None, predictions_fn=outputs_of, *, of=None, check=True, **strategy):
    """Write an export, checked as a run does it; returns its folder."""
    what = {"serving": given or serving(), "predictions_fn": predictions_fn}
    what["strategy"] = ExportStrategy("final", "final", **strategy)
    live = of or model()
    savedmodel.write(str(folder), live, evaluation=Evaluation(0, {}), **what)
    if check:
        parity.check(str(folder), live, **what)
    return str(folder)


def compare(folder, given=None, *, live, signature=None):
    """What differs between an export and the live answers, compared in this process."""
    requests = signatures.requests(given or serving(), legacy_keys=False)
    chosen = {name: columns for name, columns in requests.items() if signature in (None, name)}
    return comparison.difference(folder, chosen, live)


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return export(tmp_path_factory.mktemp("identity"), check=False)


@pytest.fixture
def own():
    """A checker for one test."""
    made = checker.Checker()
    yield made
    made.close()


def ended(pidfd, within_s=30):
    """Whether a process that `os.pidfd_open` was asked for ends."""
    return bool(select.select([pidfd], [], [], within_s)[0])


# What is refused.


def test_an_export_that_answers_as_the_live_model_passes(tmp_path):
    export(tmp_path)


def test_features_that_depend_on_when_they_are_traced_are_refused(tmp_path):
    calls = []

    def drifting(request):
        calls.append(1)
        return {"x": tf.expand_dims(request["x"], -1) * (1.0 + 0.001 * len(calls))}

    with pytest.raises(RefusedError) as error:
        export(tmp_path, serving(drifting))
    assert str(error.value) == (
        "not exported, since it does not answer as the model: signature serving_default: y: row 0: 0.5005 in the "
        "export, 0.501 in the live model; the limit is 1e-05"
    )


def test_predictions_that_are_others_in_a_graph_are_refused(tmp_path):
    def predictions(outputs):
        return {"y": outputs[:, 0] if tf.executing_eagerly() else tf.abs(outputs[:, 0])}

    with pytest.raises(RefusedError, match=r"serving_default: y: row 1: 0\.25 in the export, -0\.25 in the live model"):
        export(tmp_path, predictions_fn=predictions)


@pytest.mark.parametrize(("wrong", "shape"), [(lambda y: y[0], r"\(1,\)"), (tf.reduce_mean, r"\(\)")])
def test_predictions_that_are_not_one_an_example_are_refused(tmp_path, wrong, shape):
    with pytest.raises(UsageError, match=rf"predictions_fn: y: shape {shape} for {len(ROWS)} examples; expected"):
        export(tmp_path, predictions_fn=lambda y: {"y": wrong(y)})


def test_other_variables_in_the_file_are_refused(tmp_path):
    live, other = model(), model()
    other.set_weights([np.array([[2.0]])])
    folder = export(tmp_path / "a", of=live, check=False)
    shutil.rmtree(f"{folder}/variables")
    shutil.copytree(f"{export(tmp_path / 'b', of=other, check=False)}/variables", f"{folder}/variables")
    with pytest.raises(RefusedError, match=r"serving_default: y: row 0: 1\.0 in the export, 0\.5 in the live model"):
        parity.check(
            folder, live, serving=serving(), predictions_fn=outputs_of, strategy=ExportStrategy("final", "final")
        )


def test_a_damaged_variables_file_is_refused(tmp_path):
    live = model()
    folder = export(tmp_path, of=live, check=False)
    (path,) = tmp_path.glob("variables/*.data*")
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"as the model: .*hecksum"):
        parity.check(
            folder, live, serving=serving(), predictions_fn=outputs_of, strategy=ExportStrategy("final", "final")
        )


def test_a_signature_that_only_this_process_can_run_is_refused(tmp_path):
    def features(request):
        doubled = tf.py_function(lambda x: 2.0 * x, [request["x"]], tf.float32)
        return {"x": tf.reshape(doubled, [-1, 1])}

    with pytest.raises(RefusedError, match=r"as the model: signature serving_default: .*pyfunc"):
        export(tmp_path, serving(features))


def test_a_graph_that_this_process_alone_can_load_is_refused(tmp_path):
    folder = export(tmp_path, check=False)
    os.unlink(f"{folder}/saved_model.pb")
    with pytest.raises(RefusedError, match=r"as the model: .*saved_model"):
        parity.check(
            folder, model(), serving=serving(), predictions_fn=outputs_of, strategy=ExportStrategy("final", "final")
        )


def test_serving_examples_is_compared_too(tmp_path):
    def clipped(request):  # a double that no tf.Example holds
        return {"x": tf.cast(tf.expand_dims(request["x"] - 1e9, -1), tf.float32)}

    given = ServingInput(
        {"x": tf.TensorSpec([None], tf.float64)}, clipped, golden={"x": np.array([1e9 + 64, 1e9 + 1], np.float64)}
    )
    with pytest.raises(RefusedError, match=r"signature serving_examples: y: row 1: 0\.0 in the export, 1\.0 in the"):
        export(tmp_path, given)


def test_a_forwarded_key_that_differs_is_refused(tmp_path):
    folder = export(tmp_path, keyed())
    live = {"y": ROWS, "key": np.array([b"a", b"b", b"c", b"d", "é".encode()], object)}
    assert compare(folder, keyed(), live=live) == (
        r"signature serving_default: key: row 3: b'd\x00' in the export, b'd' in the live model"
    )


@pytest.mark.parametrize("row", [0, 3, 4])
def test_one_row_of_many_is_named(identity, row):
    live = ROWS.copy()
    live[row] += 1
    said = f"signature serving_default: y: row {row}: {ROWS[row]} in the export, {live[row]} in the live model; the "
    assert compare(identity, live={"y": live}).startswith(said)


@pytest.mark.parametrize(
    ("served", "live", "passes"),
    [
        (1.000005, 1.0, True),
        (1.00002, 1.0, False),
        (0.99998, 1.0, False),
        (5e-6, 0.0, True),
        (2e-5, 0.0, False),
        (-2e-5, 0.0, False),
        (1e5 + 0.5, 1e5, True),
        (1e5 + 2.0, 1e5, False),
        (-1e5 - 0.5, -1e5, True),
        (np.nan, np.nan, True),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, np.inf, True),
        (-np.inf, np.inf, False),
        (3e38, np.inf, False),
        (np.inf, 3e38, False),
    ],
)
def test_floats_may_differ_by_a_hundred_thousandth_of_what_is_greater_than_one(identity, served, live, passes):
    rows = serving(rows=np.array([0.0, served], np.float32))
    said = compare(identity, rows, live={"y": np.array([0.0, live], np.float32)})
    assert (said is None) == passes
    if said:
        assert said.startswith("signature serving_default: y: row 1: ")


@pytest.mark.parametrize(
    ("predictions_fn", "served", "other"),
    [
        (lambda y: {"y": tf.cast(y[:, 0], tf.int64)}, np.array([0, 0, 3, 100, 0]), np.array([0, 0, 3, 101, 0])),
        (lambda y: {"y": y[:, 0] > 1}, ROWS > 1, ROWS > 99.9),
        (
            lambda y: {"y": tf.as_string(tf.cast(y, tf.int32))},
            np.array([[b"0"], [b"0"], [b"3"], [b"100"], [b"0"]], object),
            np.array([[b"0"], [b"0"], [b"3."], [b"100"], [b"0"]], object),
        ),
        (lambda y: {"y": y[:, 0]}, ROWS, ROWS[:4]),
        (lambda y: {"y": y[:, 0]}, ROWS, ROWS[:, None]),
        (lambda y: {"y": y[:, 0]}, ROWS, ROWS.astype(np.float64)),
        (lambda y: {"y": tf.reduce_sum(y)}, np.array(103.25, np.float32), np.array(104, np.float32)),
    ],
    ids=["integers", "bools", "words", "rows", "rank", "dtype", "scalar"],
)
def test_all_else_has_to_be_equal(tmp_path, predictions_fn, served, other):
    folder = export(tmp_path, predictions_fn=predictions_fn, check=False)
    assert compare(folder, live={"y": served}) is None
    assert compare(folder, live={"y": other}).startswith("signature serving_default: y: ")


def test_half_precision_may_be_rounded_apart_by_its_last_bit(tmp_path):
    folder = export(tmp_path, predictions_fn=lambda y: {"y": tf.cast(y[:, 0], tf.bfloat16)}, check=False)
    last_bit = tf.constant([0.5, -0.25, 3.015625, 100.0, 0.0], tf.bfloat16).numpy()
    two_bits = tf.constant([0.5, -0.25, 3.03125, 100.0, 0.0], tf.bfloat16).numpy()
    assert compare(folder, live={"y": last_bit}) is None
    assert "row 2: 3 in the export, 3.03125 in the live model" in compare(folder, live={"y": two_bits})


def test_a_value_within_a_row_is_named(tmp_path):
    folder = export(tmp_path, predictions_fn=lambda y: {"y": tf.stack([y, -y], 1)}, check=False)
    live = np.stack([ROWS, -ROWS], 1)[..., None]
    live[2, 1, 0] = 7.0
    assert "y: row 2[1, 0]: -3.0 in the export, 7.0 in the live model" in compare(folder, live={"y": live})


@pytest.mark.parametrize("live", [{"z": ROWS}, {"y": ROWS, "z": ROWS}])
def test_responses_of_other_keys_are_refused(identity, live):
    expected = ", ".join(sorted(live))
    assert compare(identity, live=live) == f"signature serving_default: outputs y; expected {expected}"


def test_a_signature_too_many_or_too_few_is_refused(identity):
    said = compare(identity, live={"y": ROWS}, signature="serving_default")
    assert said == "signatures serving_default, serving_examples; expected serving_default"


# What passes.

SHIPPED = {
    "babyweight plain": (babyweight, "births", {"features": "plain"}),
    "babyweight bucketized keyed": (babyweight, "births", {"features": "bucketized", "forward_key": True}),
    "babyweight crossed": (babyweight, "births", {"features": "crossed"}),
    "mnist": (mnist, "digits", {}),
    "iris": (iris_experiment, "flowers", {}),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_experiment_passes_in_every_form(name, policy, request, tmp_path):
    module, data, config = SHIPPED[name]
    folder = request.getfixturevalue(data)
    files = {"train_files": (f"{folder}/train*",), "eval_files": (f"{folder}/{module.EVAL_PATTERNS[0]}",)}
    run = dataclasses.replace(module.RUN, train_steps=10, **files)
    if module is mnist:
        config = {**config, "dtype_policy": policy}
    experiment = module.build(module.Config(**config), run)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        trained = state.build_model(experiment.model_fn, run)
    finally:
        keras.config.set_dtype_policy(before)
    random = np.random.default_rng(0)
    for variable in trained.trainable_variables:
        variable.assign(variable.numpy() + random.normal(0, 0.02, variable.shape))
    given = experiment.serving_input_fn()
    for form in ({}, {"legacy_keys": True}, {"as_text": True}):
        folder = tmp_path / "-".join(form)
        export(folder, given, experiment.predictions_fn, of=trained, **form)


def test_a_request_without_examples_passes(tmp_path):
    given = ServingInput(
        {"x": tf.TensorSpec([None, None])},
        lambda request: {"x": tf.reduce_sum(request["x"], 1, keepdims=True)},
        golden={"x": np.arange(12, dtype=np.float32).reshape(3, 4)},
    )
    export(tmp_path, given)


def test_what_a_graph_prints_is_no_answer(tmp_path, capfd):
    def loud(outputs):
        tf.print("loud", output_stream=sys.stdout)
        return outputs_of(outputs)

    export(tmp_path, predictions_fn=loud)
    assert capfd.readouterr().out == "loud\n"  # the live model's own


def test_the_live_model_answers_on_the_cpu(tmp_path):
    seen = []

    def predictions(outputs):
        seen.append(context.context().device_name if tf.executing_eagerly() else None)
        return outputs_of(outputs)

    export(tmp_path, predictions_fn=predictions)
    assert [name and name.endswith("CPU:0") for name in seen] == [None, True]  # asked for, as there may be no other


# The process.


def test_one_process_checks_all_exports(identity, own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    requests = signatures.requests(serving(), legacy_keys=False)
    assert own.pid is None
    own.prepare()
    first = own.pid
    for live, passes in ((ROWS, True), (ROWS + 1, False), (ROWS, True)):
        assert (own.difference(os.path.relpath(identity), requests, {"y": live}) is None) == passes
    own.prepare()
    assert own.pid == first
    assert checker.shared() is checker.shared()


def test_signals_of_the_terminal_do_not_reach_the_process(identity, own):
    own.prepare()
    first = own.pid
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(first, number)  # while it imports, and before it is a Python process even
    requests = signatures.requests(serving(), legacy_keys=False)
    assert own.difference(identity, requests, {"y": ROWS}) is None
    assert own.pid == first
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])  # as before, here


def test_a_process_that_was_killed_is_replaced(identity, own, caplog):
    requests = signatures.requests(serving(), legacy_keys=False)
    own.prepare()
    first = own.pid
    os.kill(first, signal.SIGKILL)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert own.difference(identity, requests, {"y": ROWS}) is None
    assert own.pid not in (None, first)
    said = "the process that checks exports was ended by signal 9; it is started again"
    assert [record.message for record in caplog.records] == [said]


def test_a_process_that_dies_over_an_export_again_is_an_error(tmp_path, own, caplog):
    def deadly(outputs):
        last = [] if tf.executing_eagerly() else [tf.raw_ops.Abort(error_msg="too much")]
        with tf.control_dependencies(last):
            return {"y": tf.identity(outputs[:, 0])}

    folder = export(tmp_path, predictions_fn=deadly, check=False)
    requests = signatures.requests(serving(), legacy_keys=False)
    with pytest.raises(RunError) as error:
        own.difference(folder, requests, {"y": ROWS})
    said = r"the process that checks exports was ended by signal 6 \(.*too much.*\), 2 times in a row; has the machine"
    assert re.match(said, str(error.value))
    assert len(caplog.records) == 1
    assert own.difference(export(tmp_path / "good", check=False), requests, {"y": ROWS}) is None


def test_a_process_that_does_not_answer_is_ended(identity):
    impatient = checker.Checker(answers_within_s=0.001)
    impatient.prepare()
    pidfd = os.pidfd_open(impatient.pid)
    with pytest.raises(RunError, match=r"the process that checks exports has not answered within 0\.001 s"):
        impatient.difference(identity, signatures.requests(serving(), legacy_keys=False), {"y": ROWS})
    assert impatient.pid is None
    assert ended(pidfd)
    os.close(pidfd)


def test_an_answer_that_was_not_waited_for_is_not_that_to_the_next_question(identity, own):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    requests = signatures.requests(serving(), legacy_keys=False)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # while TensorFlow is imported there
        with pytest.raises(KeyboardInterrupt):
            own.difference(identity, requests, {"y": ROWS})
    finally:
        signal.signal(signal.SIGALRM, before)
    assert own.difference(identity, requests, {"y": ROWS + 1}) is not None


PARENT = """
import os, sys
from trainer.exporting import checker
checker.shared().prepare()
print(checker.shared().pid, flush=True)
sys.stdin.readline()
{end}
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), 9)", "raise SystemExit('x')"])
def test_the_process_ends_with_its_parent_whatever_way_that_ends(end):
    command = [sys.executable, "-c", PARENT.format(end=end)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as parent:
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        assert not ended(pidfd, 0)
        parent.stdin.write("\n")
    assert ended(pidfd)
    os.close(pidfd)


def children(pid):
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_to_a_run_and_its_checker_ends_both(flowers, tmp_path, number, code):
    words = f"--experiment tests.iris_experiment --data-dir {flowers} --job-dir {tmp_path} --eval-every 50"
    command = [sys.executable, "-m", "trainer.task", *words.split(), "--train-steps", "100000000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as run:
        while '"stop"' not in run.stdout.readline():
            assert run.poll() is None
        (pid,) = children(run.pid)
        pidfd = os.pidfd_open(pid)
        os.killpg(run.pid, number)
        _, stderr = run.communicate()
    assert (run.returncode, stderr) == (code, "")
    assert ended(pidfd)
    os.close(pidfd)


# A run.


def trainer_of(job_dir, csv, **changes):
    experiment, run = linear_experiment.define(job_dir, csv, export_strategy=("latest",))
    return Trainer(dataclasses.replace(experiment, **changes), run, facts={})


@pytest.fixture
def csv(tmp_path):
    return linear_experiment.write_rows(tmp_path / "rows.csv")


def test_a_refused_export_ends_the_run_and_takes_nothing_with_it(tmp_path, csv):
    live = []

    def predictions(outputs):
        if tf.executing_eagerly():
            live.append(outputs)
        return {"y": outputs[:, 0] + (len(live) == 2)}  # at the second stop, not as in the graph

    job_dir = tmp_path / "job"
    with pytest.raises(RunError) as error:
        trainer_of(job_dir, csv, predictions_fn=predictions).train_and_evaluate()
    assert error.value.exit_code == 1
    said = rf"{job_dir}/export/latest/\d{{10}}: not exported, since it does not answer as the model: signature "
    assert re.match(
        said + r"serving_default: y: row 0: \S+ in the export, \S+ in the live model; the limit is \S+$",
        str(error.value),
    )
    (before,) = os.listdir(job_dir / "export" / "latest")  # nothing of the second, not even half
    assert linear_experiment.steps_saved(job_dir) == [10, 20]

    outcome = trainer_of(job_dir, csv).train_and_evaluate()  # as mended
    assert outcome.global_step == 40
    exports = sorted(os.listdir(job_dir / "export" / "latest"))
    assert len(exports) == 4
    assert exports[0] == before


def test_a_run_without_golden_rows_says_once_that_its_exports_are_not_checked(tmp_path, csv, caplog):
    checker.shared().close()

    def without():
        request = {"x": tf.TensorSpec([None])}
        return ServingInput(request, column)

    with caplog.at_level(logging.WARNING, "trainer"):
        trainer_of(tmp_path / "job", csv, serving_input_fn=without).train_and_evaluate()
    assert len(os.listdir(tmp_path / "job" / "export" / "latest")) == 4
    said = "exports are not checked against the model: give the ServingInput `golden` rows to call both with"
    assert [record.message for record in caplog.records] == [said]
    assert checker.shared().pid is None


def test_only_a_run_that_exports_starts_the_process(tmp_path, csv):
    checker.shared().close()
    trainer_of(tmp_path / "trained", csv).train()
    trainer_of(tmp_path / "evaluated", csv, export_strategies=()).train_and_evaluate()
    assert checker.shared().pid is None
    trainer_of(tmp_path / "trained", csv).evaluate()
    assert checker.shared().pid is not None
