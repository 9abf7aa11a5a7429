"""Say which checkpoints and exports below a path are whole.

    python -m trainer.storage.fsck gs://bucket/job
    python -m trainer.storage.fsck gs://bucket/job --repair

A set is a folder with a marker or a manifest, and a numbered one where checkpoints and exports have their places.
`committed`: all that its manifest names is there and undamaged. `damaged`: a marker vouches for it, but it is not what
the manifest says. `uncommitted`: no marker, so it is being written, or its writer was killed. `--repair` removes what
no marker covers once it is an hour old: such sets, and files in committed sets that their manifests do not name. What
is damaged stays, to be looked at.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trainer.errors import RunError
from trainer.settings import command, logs
from trainer.storage import commit, local, paths
from trainer.storage.entry import Entry


PROG = "trainer.storage.fsck"
OLD_S = 3600.0
TIME_DIGITS = 10  # of an export's name
log = logging.getLogger(PROG)


@dataclass(frozen=True)
class Set:
    """A folder of files that belong together."""

    state: str  # committed, uncommitted or damaged
    folder: str
    files: int
    size: int  # bytes
    age_s: float  # since its newest file was written
    problem: str = ""
    uncovered: tuple[str, ...] = ()  # paths that no marker covers


def main(argv: list[str]) -> int:
    """Print a line a set. The exit code is 1 where one is damaged."""
    parser = command.Parser(prog=f"python -m {PROG}", description=__doc__.splitlines()[0])
    parser.add_argument("path", metavar="PATH", help="a job dir, a folder of sets or a set; local or gs://")
    parser.add_argument("--repair", action="store_true", help="remove what no marker covers and is older than an hour")
    command.add_arguments(parser)
    args = parser.parse_args(argv)
    logs.start_on_stderr(args.verbosity)
    if not paths.is_directory(args.path):
        raise RunError(f"{args.path}: no such folder; expected a job dir, a folder of sets or a set")
    found = list(sets(args.path))
    print(table(found))
    if args.repair:
        for path in removable(found):
            paths.remove(path)
            print(f"removed {path}")
    return int(any(each.state == "damaged" for each in found))


def sets(directory: str) -> Iterator[Set]:
    """The sets below a directory, or the one that it is, in the order of their names and numbers."""
    files = paths.list_files(directory)
    now = now_at(directory)
    folders = {folder for name in files if (folder := _set_of(directory, name, files)) is not None}
    for folder in sorted(folders, key=_by_number):
        prefix = f"{folder}/" if folder else ""
        inside = {name.removeprefix(prefix): entry for name, entry in files.items() if name.startswith(prefix)}
        yield _examined(paths.join(directory, folder) if folder else directory, inside, now)


def removable(found: list[Set]) -> list[str]:
    """What no marker covers, and nobody is about to write one for."""
    return [path for each in found if each.age_s > OLD_S for path in each.uncovered]


def table(found: list[Set]) -> str:
    """A line a set under a heading, or a word if there is none."""
    rows = [("STATE", "FILES", "BYTES", "AGE", "FOLDER")]
    for each in found:
        notes = each.problem or (f"{len(each.uncovered)} files not in its manifest" if _has_strays(each) else "")
        place = each.folder + (f"  ({notes})" if notes else "")
        rows.append((each.state, f"{each.files:,}", f"{each.size:,}", _duration(each.age_s), place))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:4], widths[1:4], strict=True)), row[4]]
        )
        for row in rows
    ]
    return "\n".join(lines) if found else "no checkpoints or exports"


def now_at(path: str) -> float:
    """Unix seconds by the clock that dates the files at a path."""
    if not paths.is_remote(path):
        return time.time()
    from trainer.storage import client  # Google's client takes a while to import

    return client.server_time()


def _by_number(folder: str) -> list[tuple[int, str]]:
    """A key that puts step 500 before step 1000."""
    return [(int(part) if part.isdecimal() else 0, part) for part in folder.split("/")]


def _set_of(directory: str, name: str, files: Mapping[str, Entry]) -> str | None:
    """The outermost folder on the way to a file that is a set, "" for the directory itself; None where none is."""
    parts = name.split("/")
    for depth in range(len(parts)):
        folder = "/".join(parts[:depth])
        marked = any("/".join([*parts[:depth], each]) in files for each in (commit.MARKER, commit.MANIFEST))
        if marked or _has_its_place(paths.join(directory, folder) if folder else directory):
            return folder
    return None


def _has_its_place(folder: str) -> bool:
    """Whether a folder is where only checkpoints or exports are: elsewhere a number may be anything, such as a year."""
    name, above = paths.name(folder), paths.parent(folder)
    if name.startswith(local.TEMPORARY):
        return True
    if not name.isdecimal():
        return False
    return paths.name(above) == "checkpoints" or (
        len(name) == TIME_DIGITS and paths.name(paths.parent(above)) == "export"
    )


def _examined(folder: str, files: Mapping[str, Entry], now: float) -> Set:
    state, problem, uncovered = "committed", "", tuple[str, ...]()
    if commit.MARKER not in files:
        state, uncovered = "uncommitted", (folder,)
    else:
        try:
            commit.verify(folder)
            named = json.loads(paths.read_bytes(paths.join(folder, commit.MANIFEST)))["files"]
            strays = files.keys() - named.keys() - {commit.MARKER, commit.MANIFEST}
            uncovered = tuple(paths.join(folder, name) for name in sorted(strays))
        except commit.DamagedError as damage:
            state, problem = "damaged", str(damage).removeprefix(f"{folder}/")
    sizes, written = sum(entry.size for entry in files.values()), max(entry.modified for entry in files.values())
    return Set(state, folder, len(files), sizes, now - written, problem, uncovered)


def _has_strays(each: Set) -> bool:
    return each.state == "committed" and bool(each.uncovered)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
