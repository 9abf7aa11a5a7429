"""The weight of a baby, with or without an ultrasound: births in the columns of 2018, an experiment in one file.

A row, without a header: `7.25,True,26,Single(1),39.0,<sha224 of the rest>`. Before an ultrasound the sex is `Unknown`,
and the plurality `Single(1)` or `Multiple(2+)`.

    python -m trainer.preprocess babyweight --ultrasound --input 'data/natality/*.csv' --output data/ultrasound
    python -m trainer.task --experiment docs.examples.ultrasound --data-dir data/ultrasound --job-dir jobs/ultrasound
"""

from dataclasses import dataclass

from trainer.experiment import Experiment, export_strategies
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, category, number
from trainer.settings.flags import flag
from trainer.settings.run import Run, train_steps


TRAIN_PATTERNS = ("train*.csv*", "train*.parquet*")
EVAL_PATTERNS = ("eval*.csv*", "eval*.parquet*")

PLURALITIES = ("Single(1)", "Twins(2)", "Triplets(3)", "Quadruplets(4)", "Quintuplets(5)", "Multiple(2+)")
SPEC = InputSpec(
    features=(
        category("is_male", ("True", "False", "Unknown")),
        number("mother_age", unit="years"),
        category("plurality", PLURALITIES),
        number("gestation_weeks", unit="weeks"),
    ),
    label=number("weight_pounds", unit="pounds"),
    columns=("weight_pounds", "is_male", "mother_age", "plurality", "gestation_weeks", "key"),
    key="key",
)
MEAN_POUNDS = 7.2

RUN = Run(train_batch_size=512, num_epochs=10)


@dataclass(frozen=True)
class Config:
    """The flags of this experiment."""

    hidden_units: int = flag(64, "units of the hidden layer")
    learning_rate: float = flag(3e-3, "rate of Adam")


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
        predictions_fn=lambda outputs: {"weight": outputs[:, 0]},
        metric="rmse",
        export_strategies=export_strategies(run),
    )


def model(config: Config):
    """The compiled model. Features (B, 1) each -> pounds (B, 1)."""
    import keras
    from keras import layers, ops

    inputs = {f.name: keras.Input((1,), dtype=f.model_dtype, name=f.name) for f in SPEC.features}
    words = [ops.one_hot(inputs[f.name][:, 0], len(f.vocabulary)) for f in SPEC.features if f.vocabulary]
    age, weeks = (inputs["mother_age"] - 27.0) / 6.0, (inputs["gestation_weeks"] - 38.6) / 2.5
    hidden = layers.Dense(config.hidden_units, activation="relu")(layers.Concatenate()([*words, age, weeks]))
    outputs = layers.Dense(1, bias_initializer=keras.initializers.Constant(MEAN_POUNDS))(hidden)
    compiled = keras.Model(inputs, outputs, name="ultrasound")
    compiled.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
    )
    return compiled
