"""What a folder of predictions is made of: the same recipe gives the same shards on any machine, in any order.

    made = recipe.of(export, files, signature_name=None, form="json", shard_bytes=64 << 20)
    recipe.check(output, made)          # UsageError where the folder was begun with another one

It is in the folder's `run.json`.
"""

import dataclasses
import json
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import google_crc32c

import trainer
from trainer.errors import MissingError, UsageError
from trainer.storage import commit, lease, paths
from trainer.storage.entry import crc32c_text


RUN = "run.json"
REQUESTS = 16  # at once


@dataclass(frozen=True)
class File:
    """An input file; `version` is another one whenever the content is."""

    path: str
    size: int  # bytes
    version: str


@dataclass(frozen=True)
class Recipe:
    """All that the predictions follow from."""

    model: str  # where the export is
    fingerprint: str  # of its files
    signature: str | None  # None for the model's default
    form: str  # of the predictions: json or csv
    shard_bytes: int  # of input
    files: tuple[File, ...]


def of(model: str, files: Sequence[str], *, signature_name: str | None, form: str, shard_bytes: int) -> Recipe:
    """What predictions follow from, as it is now."""
    with ThreadPoolExecutor(REQUESTS) as pool:
        known = pool.map(paths.stat, files)
        found = tuple(File(path, entry.size, entry.version) for path, entry in zip(files, known, strict=True))
    return Recipe(model, _fingerprint(model), signature_name, form, shard_bytes, found)


def save(output: str, recipe: Recipe) -> None:
    """Begin a folder with a recipe."""
    versions = {"trainer": trainer.__version__, "python": platform.python_version()}
    text = json.dumps(dataclasses.asdict(recipe) | {"versions": versions}, indent=1)
    paths.write_bytes(paths.join(output, RUN), text.encode())


def load(output: str) -> Recipe | None:
    """The recipe that a folder was begun with, None where there is none."""
    path = paths.join(output, RUN)
    try:
        found = json.loads(paths.read_bytes(path))
        files = tuple(File(**file) for file in found.pop("files"))
        found.pop("versions")
        return Recipe(**found, files=files)
    except MissingError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: is not of predictions; expected a folder of its own for them") from error


def check(output: str, recipe: Recipe) -> None:
    """Raise `UsageError` where the folder holds something else than predictions by the same recipe."""
    begun = load(output)
    if begun is None:
        others = [name for name in paths.list_names(output) if not name.startswith(".") and name != lease.NAME]
        if others:
            raise UsageError(
                f"{output}: holds {others[0]} and no {RUN}; expected a folder of predictions, or a new or an empty one"
            )
    elif dataclasses.replace(begun, model=recipe.model) != recipe:  # an export is the same wherever it is
        raise UsageError(f"{output}: {_difference(begun, recipe)}; expected the same as before, or another folder")


def _fingerprint(model: str) -> str:
    """A checksum of the names and contents of an export's files, wherever it is."""
    if commit.is_committed(model):
        files = json.loads(paths.read_bytes(paths.join(model, commit.MANIFEST)))["files"]
        contents = {name: file["crc32c"] for name, file in files.items()}
    else:
        found = paths.list_files(model).items()
        contents = {name: entry.crc32c or paths.checksum(paths.join(model, name)) for name, entry in found}
    return crc32c_text(google_crc32c.value(json.dumps(sorted(contents.items())).encode()))


def _difference(begun: Recipe, now: Recipe) -> str:
    """What a recipe has otherwise, in words."""
    words = {
        "fingerprint": ("the export", begun.model, now.model),
        "signature": ("the signature", begun.signature or "by default", now.signature or "by default"),
        "form": ("the format", begun.form, now.form),
        "shard_bytes": ("shards of", f"{begun.shard_bytes} bytes", f"{now.shard_bytes} bytes"),
    }
    for field, (noun, before, after) in words.items():
        if getattr(begun, field) != getattr(now, field):
            return f"was begun with {noun} {before}, now {noun} {after}"
    for old, new in zip(begun.files, now.files, strict=False):
        if old.path != new.path:
            return f"was begun with the file {old.path}, where now is {new.path}"
        if old != new:
            return f"{old.path} was changed since this was begun"
    return f"was begun with {len(begun.files)} files, now {len(now.files)}"
