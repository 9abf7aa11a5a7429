"""Run the blocks of a page in order, in one folder, and say where the output is not what the page shows.

    outcome = run(Path("docs/tutorial.md"), slow=True)
    outcome.differences                      # each: line of the page, command, how it differs
    outcome.rewritten                        # the page with the output of this run

The folder has the checkout's `docs/examples`, `config.yaml`, `setup.py` and `trainer`, and, where `TRAINER_DATA` or
`../shared/data` has it, the real data as `mnist` and `natality`. `python` is the one that runs this.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docs.builder import outputs, services
from docs.builder.blocks import Block, Step, blocks, page_marks
from docs.builder.shell import Ended, Shell


ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("TRAINER_DATA", ROOT.parent / "shared" / "data"))
LINKED = ("config.yaml", "setup.py", "trainer", "docs/examples", "Makefile", "README.md")
DEADLINE_S = 600.0
PROGRAMS = ("curl", "setsid")  # setsid gives each command its terminal
INTERRUPT = "^C"
PLATFORM = ("AIP_", "TF_CONFIG", "CLUSTER_SPEC", "CLOUD_ML_", "GOOGLE_CLOUD_", "TF_CPP_", "PYTHONPATH", "COLUMNS")


@dataclass(frozen=True)
class Difference:
    """A command whose output is not what the page shows."""

    line: int
    command: str
    how: str

    def __str__(self) -> str:
        return f"line {self.line}: $ {self.command}\n{self.how}"


@dataclass(frozen=True)
class Outcome:
    """What came of a page."""

    differences: tuple[Difference, ...]
    rewritten: str
    commands: int


def with_commands() -> list[Path]:
    """The README and the pages, in the order of the site, that show commands which can run here."""
    pages = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").rglob("*.md"))]
    runnable = [page for page in pages if page.exists() and "_build" not in page.parts]
    return [
        page for page in runnable if any(b.is_console and not b.needs for b in blocks(page.read_text(encoding="utf-8")))
    ]


def lacking(page: str, *, slow: bool) -> list[str]:
    """What a page needs that is not there: programs and, in slow blocks, data (`<!-- page: data mnist -->`)."""
    data = [mark.split()[1] for mark in page_marks(page) if mark.startswith("data ") and slow]
    programs = [name for name in PROGRAMS if name in page or name == "setsid"]
    return [str(DATA / name) for name in data if not (DATA / name).is_dir()] + [
        name for name in programs if shutil.which(name) is None
    ]


def run(path: Path, *, slow: bool) -> Outcome:
    """Run a page; blocks marked slow only where they are asked for, those that need something else never."""
    page = path.read_text(encoding="utf-8")
    lines, differences, commands = page.splitlines(), [], 0
    steps = {block: block.steps for block in blocks(page) if block.is_console}  # first: a mistake is said at once
    replaced: list[tuple[tuple[int, int], list[str]]] = []
    with tempfile.TemporaryDirectory(prefix="page-") as folder, services.beside(page_marks(page), folder) as beside:
        furnish(Path(folder))
        with Shell(folder, {**environment(os.environ, beside.bin), **beside.environ}) as shell:
            for block in blocks(page):
                if block.needs or ("slow" in block.marks and not slow):
                    continue
                if block.file:
                    content = beside.as_here("\n".join([*block.lines, ""]))
                    (Path(folder) / block.file).write_text(content, encoding="utf-8")
                if not block.is_console:
                    continue
                for step in steps[block]:
                    ended = perform(step, block, shell, beside)
                    printed = [beside.as_on_the_page(line) for line in ended.lines]
                    how = verdict(step, Ended(printed, ended.code), alignment(block))
                    commands += 1
                    if how:
                        differences.append(Difference(step.line, step.command, how))
                    replaced.append((step.output_lines, outputs.refreshed(step.output, printed, alignment(block))))
    for (first, last), output in reversed(replaced):
        lines[first:last] = output
    return Outcome(tuple(differences), "\n".join([*lines, ""]), commands)


def furnish(folder: Path) -> None:
    """Put into a folder what a page may name."""
    (folder / "docs").mkdir()
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    for name in ("mnist", "natality"):
        if (DATA / name).is_dir():
            (folder / name).symlink_to(DATA / name)


def environment(outer: Mapping[str, str], first: str) -> dict[str, str]:
    """The environment of a command: a folder of commands and this Python first, and nothing that a platform sets."""
    kept = {name: value for name, value in outer.items() if not name.startswith(PLATFORM)}
    folders = [first, str(Path(sys.executable).parent), outer["PATH"]]
    return {**kept, "PATH": os.pathsep.join(folder for folder in folders if folder)}


def perform(step: Step, block: Block, shell: Shell, beside: services.Beside) -> Ended:
    """Run one command; the last of a block in the background until it has printed the page's last line."""
    command = beside.as_here(step.command)
    if "in the background" in block.marks and step == block.steps[-1]:
        return shell.start(command, until=lambda seen: _has(seen, step.output[-1], beside), deadline_s=DEADLINE_S)
    pressed = next((i for i, line in enumerate(step.output) if line.startswith(INTERRUPT)), 0)
    if pressed:
        before = step.output[pressed - 1]
        return shell.run(command, deadline_s=DEADLINE_S, interrupt_at=lambda seen: _has(seen, before, beside))
    return shell.run(command, deadline_s=DEADLINE_S)


def alignment(block: Block) -> outputs.Align:
    """How the output of a block is compared, by its comments."""
    if "numbers vary" in block.marks:
        return outputs.aligned_by_words
    return outputs.aligned_in_any_order if "in any order" in block.marks else outputs.aligned


def verdict(step: Step, ended: Ended, align: outputs.Align) -> str | None:
    """How a command did not do what the page says, or None."""
    text = "\n".join(step.output)
    may_fail = any(word in text for word in ("error:", "ERROR", "Killed", INTERRUPT))
    fails = re.search(r"^[\w.]+: error: ", text, re.MULTILINE) and "|" not in step.command
    how = outputs.difference(step.output, ended.lines, align)
    if ended.code and not may_fail:
        return f"exit code {ended.code}\n" + "\n".join(ended.lines)
    if ended.code == 0 and fails:
        return "it ended well, and the page shows an error"
    return how


def _has(seen: list[str], line: str, beside: services.Beside) -> bool:
    return any(outputs.same(line, beside.as_on_the_page(other)) for other in seen)
