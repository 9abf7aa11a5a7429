"""The model and every variable that an exact resume needs, by name."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UsageError


def build_model(model_fn: Callable[[], keras.Model], *, seed: int) -> keras.Model:
    """A compiled model with its optimizer's variables made. The same seed gives the same weights.

    Keras numbers the layers that have no name over the whole process; the session is cleared first so that the same
    model has the same names, and so the same checkpoint, whatever was built before it.
    """
    policy = keras.config.dtype_policy()
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    model = model_fn()
    if not getattr(model, "compiled", False):
        raise UsageError(f"model_fn returned {type(model).__name__}, which is not compiled; call model.compile in it")
    return model


def build_variables(model: keras.Model, batch: Any) -> None:
    """Make what Keras makes only at the first batch: the variables of the metrics and of the optimizer.

    `batch` is one batch as a train step takes it, of which only shapes and dtypes count.
    """
    model._symbolic_build(data_batch=batch)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Weights, seeds of dropout, metrics and optimizer, by the name each has in a checkpoint.

    The variables and not the Keras object: `tf.train.Checkpoint(model=...)` leaves out Keras 3's seed generators, so
    that a resumed run with dropout differs.
    """
    groups = {
        "model": model.variables,
        "metrics": [variable for metric in model.metrics for variable in metric.variables],
        "optimizer": model.optimizer.variables,
    }
    named: dict[str, tf.Variable] = {}
    seen: set[int] = set()
    for group, members in groups.items():
        for variable in members:
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            name = f"{group}/{variable.path}"
            count = sum(other == name or other.startswith(f"{name}#") for other in named)
            named[f"{name}#{count}" if count else name] = variable.value
    return named


def assign(named: Mapping[str, tf.Variable], read: Callable[[str], Any]) -> None:
    """Give every variable the value that `read` has for its name."""
    for name, variable in named.items():
        variable.assign(read(name))
