"""A folder of preprocessed files: what it was made of, and whether it is whole.

    if summary := folder.finished(output, recipe): ...      # the same was made there before
    with folder.begun(output, names):                       # UsageError where other files are in the way
        ...                                                 # write the files
        folder.seal(output, recipe, tally, written)

`stats.json` is the last file: that it is there says that all is. It has the statistics of each part, the recipe, and
the rows, size and checksum of each file. A process may be killed at any line here, and the same command begins again.
"""

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trainer.errors import MissingError, UsageError
from trainer.preprocessing.shards import Written
from trainer.storage import commit, lease, paths


STATS = "stats.json"
FILES_AT_ONCE = 16
Recipe = Mapping[str, Any]
"""All that the files follow from, as JSON has it."""


def described(files: Iterable[str]) -> list[dict[str, Any]]:
    """Input files for a recipe: another version whenever the content is another."""
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        names = list(files)
        known = pool.map(paths.stat, names)
        return [{"path": path, "size": e.size, "version": e.version} for path, e in zip(names, known, strict=True)]


def finished(output: str, recipe: Recipe) -> dict[str, Any] | None:
    """The content of `stats.json` where the folder is whole and of this recipe, None where it is not whole.

    Raises `UsageError` where it is of another recipe, and `DamagedError` where a file is gone or of another size since.
    """
    found = load(output)
    if found is None:
        return None
    if found["recipe"] != recipe:
        raise UsageError(f"{output}: {_difference(found['recipe'], recipe)}; expected the same, or another folder")
    there = paths.list_files(output)
    for name, file in found["files"].items():
        if name not in there or there[name].size != file["size"]:
            size = f"{there[name].size} bytes" if name in there else "missing"
            raise commit.DamagedError(
                f"{paths.join(output, name)}: {size}, expected {file['size']} bytes; remove {STATS} there, "
                "and the same command makes it again"
            )
    return found


def load(output: str) -> dict[str, Any] | None:
    """The content of `stats.json`, None where there is none."""
    path = paths.join(output, STATS)
    try:
        found = json.loads(paths.read_bytes(path))
        return {**found, "recipe": dict(found["recipe"]), "files": dict(found["files"])}
    except MissingError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path}: is not of preprocessed files; expected another folder") from error


@contextlib.contextmanager
def begun(output: str, names: Collection[str]) -> Iterator[None]:
    """Be the one writer of the folder in the block. A file of another set raises `UsageError`: a glob reads both."""
    check(output, names)
    paths.make_directory(output)
    held = lease.acquire(output)
    try:
        check(output, names)  # another one may have been first until now
        commit.remove_staging(output)
        yield
        held.check()
        paths.remove(paths.join(output, lease.NAME))
    finally:
        held.release()


def check(output: str, names: Collection[str]) -> None:
    """Raise `UsageError` where a file is in the way: a glob for one of the parts would read it too."""
    parts = tuple({name.partition(".")[0] for name in names})
    for name in paths.list_names(output):
        if name.startswith(parts) and name not in names:
            raise UsageError(f"{paths.join(output, name)}: is of another set; expected a folder without it")


def seal(output: str, recipe: Recipe, counted: Mapping[str, Any], written: Iterable[Written]) -> dict[str, Any]:
    """Say that all is there. `counted` is what else `stats.json` has."""
    files = {file.name: {k: v for k, v in dataclasses.asdict(file).items() if k != "name"} for file in written}
    content = {**counted, "recipe": dict(recipe), "files": dict(sorted(files.items()))}
    paths.write_bytes(paths.join(output, STATS), (json.dumps(content, indent=1) + "\n").encode())
    return content


def _difference(before: Recipe, now: Recipe) -> str:
    """What a recipe has otherwise, in words."""
    for key in now:
        old, new = before.get(key), now[key]
        if old == new:
            continue
        if key != "input" or not isinstance(old, list) or not isinstance(new, list):
            return f"was made with {key} {old}, now {new}"
        for one, other in zip(old, new, strict=False):
            if one["path"] != other["path"]:
                return f"was made of {one['path']}, where now is {other['path']}"
            if one != other:
                return f"{one['path']} was changed since this was made"
        return f"was made of {len(old)} files, now {len(new)}"
    return "was made with another recipe"
