"""`python -m trainer.tune` as users call it: what it refuses, a search that is killed and resumed, and the table."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer import tune
from trainer.settings import command
from trainer.training import journal


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400
TUNE = [sys.executable, "-m", "trainer.tune"]
PARAMS = """
      - {parameterName: learning-rate, type: DOUBLE, minValue: 0.0005, maxValue: 0.05, scaleType: UNIT_LOG_SCALE}
      - {parameterName: hidden-units, type: CATEGORICAL, categoricalValues: ["64,32", "32"]}
"""
FLAGS = ["--train-steps", "60", "--eval-every", "20", "--train-batch-size", "128"]


def config(folder, *, params=PARAMS, args="[--experiment, babyweight]", **block):
    """A config.yaml with a search, in a folder."""
    fields = "".join(f"    {name}: {json.dumps(value)}\n" for name, value in block.items())
    path = folder / "config.yaml"
    path.write_text(f"trainingInput:\n  args: {args}\n  hyperparameters:\n{fields}    params:{params}")
    return str(path)


def tuned(words, capsys):
    """Run the tuner in this process; its exit code and what it printed to stderr."""
    code = command.run(tune.main, prog="trainer.tune", argv=words)
    return code, capsys.readouterr().err


def begin(words):
    """Start a tuner in a process of its own."""
    return subprocess.Popen([*TUNE, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines_of(process):
    """The JSON lines that it prints to its end, which must be a good one."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def until_ended(process, count):
    """The lines of a tuner up to when so many of its trials have ended."""
    found = []
    while count:
        found.append(json.loads(process.stdout.readline()))
        count -= found[-1]["message"] == "trial ended"
    return found


def naming(text):
    """The command lines of running processes that name something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += [path] if text in path.read_bytes().decode(errors="replace") else []
    return found


# Usage


def test_help_answers_without_tensorflow_and_optuna():
    code = (
        "import sys\nfrom trainer import tune\n"
        "try: tune.main(['--help'])\nfinally: assert not {'tensorflow', 'optuna'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m trainer.tune [--config FILE]")


PARAM = "\n      - {parameterName: %s, type: %s}\n"
RATE = PARAM % ("learning-rate", "DOUBLE, minValue: 0.1, maxValue: 1")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (
            {"hyperparameterMetricTag": "accuracy"},
            ':4: B.hyperparameterMetricTag: "accuracy": babyweight reports rmse; expected rmse, or no tag',
        ),
        (
            {"goal": "MAXIMIZE"},
            ':4: B.goal: "MAXIMIZE": babyweight seeks the other end of rmse; expected MINIMIZE',
        ),
        ({"maxTrials": 0}, ":4: B.maxTrials: 0: expected 1 or more"),
        (
            {"resumePreviousJobId": "births_1"},
            ":4: B.resumePreviousJobId: is for the services; here the same command resumes",
        ),
        (
            {"params": PARAM % ("lerning-rate", "DOUBLE, minValue: 0.1, maxValue: 1")},
            ":5: B.params[0]: --lerning-rate: unexpected; did you mean --learning-rate?",
        ),
        (
            {"params": PARAM % ("train-batch-size", "DOUBLE, minValue: 1, maxValue: 9")},
            ":5: B.params[0]: --train-batch-size: '1.0': expected a whole number; see --help",
        ),
        (
            {"params": PARAM % ("train_batch_size", "INTEGER, minValue: -4, maxValue: 9")},
            ":5: B.params[0]: --train-batch-size: -4: expected 1 or more",
        ),
        (
            {"params": PARAM % ("train-batch-size", "DISCRETE, discreteValues: [16, 32.5]")},
            ":5: B.params[0]: --train-batch-size: '32.5': expected a whole number; see --help",
        ),
        (
            {"params": PARAM % ("hidden-units", 'CATEGORICAL, categoricalValues: ["8", "8,x"]')},
            ":5: B.params[0]: --hidden-units: 'x': expected a whole number; see --help",
        ),
        (
            {"params": PARAM % ("job_dir", 'CATEGORICAL, categoricalValues: ["a"]')},
            ':5: B.params[0].parameterName: "job_dir": is the same for all trials',
        ),
        (
            {"params": PARAM % ("learning-rate", "DOUBLE, minValue: 2, maxValue: 1")},
            ":5: B.params[0].minValue: 2: is more than maxValue 1; expected the least value",
        ),
    ],
)
def test_a_mistake_in_the_block_is_one_line_with_its_place_before_the_first_trial(
    given, error, tmp_path, births, capsys
):
    path = config(tmp_path, **{"params": RATE, **given})
    job_dir = tmp_path / "tuned"
    code, err = tuned(["--config", path, "--job-dir", str(job_dir), "--", "--data-dir", births, *FLAGS], capsys)
    said = error.replace("B.", "trainingInput.hyperparameters.")
    assert (code, err) == (2, f"trainer.tune: error: {path}{said}\n")
    assert not job_dir.exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "--job-dir: not given; expected a folder for checkpoints, exports and logs"),
        (["--job-dir", "a", "--", "--output-dir", "b"], "--output-dir: b: expected it or --job-dir, not both"),
        (["--job-dirr", "a"], "--job-dirr: unexpected; did you mean --job-dir?"),
        (["--job-dir", "a", "--", "--train-step", "9"], "--train-step: unexpected; did you mean --train-steps?"),
        (["--seed", "x"], "--seed: 'x': expected a whole number; see --help"),
        (["--config", "/nowhere"], "/nowhere: no such file or directory"),
    ],
)
def test_bad_usage_is_one_line(words, error, tmp_path, monkeypatch, births, capsys):
    config(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = [*words, *(["--"] if "--" not in words else []), "--data-dir", births]
    code, err = tuned(words, capsys)
    assert code in (1, 2)
    assert err == f"trainer.tune: error: {error}\n"


def test_a_config_without_a_search_is_refused(tmp_path, births, capsys):
    path = tmp_path / "config.yaml"
    path.write_text("trainingInput:\n  args: [--experiment, babyweight]\n")
    words = ["--config", str(path), "--job-dir", str(tmp_path / "x"), "--", "--data-dir", births]
    expected = "trainingInput.hyperparameters: not given; expected the parameters to search"
    assert tuned(words, capsys) == (2, f"trainer.tune: error: {path}:1: {expected}\n")


def test_without_an_experiment_it_is_asked_for(tmp_path, capsys):
    code, err = tuned(["--config", config(tmp_path, args="[]"), "--job-dir", "x"], capsys)
    assert code == 2
    assert err.startswith("trainer.tune: error: --experiment: not given, after -- or in the config's args; expected ")


def test_folders_that_are_of_no_trial_of_the_search_are_refused(tmp_path, births, capsys):
    (tmp_path / "tuned" / "2").mkdir(parents=True)
    words = ["--config", config(tmp_path), "--job-dir", str(tmp_path / "tuned"), "--", "--data-dir", births]
    code, err = tuned(words, capsys)
    assert code == 2
    assert err.endswith("/tuned/2: is there, but of no trial of this search; expected another --job-dir\n")


# A search to its end


@pytest.fixture(scope="module")
def searched(tmp_path_factory, births):
    """A search of three trials, killed when the first had ended, and resumed: the lines of both, and the job dir."""
    folder = tmp_path_factory.mktemp("tune")
    job_dir = folder / "tuned"
    words = ["--config", config(folder, maxTrials=3), "--", "--data-dir", births, *FLAGS, "--job-dir", str(job_dir)]
    killed = begin(words)
    try:
        before = until_ended(killed, 1)
        began = json.loads(killed.stdout.readline())
        assert (began["message"], began["trial"]) == ("trial began", "2")
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    deadline = time.monotonic() + DEADLINE_S
    while naming(str(job_dir)):  # the trial dies with its tuner
        assert time.monotonic() < deadline, "a trial was left behind"
        time.sleep(0.05)
    return [*before, began], lines_of(begin(words)), job_dir, words


def test_a_killed_search_repeats_no_finished_trial_and_resumes_the_other(searched):
    before, after, _, _ = searched
    began = [(line["trial"], line["values"]) for line in after if line["message"] == "trial began"]
    assert [name for name, _ in began] == ["2", "3"]
    assert began[0][1] == before[-1]["values"]
    assert [line["trial"] for line in after if line["message"] == "trial ended"] == ["2", "3"]


def test_each_trial_trains_in_a_job_dir_of_its_own_with_its_values(searched):
    before, after, job_dir, _ = searched
    values = {line["trial"]: line["values"] for line in [*before, *after] if line["message"] == "trial began"}
    for name in "123":
        facts = json.loads((job_dir / name / "run.json").read_text())
        assert facts["cluster"]["trial"] == name
        assert facts["flags"]["learning_rate"] == values[name]["learning-rate"]
        assert ",".join(map(str, facts["flags"]["hidden_units"])) == values[name]["hidden-units"]
        assert [line["step"] for line in journal.read_lines(str(job_dir / name))] == [20, 40, 60]
        assert not (job_dir / name / name).exists()


def test_the_last_line_is_the_best_trial_and_its_flags_are_for_the_shell(searched):
    _, after, job_dir, _ = searched
    done = after[-1]
    final = {name: journal.read_lines(str(job_dir / name))[-1]["rmse"] for name in "123"}
    best = min(final, key=final.get)
    assert (done["message"], done["trial"], done["job_dir"]) == ("done", best, str(job_dir / best))
    assert done["metrics"] == {"rmse": pytest.approx(final[best])}
    (words,) = (job_dir / "best_flags.txt").read_text().splitlines()
    assert done["flags"] == words
    assert shlex.split(words) == [f"--{name}={value}" for name, value in done["values"].items()]


def test_a_search_that_has_ended_says_so_again(searched):
    _, after, _, words = searched
    assert lines_of(begin(words)) == after[-1:]


def test_another_search_in_its_job_dir_is_refused(searched, capsys):
    *_, job_dir, words = searched
    code, err = tuned([word if word != "60" else "80" for word in words], capsys)
    assert code == 2
    assert err.startswith(f'trainer.tune: error: {job_dir}/study.json: --train-steps was "60", is "80" now; expected ')


def test_on_a_terminal_the_end_is_a_table_and_the_flags(searched):
    import pty

    _, after, job_dir, words = searched
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*TUNE, *words], cwd=ROOT, stdout=terminal, stderr=terminal, env={**os.environ, "COLUMNS": "120"}
    )
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # at its end
        while read := os.read(controller, 1 << 16):
            text += read
    os.close(controller)
    assert process.wait(DEADLINE_S) == 0
    shown = text.decode()
    assert f"flags        {after[-1]['flags']}" in shown
    assert f"best trial   {after[-1]['trial']}, rmse " in shown
    assert f"also in      {job_dir}/best_flags.txt" in shown
    assert "learning-rate" in shown
    assert "succeeded" in shown


def test_sigterm_has_the_trials_save_and_ends_with_143(tmp_path, births):
    words = ["--config", config(tmp_path, maxTrials=2), "--job-dir", str(tmp_path / "tuned"), "--"]
    words += ["--data-dir", births, "--train-steps", "1000000", "--eval-every", "50"]
    process = begin(words)
    try:
        assert json.loads(process.stdout.readline())["message"] == "trial began"
        deadline = time.monotonic() + DEADLINE_S
        while not journal.read_lines(str(tmp_path / "tuned" / "1")):
            assert time.monotonic() < deadline, "does not train"
            time.sleep(0.05)
        process.terminate()
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (143, "")
    last = json.loads(out.splitlines()[-1])
    assert last["message"] == "interrupted by signal 15; the same command resumes"
    assert not naming(str(tmp_path / "tuned"))
    log = (tmp_path / "tuned" / "1" / "trial.log").read_text().splitlines()
    assert json.loads(log[-1])["message"] == "interrupted by signal 15; saved, the same command resumes"


def test_trials_of_a_job_dir_in_a_bucket_are_there_and_their_logs_too(gcs, tmp_path, births):
    job_dir = f"{gcs}/tuned"
    words = ["--config", config(tmp_path, maxTrials=1), "--job-dir", job_dir, "--", "--data-dir", births, *FLAGS]
    done = lines_of(begin(words))[-1]
    assert (done["job_dir"], done["global_step"]) == (f"{job_dir}/1", 60)
    assert tune.paths.read_bytes(f"{job_dir}/best_flags.txt").decode() == f"{done['flags']}\n"
    assert b'"message": "done"' in tune.paths.read_bytes(f"{job_dir}/1/trial.log")


# The proof


MARGIN = 0.005  # pounds; machines and versions differ by less
SEARCH = """
      - {parameterName: learning-rate, type: DOUBLE, minValue: 0.0005, maxValue: 0.05, scaleType: UNIT_LOG_SCALE}
      - {parameterName: hidden-units, type: CATEGORICAL, categoricalValues: ["64,32", "128,64", "32"]}
      - {parameterName: features, type: CATEGORICAL, categoricalValues: [plain, bucketized, crossed]}
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twelve_trials_beat_the_default_flags_and_a_killed_search_is_the_whole_one(tmp_path, train):
    from trainer.samples import babyweight

    data = str(tmp_path / "births")
    babyweight.write(data, rows=20_000)
    flags = ["--data-dir", data, "--train-steps", "60", "--eval-every", "20", "--deterministic"]
    job_dir = str(tmp_path / "default")
    default = train("babyweight", data_dir=data, job_dir=job_dir, train_steps=60, eval_every=20)[-1]["metrics"]["rmse"]
    path = config(tmp_path, params=SEARCH, maxTrials=12)

    whole = lines_of(begin(["--config", path, "--job-dir", str(tmp_path / "whole"), "--", *flags]))
    assert whole[-1]["metrics"]["rmse"] < default - MARGIN
    assert whole[-1]["trials"] == 12

    words = ["--config", path, "--job-dir", str(tmp_path / "cut"), "--", *flags]
    killed = begin(words)
    try:
        until_ended(killed, 6)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    resumed = lines_of(begin(words))
    assert [line["trial"] for line in resumed if line["message"] == "trial ended"] == [str(i) for i in range(7, 13)]
    assert resumed[-1]["values"] == whole[-1]["values"]
    tried = [
        [(trial["id"], trial["state"], trial["values"]) for trial in study["trials"]]
        for study in (json.loads((tmp_path / name / "study.json").read_text()) for name in ("whole", "cut"))
    ]
    assert tried[0] == tried[1]
