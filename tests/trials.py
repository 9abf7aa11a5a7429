"""Trials that train nothing: small processes that report a curve, fail or wait, as their values say."""

import os
import sys
from pathlib import Path

from trainer.tuning import process
from trainer.tuning.study import Study


SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from trainer.tuning import metric_file
from trainer.tuning.metric_file import Measurement

values = dict(word[2:].split("=") for word in sys.argv[1:] if word.startswith("--") and "=" in word)
job_dir, trial = Path(sys.argv[sys.argv.index("--job-dir") + 1]), json.loads(os.environ["TF_CONFIG"])["task"]["trial"]
assert os.environ["CLOUD_ML_TRIAL_ID"] == trial
assert not {"CLUSTER_SPEC", "AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR", "AIP_TENSORBOARD_LOG_DIR"} & os.environ.keys()
path, kind = os.environ["CLOUD_ML_HP_METRIC_FILE"], values.get("kind", "good")
with open(job_dir / trial / "starts", "a") as file:
    print(" ".join(sys.argv[1:]), file=file)
signal.signal(signal.SIGTERM, (lambda *_: None) if kind == "deaf" else lambda *_: sys.exit(143))
print(json.dumps({"severity": "INFO", "message": "began"}), flush=True)
if kind == "usage":
    print("trainer.task: error: --kind: usage: expected another", file=sys.stderr)
    sys.exit(2)
if kind == "fails":
    print("Traceback (most recent call last):\\nValueError: no luck", file=sys.stderr)
    sys.exit(1)
if kind == "silent":
    sys.exit(0)
base = float(values.get("x", 0))
measured = [Measurement(step, base + 1 / step, time.time()) for step in range(1, 7)]
for step in range(1, 7):
    metric_file.write(path, "rmse", measured[:step], trial=trial)
    if kind in ("waits", "deaf") or (kind == "once" and (job_dir / trial / "starts").read_text().count("\\n") == 1):
        while True:
            time.sleep(0.05)
    if step == 5 and "stuck" in values and values["stuck"] == values["x"]:
        time.sleep(600)
    time.sleep(float(values.get("pause", 0)))
if kind == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""
ROOT = Path(__file__).parent.parent


def block(*params, **more):
    """A search for the least rmse."""
    return {"goal": "MINIMIZE", "hyperparameterMetricTag": "rmse", "maxTrials": 3, "params": list(params), **more}


def words(name, *values):
    """A parameter whose values are tried in order, where the algorithm is GRID_SEARCH."""
    return {"parameterName": name, "type": "CATEGORICAL", "categoricalValues": list(values)}


def study_in(folder, hyperparameters):
    """The study in a folder."""
    study = Study(str(folder), hyperparameters)
    study.open()
    return study


def starter(study, work_dir=None, **environ):
    """How `runner.run` starts such a trial."""
    place = process.Place(
        study.folder,
        work_dir=str(work_dir or study.folder),
        command=[sys.executable, "-c", SCRIPT],
        hyperparameters=study.hyperparameters,
        environ={**os.environ, "PYTHONPATH": str(ROOT), **environ},
    )
    return lambda trial: process.start(trial, place)


def starts(folder, trial):
    """The arguments of each start of a trial."""
    path = Path(str(folder)) / trial / "starts"
    return path.read_text().splitlines() if path.exists() else []


class Heard:
    """An audience that remembers, and may do something when it hears."""

    def __init__(self, then=lambda event: None):
        self.events = []
        self._then = then

    def began(self, trial):
        self._add(("began", trial.id))

    def measured(self, trial):
        self._add(("measured", trial.id, trial.final.step))

    def ended(self, trial, error):
        self._add(("ended", trial.id, trial.state, error))

    def _add(self, event):
        self.events.append(event)
        self._then(event)
