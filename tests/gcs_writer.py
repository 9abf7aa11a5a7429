"""What a run writes to its job dir, without the training: checkpoints, exports, clean-up, by the trainer's own code.

    python -c 'from tests import gcs_writer; gcs_writer.write(job_dir, endpoint)'

What is in a file follows from its path and the step, so that any reader can tell whether it got the right bytes.
"""

import json
import logging
import os
import random
from functools import partial

from trainer.experiment import Evaluation, Experiment, ExportStrategy
from trainer.exporting import strategies
from trainer.storage import client, commit, gcs, lease, paths, uploads  # noqa: F401 -- gcs: once, before all forks


STEPS = 5
KEEP = 2
FILES = ("variables.index", "variables.data-00000-of-00001", "state.json", "checkpoint")
MODEL = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
STRATEGY = ExportStrategy("latest", "every_stop", exports_to_keep=KEEP)
TIMEOUT_S = 0.6


def content(name: str, step: int) -> bytes:
    """What the file of a checkpoint or of an export holds."""
    return random.Random(f"{name} {step}").randbytes(200 + len(name) * 997 % 30_000)


def impatient() -> None:
    """Wait for milliseconds where a run would wait for seconds: the server is near, the faults are many."""
    client.RETRY = client.RETRY.with_delay(initial=0.005, maximum=0.05).with_timeout(60.0)
    client.TIMEOUT_S = (TIMEOUT_S, TIMEOUT_S)
    client.LIMITS["timeout"] = client.TIMEOUT_S
    client.ATTEMPTS = 10


def write(job_dir: str, endpoint: str) -> None:
    """Go on from the newest checkpoint to the last step, with a stop each."""
    os.environ["STORAGE_EMULATOR_HOST"] = endpoint
    logging.disable(logging.CRITICAL)
    impatient()
    paths.make_directory(job_dir)
    held = lease.acquire(job_dir)
    writer = uploads.Uploads(held.check)
    directory = paths.join(job_dir, "checkpoints")
    commit.remove_staging(directory)
    exports = strategies.Exports(job_dir, experiment(), writer.submit)
    exports.open()
    restored = newest_step(directory)
    for step in range(max(1, restored), STEPS + 1):
        writer.catch_up()
        if step != restored:  # else its stop may have been broken off after the save
            with commit.staged(paths.join(directory, str(step)), writer.submit) as folder:
                fill(folder, FILES, step)
        writer.submit(partial(commit.prune, directory, KEEP))
        writer.submit(partial(paths.write_bytes, paths.join(job_dir, "metrics.jsonl"), content("metrics", step)))
        exports.export_due(Evaluation(step, {"rmse": 1.0}), final=False, now=1_500_000_000, write=partial(export, step))
    writer.finish()
    held.release()


def newest_step(directory: str) -> int:
    """The step of the newest checkpoint, read whole; 0 where there is none."""
    for folder in reversed(commit.committed(directory)):
        commit.verify(folder)
        with commit.opened(folder) as files:
            step = int(paths.name(folder))
            assert is_right(files, step, FILES)
            return step
    return 0


def is_right(folder: str, step: int, names: tuple[str, ...]) -> bool:
    """Whether a local folder holds just what a step's checkpoint or export has to."""
    found = paths.list_files(folder).keys() - {commit.MANIFEST, commit.MARKER, "assets.extra/evaluation.json"}
    return found == set(names) and all(paths.read_bytes(f"{folder}/{n}") == content(n, step) for n in names)


def experiment() -> Experiment:
    """An Experiment of which only the exports are asked for."""

    def unused(*_: object) -> None:
        raise AssertionError

    inputs = {"train_input_fn": unused, "eval_input_fn": unused, "serving_input_fn": unused}
    outputs = {"predictions_fn": unused, "metric": "rmse", "export_strategies": (STRATEGY,)}
    return Experiment(model_fn=unused, train_steps=STEPS, **inputs, **outputs)


def export(step: int, folder: str, strategy: ExportStrategy) -> None:
    """The files of an export, and the record of its evaluation."""
    del strategy
    fill(folder, MODEL, step)
    record = {"global_step": step, "metrics": {"rmse": 1.0}}
    paths.write_bytes(f"{folder}/assets.extra/evaluation.json", json.dumps(record).encode())


def fill(folder: str, names: tuple[str, ...], step: int) -> None:
    """Write the files of a set."""
    for name in names:
        paths.write_bytes(f"{folder}/{name}", content(name, step))


def exported_step(folder: str) -> int:
    """The step of an export in a local folder."""
    return int(json.loads(paths.read_bytes(f"{folder}/assets.extra/evaluation.json"))["global_step"])
