"""The species of an iris, from four sizes of its flower: an experiment outside the package, in one file.

A row, under a header: `5.1,3.5,1.4,0.2,setosa`.

    python -m trainer.task --experiment tests.iris_experiment --data-dir flowers --job-dir jobs/iris
"""

from dataclasses import dataclass

from trainer.experiment import Experiment, export_strategies
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, category, number
from trainer.settings.flags import flag
from trainer.settings.run import Run, train_steps


TRAIN_PATTERNS = ("train*.csv",)
EVAL_PATTERNS = ("eval*.csv",)

SPECIES = ("setosa", "versicolor", "virginica")
SPEC = InputSpec(
    features=(
        number("sepal_length", unit="cm", default=5.8),
        number("sepal_width", unit="cm", default=3.1),
        number("petal_length", unit="cm"),
        number("petal_width", unit="cm"),
    ),
    label=category("species", SPECIES),
)

RUN = Run(train_batch_size=32, num_epochs=20)


@dataclass(frozen=True)
class Config:
    """The flags of this experiment."""

    hidden_units: int = flag(16, "units of the hidden layer")
    learning_rate: float = flag(0.02, "rate of Adam")


def build(config: Config, run: Run) -> Experiment:
    """The Experiment for these flags."""
    train, evaluation = (open_source(files, SPEC) for files in (run.train_files, run.eval_files))

    def serving_input_fn():
        from trainer.inputs.tensors import serving_input

        return serving_input(SPEC)

    return Experiment(
        model_fn=lambda: model(config),
        train_input_fn=lambda shard: TrainBatches(train, batch_size=run.train_batch_size, seed=run.seed, shard=shard),
        eval_input_fn=lambda shard: EvalBatches(evaluation, batch_size=run.eval_batch_size),
        serving_input_fn=serving_input_fn,
        train_steps=train_steps(run, train.count_rows),
        predictions_fn=predictions,
        metric="accuracy",
        goal="max",
        export_strategies=export_strategies(run),
    )


def model(config: Config):
    """The compiled model. Sizes (B, 1) each -> logits (B, 3)."""
    import keras

    inputs = {feature.name: keras.Input((1,), name=feature.name) for feature in SPEC.features}
    sizes = keras.layers.Concatenate()(list(inputs.values()))
    hidden = keras.layers.Dense(config.hidden_units, activation="relu", name="hidden")(sizes)
    compiled = keras.Model(inputs, keras.layers.Dense(len(SPECIES), name="logits")(hidden), name="iris")
    compiled.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return compiled


def predictions(logits):
    """Logits (B, 3) -> `species`, the word, (B,) and `probabilities` (B, 3)."""
    import tensorflow as tf

    return {"species": tf.gather(SPECIES, tf.argmax(logits, axis=1)), "probabilities": tf.nn.softmax(logits)}
