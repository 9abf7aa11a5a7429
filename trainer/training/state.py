"""The model and every variable that an exact resume needs, by name."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UsageError
from trainer.settings.run import Run


Scope = Callable[[], contextlib.AbstractContextManager[Any]]
METRICS = "metrics/"


def build_model(model_fn: Callable[[], keras.Model], run: Run, *, scope: Scope = contextlib.nullcontext) -> keras.Model:
    """A compiled model, made in the scope of a strategy if one is given. The same `--seed` gives the same weights.

    Keras numbers the layers that have no name over the whole process; the session is cleared first so that the same
    model has the same names, and so the same checkpoint, whatever was built before it.
    """
    policy = keras.config.dtype_policy()
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(run.seed)
    with scope():
        model = model_fn()
    if not getattr(model, "compiled", False):
        raise UsageError(f"model_fn returned {type(model).__name__}, which is not compiled; call model.compile in it")
    if run.deterministic:
        # After `compile`: Keras takes jit_compile back under this switch, but XLA's programs repeat themselves.
        tf.config.experimental.enable_op_determinism()
    return model


def build_variables(model: keras.Model, batch: Any, *, scope: Scope = contextlib.nullcontext) -> None:
    """Make what Keras makes only at the first batch: the variables of the metrics and of the optimizer.

    `batch` is one batch as a train step takes it, of which only shapes and dtypes count.
    """
    with scope():
        model._symbolic_build(data_batch=tf.nest.map_structure(tf.convert_to_tensor, batch))  # no NumPy type is a text
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)


def variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Weights, seeds of dropout, metrics and optimizer, by the name each has in a checkpoint.

    The variables and not the Keras object: `tf.train.Checkpoint(model=...)` leaves out Keras 3's seed generators, so
    that a resumed run with dropout differs.
    """
    groups = {
        "model": model.variables,
        METRICS.rstrip("/"): [variable for metric in model.metrics for variable in metric.variables],
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


def values(named: Mapping[str, tf.Variable]) -> dict[str, Any]:
    """The value of every variable, by its name."""
    return {name: variable.read_value() for name, variable in named.items()}
