"""The parts of models that Keras lacks and tf.estimator had."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import UsageError
from trainer.modeling.crossing import Crossing
from trainer.modeling.optimizers import FusedAdam, TwoOptimizers


SEXES = ("True", "False", "Unknown")
PLURALITIES = ("Single(1)", "Twins(2)", "Triplets(3)", "Quadruplets(4)", "Quintuplets(5)", "Multiple(2+)")


@pytest.fixture(params=["with XLA", "without XLA"])
def compiled(request):
    """A function as the train step runs it."""
    return lambda function: tf.function(function, jit_compile=request.param == "with XLA")


@pytest.mark.parametrize(
    ("birth", "of_four", "of_two"),
    [
        (("True", "Single(1)", 26, 39), 23, 705),
        (("False", "Single(1)", 29, 38), 14080, 26),
        (("True", "Triplets(3)", 26, 39), 1466, 705),
        (("Unknown", "Multiple(2+)", 29, 38), 19276, 26),
    ],
)
def test_a_cross_has_the_bucket_of_crossed_column(birth, of_four, of_two, compiled):
    sex, plurality, age, weeks = birth
    buckets = [sum(b <= age for b in range(15, 45)), sum(b <= weeks for b in range(17, 47))]
    ids = tf.constant([[SEXES.index(sex), PLURALITIES.index(plurality), *buckets]])
    assert compiled(Crossing(20_000))(ids).numpy().tolist() == [of_four]
    assert compiled(Crossing(1_000))(ids[:, 2:]).numpy().tolist() == [of_two]


@pytest.mark.parametrize("buckets", [1, 7, 20_000, 2**31 - 1])
def test_a_cross_equals_the_hash_of_sparse_columns(buckets, compiled):
    ids = np.random.default_rng(0).integers(-(2**31), 2**31, (200, 3), dtype=np.int32)
    columns = [tf.sparse.from_dense(tf.constant(ids[:, [i]], tf.int64)) for i in range(3)]
    expected = tf.sparse.cross_hashed(columns, num_buckets=buckets, hash_key=0xDECAFCAFFE).values
    np.testing.assert_array_equal(compiled(Crossing(buckets))(tf.constant(ids)), expected)


def test_a_cross_is_part_of_a_model_that_can_be_made_again():
    inputs = keras.Input((2,), dtype="int32")
    model = keras.Model(inputs, Crossing(100)(inputs))
    again = keras.Model.from_config(model.get_config())
    ids = np.array([[1, 2], [3, 4], [5, 6]], np.int32)
    assert again.output_shape == (None,)
    np.testing.assert_array_equal(again(ids), model(ids))


def two_parts(optimizer):
    """A model with a linear part called wide_ and one called deep_."""
    inputs = keras.Input((3,))
    deep = keras.layers.Dense(1, name="deep_outputs")(keras.layers.Dense(4, name="deep_1")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, name="wide_outputs")(inputs) + deep)
    model.compile(optimizer, loss="mse")
    return model


def ftrl():
    return keras.optimizers.Ftrl(0.2)


def adagrad():
    return keras.optimizers.Adagrad(0.05, initial_accumulator_value=0.1)


def trained(optimizer, steps=3):
    """The variables by path after a few steps, from the same start whatever the optimizer."""
    keras.utils.set_random_seed(0)
    model = two_parts(optimizer)
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 3)).astype(np.float32)
    for _ in range(steps):
        model.train_on_batch(x, x.sum(1, keepdims=True))
    return {variable.path: variable.numpy() for variable in model.trainable_variables}


def test_each_variable_moves_as_by_its_own_optimizer():
    """One step from one start: what each optimizer alone would do to its part."""
    both = trained(TwoOptimizers(ftrl(), adagrad(), wide_prefix="wide_"), steps=1)
    wide, deep = trained(ftrl(), steps=1), trained(adagrad(), steps=1)
    assert len(both) == 6
    for path, values in both.items():
        np.testing.assert_allclose(values, (wide if path.startswith("wide_") else deep)[path], rtol=1e-6, err_msg=path)
        assert not np.allclose(values, (deep if path.startswith("wide_") else wide)[path])


def test_steps_are_counted_once_and_every_slot_is_saved():
    optimizer = TwoOptimizers(ftrl(), adagrad(), wide_prefix="wide_")
    trained(optimizer, steps=3)
    assert [int(part.iterations.numpy()) for part in (optimizer, optimizer.wide, optimizer.deep)] == [3, 3, 3]
    paths = [variable.path for variable in optimizer.variables]
    assert len(paths) == len(set(paths))
    assert sum("accumulator" in path for path in paths) == 6
    assert sum("linear" in path for path in paths) == 2


def test_two_optimizers_can_be_made_again():
    optimizer = TwoOptimizers(ftrl(), adagrad(), wide_prefix="wide_")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    before, after = trained(optimizer), trained(again)
    for path, values in before.items():
        np.testing.assert_array_equal(after[path], values)


def test_a_prefix_of_no_variable_is_an_error():
    with pytest.raises(UsageError, match="wide_prefix 'linear_': expected the start of some variables"):
        trained(TwoOptimizers(ftrl(), adagrad(), wide_prefix="linear_"))


def adam(kind, **settings):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 40)
    return kind(schedule, epsilon=1e-4, beta_1=0.8, beta_2=0.9, **settings)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "clipnorm": 0.5}, {"amsgrad": True}], ids=str)
def test_fused_adam_is_adam(settings):
    expected, found = (trained(adam(kind, **settings), steps=25) for kind in (keras.optimizers.Adam, FusedAdam))
    for path, values in expected.items():
        np.testing.assert_allclose(found[path], values, rtol=1e-5, atol=1e-6, err_msg=path)


def test_fused_adam_keeps_both_moments():
    slots = []
    for kind in (keras.optimizers.Adam, FusedAdam):
        optimizer = adam(kind)
        trained(optimizer)
        slots.append({variable.path.partition("/")[2]: variable.numpy() for variable in optimizer.variables[2:]})
    expected, found = slots
    assert found.keys() == expected.keys()
    for path, values in expected.items():
        np.testing.assert_allclose(found[path], values, rtol=1e-4, atol=1e-6, err_msg=path)


def test_fused_adam_takes_the_gradient_of_an_embedding():
    tables = []
    for kind in (keras.optimizers.Adam, FusedAdam):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((2,), dtype="int32"), keras.layers.Embedding(9, 3), keras.layers.Flatten()]
        )
        model.compile(adam(kind), loss="mse")
        for _ in range(3):
            model.train_on_batch(np.array([[1, 1], [7, 2]]), np.ones((2, 6), np.float32))
        tables.append(model.get_weights()[0])
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-5)


def test_fused_adam_can_be_made_again():
    optimizer = adam(FusedAdam)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, FusedAdam)
    assert again.get_config() == optimizer.get_config()
