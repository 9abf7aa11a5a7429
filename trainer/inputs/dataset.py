"""Any `tf.data.Dataset` of batches as an input: `(features, label)` or `(features, label, sample_weight)`.

The batches are the global ones: where several workers train, each iterates over the whole dataset and takes its share
of every batch, so a dataset has to be the same for all of them, its order too.

The position is the dataset iterator's own checkpoint, so it is exact through shuffle, interleave and prefetch, as long
as a `prefetch` does not come before a `repeat`. Batches of one shape go to a call together; one of another shape, such
as a short last batch, goes by itself.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import RunError, UsageError
from trainer.inputs.batches import Batches, Shard, check_shares


PREFIX = "iterator"


def train_batches(given: Any, shard: Shard = Shard()) -> Any:
    """What an Experiment's `train_input_fn` returned, as the loop takes it; else `UsageError`."""
    return DatasetTrainBatches(given, shard) if isinstance(given, tf.data.Dataset) else _checked(given, "train")


def eval_batches(given: Any) -> Any:
    """What an Experiment's `eval_input_fn` returned, as the loop takes it; else `UsageError`."""
    return DatasetEvalBatches(given) if isinstance(given, tf.data.Dataset) else _checked(given, "eval")


def _checked(given: Any, which: str) -> Any:
    if not hasattr(given, "zeros"):  # a pair of tensors, as input functions of 2017 returned
        raise UsageError(
            f"{which}_input_fn: returned a {type(given).__name__}; expected a tf.data.Dataset of (features, label), or "
            f"trainer.inputs.batches.{which.capitalize()}Batches"
        )
    return given


class DatasetTrainBatches:
    """Endless batches of a dataset, begun again at its end. Those shorter than the first are left out."""

    def __init__(self, dataset: tf.data.Dataset, shard: Shard = Shard()) -> None:
        self.dataset = dataset
        self._shard = shard
        # First, since to look at a batch moves the seed of the dataset on, which a restored position has to undo.
        self._like = _zeros(dataset)
        check_shares(len(tf.nest.flatten(self._like)[0]), shard)
        self._iterator = iter(dataset)

    def save(self, folder: str) -> dict[str, Any]:
        """Write the iterator into a checkpoint's folder."""
        tf.train.Checkpoint(iterator=self._iterator).write(f"{folder}/{PREFIX}")
        return {}

    def restore(self, folder: str, saved: dict[str, Any]) -> None:
        """Go to where the iterator in a checkpoint's folder was."""
        del saved
        tf.train.Checkpoint(iterator=self._iterator).read(f"{folder}/{PREFIX}").assert_consumed()

    def zeros(self) -> Any:
        """One batch of zeros, this shard's share: what shapes and dtypes the model gets."""
        return self._share(self._like)

    def take(self, steps: int) -> list[Batches]:
        """The next `steps` batches, of each this shard's share."""
        return _grouped([self._share(self._full_batch()) for _ in range(steps)])

    def _share(self, batch: Any) -> Any:
        return tf.nest.map_structure(lambda values: values[self._shard.share(len(values))], batch)

    def _full_batch(self) -> Any:
        """The next batch of the first one's shape, which is what a step is compiled for."""
        expected = _shapes(self._like)
        while True:
            batch = next(self._iterator, None)
            if batch is None:
                # Not by `repeat`: over a prefetch, it can lose the order after a restore (seen in TensorFlow 2.21).
                self._iterator = iter(self.dataset)
                batch = _next(self._iterator)
            found = _shapes(batch)
            if found == expected:
                return batch
            if any(f[1:] != e[1:] or f[0] > e[0] for f, e in zip(found, expected, strict=True)):
                raise RunError(
                    f"the training dataset: a batch of shapes {found}; expected those of the first, {expected}"
                )


class DatasetEvalBatches:
    """One pass over a dataset, which must have an end."""

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self.dataset = dataset

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.dataset)

    def check(self) -> None:
        """Read the first batch; raises where there is none."""
        _next(iter(self.dataset))

    def passes(self, steps: int) -> Iterator[Batches]:
        """One pass, in groups of at most `steps` batches of one shape."""
        held: list[Any] = []
        for batch in self.dataset:
            held.append(batch)
            if len(held) == steps:
                yield from _grouped(held)
                held = []
        yield from _grouped(held)


def _grouped(batches: list[Any]) -> list[Batches]:
    groups: list[list[Any]] = []
    for batch in batches:
        if groups and _shapes(groups[-1][0]) == _shapes(batch):
            groups[-1].append(batch)
        else:
            groups.append([batch])
    return [
        Batches(len(group), tf.nest.map_structure(lambda *values: np.stack([v.numpy() for v in values]), *group))
        for group in groups
    ]


def _next(iterator: Any) -> Any:
    try:
        return next(iterator)
    except StopIteration as error:
        raise RunError("the dataset is empty; expected at least one batch") from error


def _shapes(batch: Any) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(batch)]


def _zeros(dataset: tf.data.Dataset) -> Any:
    """Like the first batch, which is read only where the dataset does not know its shape: `batch` may end short."""
    like = dataset.element_spec
    if any(not spec.shape.is_fully_defined() for spec in tf.nest.flatten(like)):
        like = _next(iter(dataset))
    return tf.nest.map_structure(_zeros_like, like)


def _zeros_like(spec: Any) -> np.ndarray:
    """Zeros of a tensor's or a spec's shape and dtype; of strings, empty ones."""
    if not spec.shape.rank:
        raise RunError(f"the dataset: an element of shape {spec.shape}; expected batches, as `.batch(size)` makes them")
    if spec.dtype == tf.string:
        return np.full(spec.shape, b"", object)
    return np.zeros(spec.shape, spec.dtype.as_numpy_dtype)
