"""A job that takes a second: y = 2 x + 1 from 64 rows, by a linear model in 40 steps with four stops."""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer.experiment import Experiment, export_strategies
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, number
from trainer.inputs.tensors import serving_input
from trainer.settings.cluster import ALONE
from trainer.settings.run import Run
from trainer.storage import commit
from trainer.training.loop import Trainer


SPEC = InputSpec(features=(number("x"),), label=number("y"))
ROWS = 64
SETTINGS = {"train_steps": 40, "eval_every": 10, "train_batch_size": 8, "eval_batch_size": 24}


def write_rows(path):
    """The rows, as CSV; returns the path as a string."""
    x = np.random.default_rng(5).normal(size=ROWS)
    path.write_text("".join(f"{value:.6f},{2 * value + 1:.6f}\n" for value in x))
    return str(path)


def linear(learning_rate=0.05, *, units=1, optimizer=None, cls=keras.Model):
    """The model."""
    inputs = {"x": keras.Input((1,), name="x")}
    hidden = keras.layers.Dense(units, name="hidden")(inputs["x"]) if units > 1 else inputs["x"]
    model = cls(inputs, keras.layers.Dense(1, name="out")(hidden))
    model.compile(optimizer or keras.optimizers.SGD(learning_rate), loss="mse", metrics=["mae"], jit_compile=False)
    return model


def define(job_dir, csv, *, model_fn=linear, callbacks=tuple, metric="loss", **settings):
    """The Experiment and the Run."""
    run = Run(job_dir=str(job_dir), **{"export_strategy": ("final",), **SETTINGS, **settings})
    source = open_source((csv,), SPEC)
    experiment = Experiment(
        model_fn=model_fn,
        train_input_fn=lambda shard: TrainBatches(source, batch_size=run.train_batch_size, seed=run.seed),
        eval_input_fn=lambda shard: EvalBatches(source, batch_size=run.eval_batch_size),
        serving_input_fn=lambda: serving_input(SPEC),
        predictions_fn=lambda outputs: {"y": outputs[:, 0]},
        train_steps=run.train_steps,
        metric=metric,
        export_strategies=export_strategies(run),
        callbacks=callbacks,
    )
    return experiment, run


def make(job_dir, csv, *, interrupted=lambda: None, cluster=ALONE, places=None, **wanted):
    """The Trainer."""
    built = define(job_dir, csv, **wanted)
    return Trainer(*built, facts={}, interrupted=interrupted, cluster=cluster, places=places)


def steps_saved(job_dir):
    """The steps of the checkpoints, in order."""
    return [int(Path(folder).name) for folder in commit.committed(str(job_dir / "checkpoints"))]


def lines(directory):
    """What `metrics.jsonl` says."""
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """The scalars in the event files of a folder: a list of (step, value) by name."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tensor.dtype == tf.string.as_datatype_enum:
                    continue  # the graph, as text
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found
