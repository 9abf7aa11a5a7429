"""The folder that a platform registers the model from: a copy of one export, as it is, that is committed by itself.

    registration.check(folder)                              # before any training
    registration.ensure(folder, exports.by_preference())

A copy that is there is replaced where it is not whole, or is another export's. A process may be killed at any line
here: what it leaves has no marker, and the next run replaces it.
"""

import json
import logging
import os
import shutil
from collections.abc import Sequence

from trainer.errors import UsageError
from trainer.settings import places
from trainer.storage import commit, local, paths


OF_A_MODEL = frozenset(
    {
        *("saved_model.pb", "saved_model.pbtxt", "fingerprint.pb", "keras_metadata.pb"),
        *("variables", "assets", "assets.extra", "debug"),
        *(commit.MANIFEST, commit.MARKER),
    }
)
"""What is in the folder of a SavedModel, ours or another's."""
log = logging.getLogger("trainer.exporting")


def check(folder: str) -> None:
    """Raise `UsageError` where there is more than a model in the folder, which would go when it is replaced."""
    for name in paths.list_names(folder):
        if name not in OF_A_MODEL and not name.startswith(local.TEMPORARY):
            raise UsageError(f"{places.MODEL_DIR}: {folder}: has {name}; expected a folder for the model alone")


def ensure(folder: str, exports: Sequence[str]) -> None:
    """Make the folder a copy of the first of these exports that is not damaged.

    Raises `DamagedError` where all of them are.
    """
    check(folder)
    for export in exports:
        try:
            commit.verify(export)
            if not is_copy(folder, export):
                _copy(export, folder)
                log.info("copied %s to %s", export, folder, extra={"fields": {"export": export, "model": folder}})
        except commit.DamagedError as damage:
            if export == exports[-1]:
                raise
            log.warning("not copied to %s: %s", folder, damage)
        else:
            return


def is_copy(folder: str, export: str) -> bool:
    """Whether the folder is whole, and has the files of a committed export and no others."""
    try:
        commit.verify(folder)
    except commit.DamagedError:
        return False
    files = _files(export)
    there = paths.list_files(folder).keys() - {commit.MANIFEST, commit.MARKER}
    return _files(folder) == files and there == files.keys()


def _copy(export: str, folder: str) -> None:
    with commit.opened(export) as source, commit.staged(folder) as copy:
        for name in _files(source):
            target = os.path.join(copy, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(source, name), target)
        commit.remove(folder)  # no sooner: it is gone for as short as can be


def _files(folder: str) -> dict[str, tuple[int, str]]:
    """Size and checksum of each file that a committed folder's manifest names."""
    manifest = json.loads(paths.read_bytes(paths.join(folder, commit.MANIFEST)))
    return {name: (entry["size"], entry["crc32c"]) for name, entry in manifest["files"].items()}
