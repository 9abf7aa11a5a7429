"""What a served model takes: the keys of a request and the way from them to the model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True)
class ServingInput:
    """What a request holds, and how it becomes what the model eats."""

    request: "Mapping[str, tf.TensorSpec]"  # by request key; the first dimension is the batch
    features_fn: Callable[[dict[str, Any]], Any]  # request tensors -> the model's input; a tf.Module if it has tables
    forward: tuple[str, ...] = ()  # request keys that the response repeats and the model does not get
    schema: Mapping[str, Any] = field(default_factory=dict)  # the content of schema.json
    golden: "Mapping[str, np.ndarray]" = field(default_factory=dict)  # a few request rows, for warm-up
