"""Checkpoints: every variable and where the run was, in `<job-dir>/checkpoints/<step>/`.

    checkpoint.save(directory, step, named, lambda folder: {"input": position}, keep=5)
    found = checkpoint.restore_newest(directory, named)      # the newest that is whole, or None

Each folder is committed (`storage.commit`) and `tf.train.load_checkpoint(folder)` reads it.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer.errors import UsageError
from trainer.storage import commit, paths
from trainer.training import state


PREFIX = "variables"
log = logging.getLogger("trainer.checkpoint")


@dataclass(frozen=True)
class Restored:
    """A checkpoint whose variables are now the model's."""

    step: int
    folder: str
    facts: dict[str, Any]  # what was saved beside the variables


def save(
    directory: str,
    step: int,
    named: Mapping[str, tf.Variable],
    facts: Callable[[str], Mapping[str, Any]],
    *,
    keep: int,
) -> str:
    """Commit a checkpoint, then remove all but the newest `keep`.

    `facts(folder)` returns what goes into `state.json`, and may add files of its own to the folder.
    """
    destination = paths.join(directory, str(step))
    with commit.staged(destination) as folder:
        _write_variables(f"{folder}/{PREFIX}", named)
        paths.write_bytes(f"{folder}/checkpoint", f'model_checkpoint_path: "{PREFIX}"\n'.encode())
        paths.write_bytes(f"{folder}/state.json", json.dumps(dict(facts(folder)), indent=1).encode())
    for old in commit.committed(directory)[:-keep]:
        commit.remove(old)
    return destination


def restore_newest(directory: str, named: Mapping[str, tf.Variable]) -> Restored | None:
    """Give the variables the values of the newest checkpoint that is whole; None where there is none.

    A damaged one is said and its marker removed. One of another model raises `UsageError`, naming the variables.
    """
    for folder in reversed(commit.committed(directory)):
        try:
            commit.verify(folder)
        except commit.DamagedError as damage:
            log.warning("checkpoint %s is damaged and skipped: %s", folder, damage)
            commit.retract(folder)
            continue
        reader = tf.train.load_checkpoint(folder)
        _check_match(folder, named, reader.get_variable_to_shape_map())
        state.assign(named, reader.get_tensor)
        facts = json.loads(paths.read_bytes(paths.join(folder, "state.json")))
        return Restored(int(paths.name(folder)), folder, facts)
    return None


def _write_variables(prefix: str, named: Mapping[str, tf.Variable]) -> None:
    try:
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(named),
            shape_and_slices=[""] * len(named),
            tensors=[variable.read_value() for variable in named.values()],
        )
    except tf.errors.OpError as error:
        raise OSError(error.message) from error  # a full disk, mostly; `staged` says which folder


def _check_match(folder: str, named: Mapping[str, tf.Variable], saved: Mapping[str, list[int]]) -> None:
    ours = {name: list(variable.shape) for name, variable in named.items()}
    differences = [
        *(f"{name} is not in the checkpoint" for name in ours if name not in saved),
        *(f"{name} is not in the model" for name in saved if name not in ours),
        *(
            f"{name} has shape {saved[name]} in the checkpoint and {ours[name]} in the model"
            for name in ours.keys() & saved.keys()
            if saved[name] != ours[name]
        ),
    ]
    if differences:
        shown = "; ".join(differences[:6]) + (f"; and {len(differences) - 6} more" if len(differences) > 6 else "")
        raise UsageError(
            f"{folder}: the checkpoint is of another model: {shown}. Use the flags of that run, or a new --job-dir"
        )
