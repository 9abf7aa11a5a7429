"""What `test_training_replicas.py` claims, on two devices, which a process has to have before TensorFlow starts.

python -m tests.two_devices FOLDER       # prints what was found, as one JSON object
"""

import dataclasses
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from tests import dropout_dataset_experiment
from trainer.errors import UsageError
from trainer.settings.cluster import ALONE
from trainer.settings.run import Run
from trainer.training import checkpoint, strategy
from trainer.training.loop import Trainer
from trainer.training.outcome import Interrupted


UNITS = 32
ROWS = 8  # of a batch


def data(bad=None):
    """Batches of (x, y), the same in every pass; `bad` is the (batch, row) of a label that is not a number."""
    x = np.random.default_rng(3).normal(size=(24, ROWS, 4))
    y = x.sum(axis=2, keepdims=True)
    if bad:
        y[bad] = np.nan
    return tf.data.Dataset.from_tensor_slices((x, y))


def curved():
    """A model in which rounding is the only difference between two ways to train it."""
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(5, activation="tanh")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"], jit_compile=False)
    return model


def thinned():
    """A model with dropout whose weights after a step of SGD say how many rows had each unit."""
    inputs = keras.Input((UNITS,), name="x")
    out = keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)(keras.layers.Dropout(0.5)(inputs))
    model = keras.Model(inputs, out)
    model.compile(keras.optimizers.SGD(1.0), loss="mse", jit_compile=False)
    return model


def apart_from_those_before():
    """Let the next strategy of this process, which else has one, number its collectives in its own way."""
    tf.distribute.MirroredStrategy._collective_key_base += 1000


def built(kind, *, model_fn=curved, dataset=None, **settings):
    """Replicas, not yet pushed to."""
    run = Run(**{"train_batch_size": ROWS, "train_steps": 24, "export_strategy": (), **settings})
    experiment = dropout_dataset_experiment.build(dropout_dataset_experiment.Config(), run)
    dataset = data() if dataset is None else dataset
    experiment = dataclasses.replace(experiment, model_fn=model_fn, train_input_fn=lambda shard: dataset)
    apart_from_those_before()
    return strategy.build(experiment, run, ALONE, kind)


def weights(replicas):
    """The model's weights, one after the other."""
    return np.concatenate([value.ravel() for value in replicas.model.get_weights()])


def apart(first, second):
    """How far two arrays are from each other."""
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())


def after_some_steps():
    here, mirrored = built("default"), built("auto")
    first = weights(here)
    for replicas in (here, mirrored):
        replicas.push()
        replicas.train(13)
        replicas.train(7)
        replicas.pull()
    metrics = [each.model.get_metrics_result() for each in (here, mirrored)]
    before = weights(mirrored)
    mirrored.reset_metrics()
    mirrored.pull()
    return {
        "kinds": [type(each).__name__ for each in (here, mirrored)],
        "weights": apart(weights(here), weights(mirrored)),
        "moved": apart(first, weights(here)),
        "metrics": apart(*([float(value) for value in each.values()] for each in metrics)),
        "optimizer": apart(*([float(v) for v in each.model.optimizer.variables[:2]] for each in (here, mirrored))),
        "metrics after a reset": float(mirrored.model.get_metrics_result()["loss"]),
        "weights after a reset": apart(before, weights(mirrored)),
    }


def masks():
    """The weights after one step on a row of ones for each replica: 2 for each of the two that kept the unit."""
    ones = tf.data.Dataset.from_tensors((np.ones((2, UNITS)), np.ones((2, 1))))
    replicas = built("mirrored", model_fn=thinned, dataset=ones)
    replicas.push()
    replicas.train(1)
    replicas.pull()
    return sorted(set(np.round(weights(replicas), 6).tolist()))


def refusal():
    try:
        built("mirrored", dataset=data().unbatch().batch(7, drop_remainder=True))
    except UsageError as error:
        return str(error)
    return None


def round_trip():
    def values():
        named = replicas._copy._named
        return [variable.numpy().tolist() for variable in named.values()]

    replicas = built(
        "mirrored", model_fn=thinned, dataset=tf.data.Dataset.from_tensors((np.ones((2, UNITS)), np.ones((2, 1))))
    )
    replicas.push()
    replicas.train(3)
    replicas.pull()
    trained = values()
    replicas.push()
    replicas.pull()
    same = values() == trained
    random = np.random.default_rng(0).normal(size=(UNITS, 1))
    replicas.model.layers[-1].kernel.assign(random)
    replicas.push()
    replicas.pull()
    return {"same": same, "given": apart(random, replicas.model.layers[-1].kernel), "variables": len(trained)}


def changes():
    """What of a callback's changes reaches the training."""
    replicas = built("mirrored")
    replicas.push()
    first = weights(replicas)
    replicas.model.optimizer.learning_rate.assign(0.0)  # at the beginning, when nothing was pulled yet
    replicas.push_changes()
    replicas.train(3)
    replicas.pull()
    stood = apart(first, weights(replicas))
    replicas.model.set_weights([np.full(value.shape, 0.5) for value in replicas.model.get_weights()])
    replicas.push_changes()
    replicas.train(3)
    replicas.pull()
    halves = apart(0.5, weights(replicas))
    replicas.model.optimizer.learning_rate.assign(0.01)
    replicas.push_changes()
    replicas.train(3)
    replicas.pull()
    return {"stood": stood, "halves": halves, "moved": apart(0.5, weights(replicas))}


def steps_with_a_bad_loss():
    """Of a batch 5, each in the share of one replica: as counted in two calls, of 3 steps and of 10."""
    found = {}
    for kind, row in (("default", 6), ("mirrored", 1), ("mirrored", 6)):
        replicas = built(kind, dataset=data(bad=(5, row)))
        replicas.push()
        found[f"{kind}, row {row}"] = [replicas.train(3), replicas.train(10)]
    return found


def trainer(job_dir, *, kind="auto", callbacks=tuple, interrupted=lambda: None, **wanted):
    run = Run(job_dir=job_dir, train_batch_size=16, train_steps=12, eval_every=4, export_strategy=(), **wanted)
    experiment = dropout_dataset_experiment.build(dropout_dataset_experiment.Config(), run)
    if callbacks is not tuple:
        experiment = dataclasses.replace(experiment, model_fn=curved)
    experiment = dataclasses.replace(experiment, callbacks=callbacks)
    apart_from_those_before()
    return Trainer(experiment, run, facts={}, interrupted=interrupted, distribution=kind)


def scheduled(folder):
    """A job whose callback sets the rate at the beginning of each epoch, the first too."""

    def callbacks():
        return [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))]

    jobs = [trainer(f"{folder}/rate-{kind}", kind=kind, callbacks=callbacks) for kind in ("default", "mirrored")]
    outcomes = [job.train_and_evaluate() for job in jobs]
    return {
        "weights": apart(*(weights(job) for job in jobs)),
        "metrics": apart(*(list(outcome.metrics.values()) for outcome in outcomes)),
        "rate": float(jobs[1].model.optimizer.learning_rate),
    }


def resumed(folder):
    """Two jobs with dropout, of which one is interrupted on the way."""
    whole = trainer(f"{folder}/whole", deterministic=True)
    whole.train_and_evaluate()
    asked = iter([None, None, 15])
    code = saved = None
    try:
        trainer(f"{folder}/cut", deterministic=True, interrupted=lambda: next(asked)).train_and_evaluate()
    except Interrupted as interruption:
        code, saved = interruption.exit_code, checkpoint.newest_step(f"{folder}/cut/checkpoints")
    cut = trainer(f"{folder}/cut", deterministic=True)
    cut.train_and_evaluate()
    return {"code": code, "saved": saved, "same": bool(np.array_equal(weights(whole), weights(cut)))}


def main(folder):
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    keras.config.set_floatx("float64")
    found = {each.__name__: each() for each in (
        after_some_steps, masks, refusal, round_trip, changes, steps_with_a_bad_loss,
    )}  # fmt: skip
    found |= {each.__name__: each(folder) for each in (scheduled, resumed)}  # the last: it is deterministic from there
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
