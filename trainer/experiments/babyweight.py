"""The weight of a baby at birth, in pounds, from what is known before: the wide & deep regressor of 2017.

A row, without a header: `7.25,True,26,Asian Indian,1,39,True,False,None,<sha224 of the rest>`.

    python -m trainer.task --experiment babyweight --train-files 'data/babyweight/train.csv*' \\
        --eval-files 'data/babyweight/eval.csv*' --job-dir jobs/babyweight

The columns and the model's two parts are those of training-data-analyst's blogs/babyweight, as of April 2017; the
boundaries and the crossed embedding those of its version of January 2018.
"""

import itertools
from dataclasses import dataclass
from typing import Any, Literal

from trainer.errors import UsageError
from trainer.experiment import Experiment, export_strategies
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, category, number
from trainer.settings.flags import flag
from trainer.settings.run import Run, train_steps


TRAIN_PATTERNS = ("train*.csv*", "train*.parquet*")
EVAL_PATTERNS = ("eval*.csv*", "eval*.parquet*")

RACES = (
    "White", "Black", "American Indian", "Chinese", "Japanese", "Hawaiian", "Filipino", "Unknown", "Asian Indian",
    "Korean", "Samaon", "Vietnamese",
)  # fmt: skip
SPEC = InputSpec(
    features=(
        category("is_male", ("True", "False")),
        number("mother_age", unit="years", default=27.0, minimum=8, maximum=70),
        category("mother_race", RACES),
        number("plurality", unit="babies", default=1.0, minimum=1, maximum=10),
        number("gestation_weeks", unit="weeks", default=39.0, minimum=12, maximum=52),
        category("mother_married", ("True", "False")),
        category("cigarette_use", ("True", "False", "None")),
        category("alcohol_use", ("True", "False", "None")),
    ),
    label=number("weight_pounds", unit="pounds", minimum=0.2, maximum=25),
    columns=(
        "weight_pounds", "is_male", "mother_age", "mother_race", "plurality", "gestation_weeks", "mother_married",
        "cigarette_use", "alcohol_use", "key",
    ),
    key="key",
)  # fmt: skip
MEAN_AND_DEVIATION = {"mother_age": (27.3, 6.1), "plurality": (1.03, 0.19), "gestation_weeks": (38.6, 2.5)}
MEAN_POUNDS = 7.18
BOUNDARIES = {"mother_age": tuple(range(15, 45)), "gestation_weeks": tuple(range(17, 47))}
CROSS_BUCKETS = 20_000
ONE_THREAD = 5_000_000
"""Multiplications a step, forward, up to which XLA's second thread saves about nothing (docs/performance.md)."""

RUN = Run(train_batch_size=512, eval_batch_size=4096, num_epochs=10)


@dataclass(frozen=True)
class Config:
    """The flags of this experiment."""

    features: Literal["plain", "bucketized", "crossed"] = flag(
        "bucketized",
        "plain: as in 2017; bucketized: mother_age and gestation_weeks cut into 31 ranges as well; "
        "crossed: an embedding of sex, plurality and both ranges together as well",
    )
    hidden_units: tuple[int, ...] = flag((64, 32), "units of the deep part's layers", metavar="N")
    embedding_size: int = flag(3, "numbers in an embedding")
    optimizer: Literal["adam", "ftrl+adagrad"] = flag("adam", "ftrl+adagrad: wide and deep apart, as in 2017")
    learning_rate: float = flag(2e-3, "the first rate of adam, which falls to 0 as half a cosine")
    forward_key: bool = flag(False, "requests and predictions carry `key` as well")


def build(config: Config, run: Run) -> Experiment:
    """The Experiment for these flags."""
    if min(config.hidden_units) < 1 or config.embedding_size < 1:
        raise UsageError("--hidden-units and --embedding-size: expected 1 or more")
    train = open_source(run.train_files, SPEC, on_bad_row=run.on_bad_row)
    evaluation = open_source(run.eval_files, SPEC, on_bad_row=run.on_bad_row)
    steps = train_steps(run, train.count_rows)

    def serving_input_fn() -> Any:
        from trainer.inputs.tensors import serving_input

        return serving_input(SPEC, forward=("key",) if config.forward_key else ())

    return Experiment(
        model_fn=lambda: model(config, train_steps=steps),
        train_input_fn=lambda shard: TrainBatches(train, batch_size=run.train_batch_size, seed=run.seed, shard=shard),
        eval_input_fn=lambda shard: EvalBatches(evaluation, batch_size=run.eval_batch_size),
        serving_input_fn=serving_input_fn,
        train_steps=steps,
        predictions_fn=lambda outputs: {"outputs": outputs[:, 0]},
        metric="rmse",
        export_strategies=export_strategies(run),
        intra_op_threads=1 if run.train_batch_size * _multiplications(config) <= ONE_THREAD else None,
    )


def _multiplications(config: Config) -> int:
    """About how many multiplications an example takes in the deep part."""
    columns = sum(len(f.vocabulary) or 1 for f in SPEC.features)
    if config.features != "plain":
        columns += sum(len(boundaries) + 1 for boundaries in BOUNDARIES.values())
    return sum(a * b for a, b in itertools.pairwise((columns, *config.hidden_units, 1)))


def model(config: Config, *, train_steps: int) -> Any:
    """The compiled model: a linear part on what is one-hot, plus a deep part. Features (B, 1) each -> pounds (B, 1).

    The weights of words begin at zero, so that a word that no training row has does not move a prediction.
    """
    import keras  # here and below: `--help` and a mistake in a flag are answered without TensorFlow
    from keras import layers, ops

    def of_words(units: int, name: str) -> Any:
        # One-hot and a matrix, where an Embedding would gather and scatter: twice as fast at so few words.
        return layers.Dense(units, use_bias=False, kernel_initializer="zeros", name=name)

    inputs = {f.name: keras.Input((1,), dtype=f.model_dtype, name=f.name) for f in SPEC.features}
    words = {f.name: ops.one_hot(inputs[f.name][:, 0], len(f.vocabulary)) for f in SPEC.features if f.vocabulary}
    scaled = {name: (inputs[name] - mean) / deviation for name, (mean, deviation) in MEAN_AND_DEVIATION.items()}
    race = of_words(config.embedding_size, "deep_mother_race")(words["mother_race"])
    deep = [scaled["mother_age"], scaled["gestation_weeks"], race]
    if config.features == "plain":
        shared: list[Any] = []
        wide = [*words.values(), scaled["plurality"]]
    else:
        ranges = {name: _range(inputs[name], boundaries) for name, boundaries in BOUNDARIES.items()}
        buckets = [ops.one_hot(ranges[name], len(BOUNDARIES[name]) + 1) for name in BOUNDARIES]
        shared = [scaled["plurality"], *buckets, *(words[name] for name in words if name != "mother_race")]
        wide = [words["mother_race"]]
    if config.features == "crossed":
        from trainer.modeling.crossing import Crossing

        ids = ops.stack([inputs["is_male"][:, 0], _plurality(inputs["plurality"]), *ranges.values()], axis=1)
        cross = Crossing(CROSS_BUCKETS, name="deep_cross_id")(ids)
        deep.append(layers.Embedding(CROSS_BUCKETS, config.embedding_size, name="deep_cross")(cross))

    # What both parts share is a matrix of its own: together with embeddings it would have a gradient too, for nothing.
    word_rows = sum(words[name].shape[1] for name in words if name != "mother_race")
    first = _dense(config.hidden_units[0], deep, shared, name="deep_1", kernel=_zero_for_words(word_rows))
    hidden = ops.maximum(first, 0.0)  # TensorFlow's optimizer of graphs complains of `relu` after a sum of two layers
    for i, units in enumerate(config.hidden_units[1:], start=2):
        hidden = layers.Dense(units, "relu", name=f"deep_{i}")(hidden)
    outputs = layers.Dense(1, bias_initializer=keras.initializers.Constant(MEAN_POUNDS), name="deep_outputs")(hidden)
    outputs += _dense(1, wide, shared, name="wide_outputs", kernel="zeros", own_kernel="zeros")
    compiled = keras.Model(inputs, outputs, name="babyweight")
    compiled.compile(
        optimizer=_optimizer(config, train_steps, wide_columns=len(shared) + len(wide)),
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
        jit_compile=True,
    )
    return compiled


def _dense(
    units: int, own: list[Any], shared: list[Any], *, name: str, kernel: Any, own_kernel: str = "glorot_uniform"
) -> Any:
    """A dense layer, (B, units), of what is one part's own and what both parts share: the sum of two."""
    from keras import layers

    outputs = layers.Dense(units, kernel_initializer=own_kernel, name=f"{name}_own")(_side_by_side(own))
    if shared:
        outputs += layers.Dense(units, use_bias=False, kernel_initializer=kernel, name=name)(_side_by_side(shared))
    return outputs


def _side_by_side(columns: list[Any]) -> Any:
    from keras import layers

    return layers.Concatenate()(columns) if len(columns) > 1 else columns[0]


def _zero_for_words(rows: int) -> Any:
    """An initializer of a kernel whose last rows, those of the words, begin at zero."""
    import keras

    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Any:
        kernel = keras.initializers.GlorotUniform()((shape[0] - rows, shape[1]), dtype)
        return keras.ops.concatenate([kernel, keras.ops.zeros((rows, shape[1]), dtype)])

    return initialize


def _range(values: Any, boundaries: tuple[int, ...]) -> Any:
    """(B, 1) -> (B,): how many boundaries are at or below each value."""
    import keras

    reached = values >= keras.ops.convert_to_tensor([float(b) for b in boundaries])
    return keras.ops.sum(keras.ops.cast(reached, "int32"), axis=-1)


def _plurality(values: Any) -> Any:
    """(B, 1) -> (B,): 0 for a single baby to 4 for quintuplets, positions in the vocabulary of 2018."""
    import keras

    return keras.ops.cast(keras.ops.clip(values[:, 0], 1.0, 5.0), "int32") - 1


def _optimizer(config: Config, train_steps: int, *, wide_columns: int) -> Any:
    import keras

    if config.optimizer == "adam":
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(config.learning_rate, max(1, train_steps)))
    from trainer.modeling.optimizers import TwoOptimizers

    # The rates of tf.contrib.learn's DNNLinearCombinedRegressor.
    return TwoOptimizers(
        wide=keras.optimizers.Ftrl(min(0.2, wide_columns**-0.5)),
        deep=keras.optimizers.Adagrad(0.05, initial_accumulator_value=0.1),
        wide_prefix="wide_",
    )
