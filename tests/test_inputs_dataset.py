"""Any tf.data.Dataset as an input, with its position exact through shuffling."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import RunError, UsageError
from trainer.inputs.dataset import DatasetEvalBatches, DatasetTrainBatches, eval_batches, train_batches


def rows(count):
    """(x, y) with x counting up."""
    values = tf.range(count)
    return tf.data.Dataset.from_tensor_slices(({"x": values}, tf.cast(values, tf.float32)))


def steps_of(groups):
    return [step for group in groups for step in group.data[0]["x"].tolist()]


def test_training_repeats_a_dataset_that_ends():
    inputs = DatasetTrainBatches(rows(4).batch(2))

    assert steps_of(inputs.take(3)) == [[0, 1], [2, 3], [0, 1]]


def test_batches_are_stacked_by_step():
    (batches,) = DatasetTrainBatches(rows(8).batch(2)).take(3)

    assert batches.steps == 3
    assert batches.data[0]["x"].shape == batches.data[1].shape == (3, 2)


def test_training_leaves_out_the_short_last_batch():
    assert steps_of(DatasetTrainBatches(rows(5).batch(2)).take(5)) == [[0, 1], [2, 3], [0, 1], [2, 3], [0, 1]]


def test_a_dataset_smaller_than_its_batch_is_trained_on_as_it_is():
    assert steps_of(DatasetTrainBatches(rows(3).batch(16)).take(2)) == [[0, 1, 2], [0, 1, 2]]


def test_zeros_are_like_a_batch_even_where_the_dataset_does_not_know_its_size():
    for dataset in (rows(8).batch(2), rows(8).batch(2, drop_remainder=True), rows(8).repeat().batch(2)):
        features, label = DatasetTrainBatches(dataset).zeros()
        assert (features["x"].shape, features["x"].dtype, label.shape) == ((2,), np.int32, (2,))
        assert not features["x"].any()


def test_batches_of_different_shapes_are_an_error():
    ragged = tf.data.Dataset.from_tensor_slices([1, 2, 3, 4]).map(lambda n: tf.zeros([n])).padded_batch(2)

    with pytest.raises(RunError, match=r"a batch of shapes \[\(2, 4\)\]; expected those of the first, \[\(2, 2\)\]"):
        DatasetTrainBatches(ragged).take(2)


def test_zeros_of_texts_are_empty_texts():
    texts = tf.data.Dataset.from_tensor_slices((["a", "b"], [1.0, 2.0])).batch(2)

    assert DatasetTrainBatches(texts).zeros()[0].tolist() == [b"", b""]


@pytest.mark.parametrize("inputs", [DatasetTrainBatches, lambda dataset: DatasetEvalBatches(dataset).zeros()])
def test_a_dataset_of_single_examples_is_an_error(inputs):
    with pytest.raises(RunError, match=r"the dataset: an element of shape \(\); expected batches, as `\.batch"):
        inputs(rows(4))


def test_an_empty_dataset_is_an_error():
    with pytest.raises(RunError, match="the dataset is empty; expected at least one batch"):
        DatasetTrainBatches(rows(4).batch(2).skip(9)).take(1)


@pytest.mark.parametrize("before", [0, 1, 30])
@pytest.mark.parametrize("steps", [0, 1, 7, 30])
@pytest.mark.parametrize("endless", [True, False], ids=["repeated", "with_an_end"])
def test_a_saved_position_is_exact_through_shuffle_and_prefetch(tmp_path, endless, steps, before):
    def inputs():
        shuffled = rows(50).shuffle(20, seed=3)
        return DatasetTrainBatches((shuffled.repeat() if endless else shuffled).batch(4).prefetch(2))

    running, fresh = inputs(), inputs()
    steps_of(running.take(steps))
    saved = running.save(str(tmp_path))
    expected = steps_of(running.take(60))

    fresh.take(before)
    fresh.restore(str(tmp_path), saved)

    assert steps_of(fresh.take(60)) == expected


def test_an_evaluation_counts_every_row_once_with_the_short_batch_by_itself():
    inputs = DatasetEvalBatches(rows(11).batch(2))

    for _ in range(2):
        groups = list(inputs.passes(3))
        assert [row for step in steps_of(groups) for row in step] == list(range(11))
        assert [(group.steps, group.data[1].shape[1]) for group in groups] == [(3, 2), (2, 2), (1, 1)]


def test_sample_weights_come_along():
    weighted = tf.data.Dataset.from_tensor_slices((tf.range(4), tf.range(4), tf.range(4))).batch(2)

    (batches,) = DatasetTrainBatches(weighted).take(2)

    assert [array.tolist() for array in batches.data] == [[[0, 1], [2, 3]]] * 3


@pytest.mark.parametrize(("which", "batches"), [("train", train_batches), ("eval", eval_batches)])
def test_a_pair_of_tensors_as_of_2017_is_refused_with_what_to_return(which, batches):
    with pytest.raises(
        UsageError, match=rf"^{which}_input_fn: returned a tuple; expected a tf.data.Dataset of .*Batches$"
    ):
        batches(({"x": tf.zeros([8])}, tf.zeros([8])))
