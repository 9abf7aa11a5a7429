"""Any `tf.data.Dataset` of batches as an input: `(features, label)` or `(features, label, sample_weight)`.

The position is the dataset iterator's own checkpoint, so it is exact through shuffle, interleave and prefetch. Batches
of one shape go to a call together; one of another shape, such as a short last batch, goes by itself.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import RunError
from trainer.inputs.batches import Batches


PREFIX = "iterator"


class DatasetTrainBatches:
    """Endless batches of a dataset, which is repeated if it has an end."""

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self.dataset = dataset
        self._iterator = iter(dataset if dataset.cardinality() == tf.data.INFINITE_CARDINALITY else dataset.repeat())

    def save(self, folder: str) -> dict[str, Any]:
        """Write the iterator into a checkpoint's folder."""
        tf.train.Checkpoint(iterator=self._iterator).write(f"{folder}/{PREFIX}")
        return {}

    def restore(self, folder: str, saved: dict[str, Any]) -> None:
        """Go to where the iterator in a checkpoint's folder was."""
        del saved
        tf.train.Checkpoint(iterator=self._iterator).read(f"{folder}/{PREFIX}").assert_consumed()

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.dataset)

    def take(self, steps: int) -> list[Batches]:
        """The next `steps` batches, those of one shape together."""
        try:
            return _grouped([next(self._iterator) for _ in range(steps)])
        except StopIteration as error:
            raise RunError("the training dataset is empty; expected at least one batch") from error


class DatasetEvalBatches:
    """One pass over a dataset, which must have an end."""

    def __init__(self, dataset: tf.data.Dataset) -> None:
        self.dataset = dataset

    def zeros(self) -> Any:
        """One batch of zeros: what shapes and dtypes the model gets."""
        return _zeros(self.dataset)

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


def _shapes(batch: Any) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(batch)]


def _zeros(dataset: tf.data.Dataset) -> Any:
    return tf.nest.map_structure(
        lambda spec: np.zeros([size or 1 for size in spec.shape], spec.dtype.as_numpy_dtype), dataset.element_spec
    )
