"""Checkpoints: every variable and where the run was, in `<job-dir>/checkpoints/<step>/`.

    checkpoint.save(directory, step, named, lambda folder: {"input": position}, keep=5)
    with checkpoint.restored_newest(directory, named) as found:      # the newest that is whole, or None
        ...
    newest = checkpoint.newest_step(directory)                       # for who only follows
    checkpoint.restore_variables(directory, newest, named)

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

from trainer.errors import RunError, UsageError
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
        words = {
            "checkpoint": f'model_checkpoint_path: "{PREFIX}"\n',
            "state.json": json.dumps(dict(facts(folder)), indent=1),
        }
        for name, content in words.items():  # the folder is on this machine, and put on the disk as a whole
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(content)
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
            _restore(folder, files, named)
            yield Restored(int(paths.name(folder)), files, _facts(files))
            return
    yield None


def newest_step(directory: str) -> int | None:
    """The step of the newest committed checkpoint."""
    return max((int(paths.name(folder)) for folder in commit.committed(directory)), default=None)


def restore_variables(directory: str, step: int, named: Mapping[str, tf.Variable]) -> None:
    """Give the variables the values of one checkpoint, which another process may remove meanwhile.

    Raises `DamagedError` when it does, and when the checkpoint is not whole.
    """
    folder = paths.join(directory, str(step))
    commit.verify(folder)
    with commit.opened(folder) as files:
        try:
            _restore(folder, files, named)
        except (tf.errors.OpError, ValueError) as error:  # the latter where its index is not there any more
            raise commit.DamagedError(f"{folder}: was removed while it was being read") from error


def restore_input(directory: str, step: int, train_input: Any) -> None:
    """Put an input to where it was when the checkpoint of a step was taken."""
    folder = paths.join(directory, str(step))
    if not commit.is_committed(folder):
        raise RunError(
            f"{folder}: no such checkpoint here, though the chief has it; expected a --job-dir that all tasks share"
        )
    with commit.opened(folder) as files:
        train_input.restore(files, _facts(files)["input"])


def _restore(folder: str, files: str, named: Mapping[str, tf.Variable]) -> None:
    reader = tf.train.load_checkpoint(files)
    _check_match(folder, named, reader.get_variable_to_shape_map())
    state.assign(named, reader.get_tensor)


def _facts(files: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(paths.read_bytes(paths.join(files, "state.json")))
    return found


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
