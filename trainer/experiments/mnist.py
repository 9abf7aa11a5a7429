"""Handwritten digits: the convolutional network of cloudml-dist-mnist-example, 3,274,634 parameters.

Reads MNIST's own four IDX files, or the TFRecords of 2017: `image_raw`, 784 bytes, and `label`, an int64.

    python -m trainer.task --experiment mnist --train-files 'data/mnist/train-*' --eval-files 'data/mnist/t10k-*' \\
        --job-dir jobs/mnist

A request holds `inputs`, 784 numbers from 0 to 1; a prediction `classes` and `probabilities`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from trainer.experiment import Experiment, export_strategies
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, integer, pixels
from trainer.settings.flags import flag
from trainer.settings.run import Run, train_steps


TRAIN_PATTERNS = ("train*",)
EVAL_PATTERNS = ("t*10k*", "test*")

SIDE = 28
CLASSES = 10
SPEC = InputSpec(features=(pixels("inputs", SIDE * SIDE, record="image_raw"),), label=integer("label"))

RUN = Run(train_batch_size=200, eval_batch_size=500, num_epochs=3)


@dataclass(frozen=True)
class Config:
    """The flags of this experiment."""

    learning_rate: float = flag(3e-3, "the highest rate of Adam: reached after a tenth of the steps, then falling to 0")
    dropout: float = flag(0.4, "share of the last hidden layer's units that a training step leaves out")
    dtype_policy: Literal["auto", "float32", "mixed_bfloat16"] = flag(
        "auto", "precision of the arithmetic; auto: mixed_bfloat16 where the machine has it"
    )


def build(config: Config, run: Run) -> Experiment:
    """The Experiment for these flags."""
    train = open_source(run.train_files, SPEC, on_bad_row=run.on_bad_row)
    evaluation = open_source(run.eval_files, SPEC, on_bad_row=run.on_bad_row)
    steps = train_steps(run, train.count_rows)

    def serving_input_fn() -> Any:
        from trainer.inputs.tensors import serving_input

        return serving_input(SPEC)

    return Experiment(
        model_fn=lambda: model(config, train_steps=steps),
        train_input_fn=lambda shard: TrainBatches(train, batch_size=run.train_batch_size, seed=run.seed, shard=shard),
        eval_input_fn=lambda shard: EvalBatches(evaluation, batch_size=run.eval_batch_size),
        serving_input_fn=serving_input_fn,
        train_steps=steps,
        predictions_fn=predictions,
        metric="accuracy",
        goal="max",
        export_strategies=export_strategies(run),
    )


def model(config: Config, *, train_steps: int) -> Any:
    """The compiled model. `inputs` (B, 784) float32 -> logits (B, 10) float32."""
    import keras  # here and below: `--help` and a mistake in a flag are answered without TensorFlow

    from trainer.modeling.optimizers import FusedAdam

    policy = fastest_policy() if config.dtype_policy == "auto" else config.dtype_policy
    inputs = keras.Input((SIDE * SIDE,), name="inputs")
    hidden = keras.layers.Reshape((SIDE, SIDE, 1), dtype=policy)(inputs)
    for i, filters in enumerate((32, 64), start=1):
        hidden = keras.layers.Conv2D(filters, 5, padding="same", dtype=policy, name=f"conv_{i}")(hidden)
        hidden = keras.layers.MaxPooling2D(2, 2, dtype=policy)(hidden)
        hidden = keras.layers.ReLU(dtype=policy)(hidden)  # the same as before the pooling, on a quarter of the numbers
    hidden = keras.layers.Flatten(dtype=policy)(hidden)
    hidden = keras.layers.Dense(1024, activation="relu", dtype=policy, name="dense")(hidden)
    hidden = keras.layers.Dropout(config.dropout, dtype=policy)(hidden)
    hidden = keras.layers.Dense(CLASSES, dtype=policy, name="logits")(hidden)
    logits = keras.layers.Activation("linear", dtype=keras.config.floatx())(hidden)
    warm_up = max(1, train_steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 10,
        max(1, train_steps - warm_up),
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )
    compiled = keras.Model({"inputs": inputs}, logits, name="mnist")
    compiled.compile(
        optimizer=FusedAdam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # oneDNN's convolutions are faster on a CPU than XLA's
    )
    return compiled


def predictions(logits: Any) -> dict[str, Any]:
    """Logits (B, 10) -> `classes` int64 (B,) and `probabilities` float32 (B, 10)."""
    import tensorflow as tf

    return {"classes": tf.argmax(logits, axis=1), "probabilities": tf.nn.softmax(logits)}


def fastest_policy() -> str:
    """mixed_bfloat16 where a GPU or the CPU computes in bfloat16, else float32."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return "mixed_bfloat16"
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:  # not Linux
        flags = []
    return "mixed_bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"
