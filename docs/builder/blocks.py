"""The blocks of a Markdown page: which commands it shows with which output, and which files.

    for block in blocks(page):
        if block.is_console:
            for step in block.steps: ...   # step.command, step.output

A comment right before a block says what the runner has to know of it:

    <!-- file: iris.py -->           the block is the content of that file
    <!-- in the background -->       its last command goes on while the rest of the page runs
    <!-- slow -->                    only with the slow tests
    <!-- numbers vary -->            of its output only the words are compared
    <!-- in any order -->            its lines are of several processes
    <!-- needs a cloud -->           not run here, for the reason given

and one at the top of a page what runs beside it: `<!-- page: bucket my-bucket -->`, `<!-- page: cloud my-bucket -->`.
"""

import re
import shlex
from dataclasses import dataclass


COMMENT = re.compile(r"<!-- (.+?) -->")
FENCE = re.compile(r"^(\s*)```(.*)$")
PROMPT = "$ "


@dataclass(frozen=True)
class Step:
    """A command and the lines that it prints; `...` stands for any that are left out."""

    command: str
    output: tuple[str, ...]
    line: int  # of the page, from 1, where the command is
    output_lines: tuple[int, int]  # indices of the page's lines, [first, last)


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comments before it."""

    language: str
    lines: tuple[str, ...]
    line: int  # of the page, from 1, where its first line is
    marks: tuple[str, ...] = ()

    @property
    def is_console(self) -> bool:
        """Whether it shows commands with their output."""
        return self.language in ("", "console") and any(line.startswith(PROMPT) for line in self.lines)

    @property
    def is_commands(self) -> bool:
        """Whether it is commands alone."""
        return self.language in ("sh", "bash", "shell")

    @property
    def needs(self) -> str | None:
        """Why it is not run here, such as `a cloud`."""
        return next((mark.removeprefix("needs ") for mark in self.marks if mark.startswith("needs ")), None)

    @property
    def file(self) -> str | None:
        """The file that it is the content of."""
        return next((mark.removeprefix("file: ") for mark in self.marks if mark.startswith("file: ")), None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The commands in order. Raises `ValueError` for output before the first."""
        found: list[Step] = []
        i = 0
        while i < len(self.lines):
            if not self.lines[i].startswith(PROMPT):
                raise ValueError(f"line {self.line + i}: {self.lines[i]!r} comes before any command")
            first = i
            words = [self.lines[i].removeprefix(PROMPT)]
            while _goes_on("\n".join(words)):
                i += 1
                words.append(self.lines[i].removeprefix("> "))
            begin = i = i + 1
            while i < len(self.lines) and not self.lines[i].startswith(PROMPT):
                i += 1
            end = i
            while end > begin and not self.lines[end - 1].strip():  # a blank line before the next command
                end -= 1
            offset = self.line - 1
            output = self.lines[begin:end]
            found.append(Step("\n".join(words), output, self.line + first, (offset + begin, offset + end)))
        return tuple(found)


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    lines = page.splitlines()
    found: list[Block] = []
    i = 0
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if not fence:
            i += 1
            continue
        indent, language = fence.groups()
        end = next(j for j in range(i + 1, len(lines)) if lines[j].strip() == "```")
        language = language.strip().partition(" ")[0]
        content = tuple(line.removeprefix(indent) for line in lines[i + 1 : end])
        found.append(Block(language, content, i + 2, _marks(lines[:i])))
        i = end + 1
    return found


def page_marks(page: str) -> tuple[str, ...]:
    """What the comments `<!-- page: ... -->` say."""
    return tuple(m.removeprefix("page: ") for m in COMMENT.findall(page) if m.startswith("page: "))


def _marks(before: list[str]) -> tuple[str, ...]:
    """The comments right before a block, blank lines between them or not."""
    marks: list[str] = []
    for line in reversed(before):
        comment = COMMENT.fullmatch(line.strip())
        if comment and not comment[1].startswith("page: "):
            marks.insert(0, comment[1])
        elif line.strip():
            break
    return tuple(marks)


def _goes_on(command: str) -> bool:
    """Whether a shell would ask for another line: after a backslash, or within a quote."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False
