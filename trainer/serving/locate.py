"""Which export a directory means.

    export = locate(job_dir)        # the newest committed export below it, verified

A directory is an export itself, or a strategy's folder (`<dir>/<10 digits>/`), or a job dir
(`<dir>/export/<strategy>/<10 digits>/`).
"""

import itertools
import logging

from trainer.errors import UsageError
from trainer.storage import commit, paths


MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
TIME_DIGITS = 10  # unix seconds, as TF Serving and gcloud expect
PREFERRED = "best"
log = logging.getLogger("trainer.serving")


def locate(directory: str) -> str:
    """The export that `directory` is or holds, read whole and found undamaged.

    An export named itself may come from anyone: without our marker it is taken as it is. Below a directory only
    committed exports count, the newest first; of two of the same second the best rather than the final. A damaged one
    is passed over with a warning. Raises `UsageError` when there is none, and
    `DamagedError` when there is no undamaged one.
    """
    if not paths.is_directory(directory):
        raise UsageError(f"{directory}: no such directory; expected an export, a strategy's folder or a job dir")
    if is_export(directory):
        if commit.is_committed(directory):
            commit.verify(directory)
        return directory
    exports = newest_first(directory)
    if not exports:
        raise UsageError(
            f"{directory}: no export; expected {' or '.join(MODEL_FILES)} in it, "
            "or a committed export below it, as export/best/1500000000/"
        )
    for export, before in itertools.pairwise(exports):
        try:
            commit.verify(export)
        except commit.DamagedError as error:
            log.warning("%s; using the export before it, %s", error, before)
        else:
            return export
    commit.verify(exports[-1])
    return exports[-1]


def is_export(directory: str) -> bool:
    """Whether the directory itself holds a SavedModel."""
    return any(paths.exists(paths.join(directory, name)) for name in MODEL_FILES)


def newest_first(directory: str) -> list[str]:
    """The committed exports in a strategy's folder or below a job dir; not looked into, so they may be damaged."""
    below = paths.join(directory, "export")
    folders = [directory, *(paths.join(below, strategy) for strategy in paths.list_names(below))]
    found = [
        export
        for folder in folders
        if paths.is_directory(folder)
        for export in commit.committed(folder)
        if len(paths.name(export)) == TIME_DIGITS and is_export(export)
    ]
    return sorted(found, key=order, reverse=True)


def order(export: str) -> tuple[int, bool, str]:
    """What is greater for the one of two exports that is taken: its time; then that it is a best one."""
    return int(paths.name(export)), paths.name(paths.parent(export)) == PREFERRED, export
