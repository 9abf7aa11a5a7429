"""A folder of predictions in shards: what they are made of, which are there, and whether that is all.

    with sharded.begun(output, recipe) as lease:
        for shard in sharded.missing(output, recipe):
            sharded.write(output, shard, chunks, before_commit=lease.check)
        sharded.seal(output, recipe)

A shard is a file that is there whole or not at all. It counts once there is a record of its rows, size and checksum in
`progress/`: an empty file whose name says them, so that one listing finds all. When no shard is missing,
`manifest.json` and then the marker `COMMITTED` are written, as for an export. A process may be killed at any line here.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import google_crc32c

from trainer.errors import RunError
from trainer.prediction import parts
from trainer.prediction import recipe as recipes
from trainer.prediction.parts import Part
from trainer.prediction.recipe import RUN, Recipe
from trainer.storage import commit, lease, paths
from trainer.storage.entry import Entry, crc32c_text


PROGRESS = "progress"
RECORD = re.compile(r"(\d+)-(\d+)-(\d+)-([0-9a-f]{8})")
SUFFIXES = {"json": "jsonl", "csv": "csv"}  # of the files, by the form of the predictions


@dataclass(frozen=True)
class Shard:
    """A file of predictions and the rows that they are for."""

    index: int
    name: str
    part: Part


@dataclass(frozen=True)
class Written:
    """A committed shard."""

    rows: int
    size: int  # bytes
    crc32c: str


@dataclass(frozen=True)
class Summary:
    """A whole output."""

    rows: int
    shards: int
    size: int  # bytes


def shards(recipe: Recipe) -> list[Shard]:
    """All shards in the order of the input: a small or compressed file is one, a larger one several."""
    found = [
        part
        for file in recipe.files
        for part in parts.cut(file.path, Entry(file.size, file.version, modified=0), recipe.shard_bytes)
    ]
    suffix = SUFFIXES[recipe.form]
    names = (f"predictions-{index:05d}-of-{len(found):05d}.{suffix}" for index in range(len(found)))
    return [Shard(index, name, part) for index, (name, part) in enumerate(zip(names, found, strict=True))]


@contextlib.contextmanager
def begun(output: str, recipe: Recipe) -> Iterator[lease.Lease]:
    """Be the one writer of the folder in the block, with its recipe there and what killed writers left gone."""
    recipes.check(output, recipe)
    paths.make_directory(output)
    held = lease.acquire(output)
    try:
        recipes.check(output, recipe)  # another one may have been first until now
        if recipes.load(output) is None:
            recipes.save(output, recipe)
        commit.remove_staging(output)
        yield held
        if commit.is_committed(output):
            _tidy(output)
    finally:
        held.release()


def committed(output: str, recipe: Recipe) -> dict[str, Written]:
    """The shards that are there, by name: those whose record fits the file."""
    there = paths.list_files(output)
    found = {}
    every = {shard.index: shard for shard in shards(recipe)}
    for name in there:
        folder, _, record = name.partition("/")
        fields = RECORD.fullmatch(record) if folder == PROGRESS else None
        if fields and int(fields[1]) in every:
            shard, written = every[int(fields[1])], Written(int(fields[2]), int(fields[3]), fields[4])
            file = there.get(shard.name)
            if file and file.size == written.size and file.crc32c in ("", written.crc32c):
                found[shard.name] = written
    return found


def missing(output: str, recipe: Recipe) -> list[Shard]:
    """The shards that are yet to be written, in order."""
    if commit.is_committed(output):
        return []
    there = committed(output, recipe)
    return [shard for shard in shards(recipe) if shard.name not in there]


def write(
    output: str, shard: Shard, chunks: Iterable[tuple[int, bytes]], *, before_commit: Callable[[], None]
) -> Written:
    """Write a shard from its text, in chunks of so many rows each, and commit it. `before_commit` may still raise."""
    rows = size = checksum = 0
    with paths.open_output(paths.join(output, shard.name)) as file:
        for count, text in chunks:
            file.write(text)
            rows, size, checksum = rows + count, size + len(text), google_crc32c.extend(checksum, text)
        before_commit()
    written = Written(rows, size, crc32c_text(checksum))
    record = f"{shard.index:05d}-{rows}-{size}-{written.crc32c}"
    paths.write_bytes(paths.join(output, PROGRESS, record), b"")
    return written


def seal(output: str, recipe: Recipe) -> Summary:
    """Say that all is there, once it is. Raises `RunError` where a shard is missing, or no file has a row."""
    if summary := finished(output):
        return summary  # by another run, or by a first attempt of a worker
    there = committed(output, recipe)
    absent = [shard.name for shard in shards(recipe) if shard.name not in there]
    if absent:
        raise RunError(f"{paths.join(output, absent[0])}: is missing; run the same command again")
    rows = sum(written.rows for written in there.values())
    if not rows:
        raise RunError(f"{', '.join(file.path for file in recipe.files)}: no rows; expected at least one")
    run = paths.join(output, RUN)
    files = {RUN: {"size": paths.stat(run).size, "crc32c": paths.checksum(run)}}
    files |= {name: dataclasses.asdict(there[name]) for name in sorted(there)}
    manifest = json.dumps({"rows": rows, "files": files}, indent=1).encode()
    paths.write_bytes(paths.join(output, commit.MANIFEST), manifest)
    marker = crc32c_text(google_crc32c.value(manifest)) + "\n"
    paths.write_bytes(paths.join(output, commit.MARKER), marker.encode())
    return Summary(rows, len(there), sum(written.size for written in there.values()))


def finished(output: str) -> Summary | None:
    """The whole output, None where it is not. Raises `DamagedError` where a file is gone or of another size since."""
    if not commit.is_committed(output):
        return None
    manifest = json.loads(paths.read_bytes(paths.join(output, commit.MANIFEST)))
    there = paths.list_files(output)
    for name, file in manifest["files"].items():
        if name not in there or there[name].size != file["size"]:
            found = f"{there[name].size} bytes" if name in there else "missing"
            raise commit.DamagedError(
                f"{paths.join(output, name)}: {found}, expected {file['size']} bytes; remove {commit.MARKER} there, "
                "and the same command writes it again"
            )
    if lease.NAME in there or any(name.startswith(f"{PROGRESS}/") for name in there):
        _tidy(output)  # its writer was killed before it could
    sizes = [file["size"] for name, file in manifest["files"].items() if name != RUN]
    return Summary(manifest["rows"], len(sizes), sum(sizes))


def _tidy(output: str) -> None:
    """Remove what a whole output needs no more; whoever gets the lease now finds that all is done."""
    for name in (PROGRESS, lease.NAME):
        paths.remove(paths.join(output, name))
