"""Our docstrings, which are plain text with code in single backticks, as reStructuredText for autodoc.

lines = docstrings.converted(["The key of `schema`.", "", "    spec = InputSpec(...)"])
comments = docstrings.field_comments(Experiment)     # {"train_steps": "absolute: train until this global step"}
"""

import ast
import dataclasses
import inspect
import itertools
import re
import tokenize
from collections.abc import Sequence
from io import StringIO


MARKUP = re.compile(
    r"`(?P<code>[^`]+)`(?P<after>\w?)"
    r"|(?P<kept>``[^`]+``|(?<![\w*])\*\w[\w ]*\*(?![\w*])|^ *\* )"  # literals, *emphasis*, items of a list
    r"|(?P<plain>[*|]|(?<=\w)_(?=\W|$))",
    re.MULTILINE,
)


def converted(lines: Sequence[str]) -> list[str]:
    """A docstring's lines with code as literals, and paragraphs that are indented, or are Python, as literal blocks."""
    found: list[str] = []
    in_block = False
    for has_text, group in itertools.groupby(lines, key=lambda line: bool(line.strip())):
        paragraph = list(group)
        if not has_text:
            found += paragraph
            continue
        indented = paragraph[0].startswith("    ")
        if indented or is_code(paragraph):
            found += [] if in_block else ["::", ""]
            found += paragraph if indented else [f"    {line}" for line in paragraph]
        else:
            found += literals("\n".join(paragraph)).split("\n")
        in_block = indented
    return found


def is_code(paragraph: Sequence[str]) -> bool:
    """Whether a paragraph is Python and not prose: statements, or calls."""
    try:
        body = ast.parse("\n".join(paragraph)).body
    except SyntaxError:
        return False
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in body)


def literals(text: str) -> str:
    """Code in single backticks in double ones; what would be markup in reStructuredText is the character that it is."""

    def written(match: re.Match[str]) -> str:
        if match["code"]:
            code = " ".join(match["code"].split())
            return f"``{code}``" + (f"\\ {match['after']}" if match["after"] else "")
        return match["kept"] or "\\" + match["plain"]

    return MARKUP.sub(written, text)


def field_comments(cls: type) -> dict[str, str]:
    """What is said of each field of a dataclass: the help of a flag, else the comment on its line."""
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):
        return {}
    lines: dict[int, str] = {}
    for token in tokenize.generate_tokens(StringIO(inspect.cleandoc("\n" + source)).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0]] = token.string.removeprefix("#").strip()
    (definition,) = ast.parse(inspect.cleandoc("\n" + source)).body
    assert isinstance(definition, ast.ClassDef)
    helps = {field.name: field.metadata.get("help", "") for field in dataclasses.fields(cls)}
    found: dict[str, str] = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            found[name] = helps.get(name) or lines.get(node.end_lineno or node.lineno, "")
    return found


def parameters(cls: type) -> list[str]:
    """The fields of a dataclass as a field list, with what is said of each."""
    return [f":param {name}: {literals(comment)}".rstrip() for name, comment in field_comments(cls).items()]
