"""Our docstrings, which are plain text with code in single backticks, as reStructuredText for autodoc.

lines = docstrings.converted(["The key of `schema`.", "", "    spec = InputSpec(...)"])
comments = docstrings.field_comments(Experiment)     # {"train_steps": "absolute: train until this global step"}
"""

import ast
import dataclasses
import inspect
import re
import tokenize
from collections.abc import Sequence
from io import StringIO


CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w?)")


def converted(lines: Sequence[str]) -> list[str]:
    """A docstring's lines with code as literals, and blocks that are indented after a blank line as literal blocks."""
    found: list[str] = []
    in_block = False
    for i, line in enumerate(lines):
        indented = line.startswith(("    ", "\t"))
        if in_block and line.strip() and not indented:
            in_block = False
        if indented and not in_block and (i == 0 or not lines[i - 1].strip()):
            found += ["::", ""]
            in_block = True
        found.append(line if in_block else literals(line))
    return found


def literals(text: str) -> str:
    """Code in single backticks in double ones; what would be markup in reStructuredText is the character that it is."""
    parts = CODE.split(text)
    plain = [re.sub(r"(?<!^)\*(?=\S)|(?<=\w)_(?=\W|$)|\|(?=\S)", lambda m: "\\" + m[0], part) for part in parts[::3]]
    code = [
        f"``{word}``" + (f"\\ {after}" if after else "") for word, after in zip(parts[1::3], parts[2::3], strict=True)
    ]
    return "".join(word for pair in zip(plain, [*code, ""], strict=True) for word in pair)


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
