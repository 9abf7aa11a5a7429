"""Checkpoints: every variable and where the run was, in `<job-dir>/checkpoints/<step>/`.

    checkpoint.save(directory, step, named, lambda folder: {"input": position}, keep=5)
    with checkpoint.restored_newest(directory, named) as found:      # the newest that is whole, or None
        ...

Each folder is committed (`storage.commit`) and `tf.train.load_checkpoint(folder)` reads it.
"""

import contextlib
import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
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
    folder: str  # on this machine, as long as the block lasts
    facts: dict[str, Any]  # what was saved beside the variables


def save(
    directory: str,
    step: int,
    named: Mapping[str, tf.Variable],
    facts: Callable[[str], Mapping[str, Any]],
    *,
    keep: int,
    submit: Callable[[Callable[[], None]], None] = commit.at_once,
) -> None:
    """Commit a checkpoint, then remove all but the newest `keep`.

    `facts(folder)` returns what goes into `state.json`, and may add files of its own to the folder. All that is to be
    part of the checkpoint is taken now; `submit` is given what comes then, the way to the directory.
    """
    with commit.staged(paths.join(directory, str(step)), submit) as folder:
        _write_variables(f"{folder}/{PREFIX}", named)
        paths.write_bytes(f"{folder}/checkpoint", f'model_checkpoint_path: "{PREFIX}"\n'.encode())
        paths.write_bytes(f"{folder}/state.json", json.dumps(dict(facts(folder)), indent=1).encode())
    submit(functools.partial(commit.prune, directory, keep))


@contextlib.contextmanager
def restored_newest(directory: str, named: Mapping[str, tf.Variable]) -> Iterator[Restored | None]:
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
        with commit.opened(folder) as files:
            reader = tf.train.load_checkpoint(files)
            _check_match(folder, named, reader.get_variable_to_shape_map())
            state.assign(named, reader.get_tensor)
            facts = json.loads(paths.read_bytes(paths.join(files, "state.json")))
            yield Restored(int(paths.name(folder)), files, facts)
            return
    yield None


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
