"""What Sphinx gets from us: the reference of the commands, the diagram, the parts, and our docstrings.

extensions = ["docs.builder.extension"]

```{commands}          every command, from its own parser
```
```{parts-diagram}     what imports what, from the code
```
```{parts-table}       what each part is, from its docstring
```
"""

import ast
import dataclasses
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from docs.builder import commands, diagram, docstrings
from tests import test_imports


class Commands(Directive):
    """A section for each command, with its flags; of an experiment only its own."""

    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        for name, parser in commands.parsers():
            _, _, experiment = name.partition(" --experiment ")
            title = f"The flags of {experiment}" if experiment else f"python -m {name}"
            section = nodes.section(ids=[nodes.make_id(name)], names=[nodes.fully_normalize_name(title)])
            section += nodes.title(title, "", nodes.Text(title) if experiment else nodes.literal("", title))
            self.state.document.note_explicit_target(section)
            lines = commands.markdown(name, parser, only=experiment or None)
            self.state.nested_parse(StringList(lines, name), self.content_offset, section)
            found.append(section)
        return found


class PartsDiagram(Directive):
    """The picture of the layers."""

    def run(self) -> list[nodes.Node]:
        svg = diagram.svg(test_imports.LAYERS, test_imports.arrows())
        return [nodes.raw("", f'<div class="parts-scroll">{svg}</div>', format="html")]


class PartsTable(Directive):
    """The parts from the top, each with the first sentence of its docstring."""

    def run(self) -> list[nodes.Node]:
        lines = ["| | part | |", "| --- | --- | --- |"]
        said = sentences()
        for depth, names in enumerate(test_imports.LAYERS):
            for name in names:
                if name in said:
                    lines.append(f"| {depth} | `{name}` | {said[name].replace('|', chr(92) + '|')} |")
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, "parts"), self.content_offset, holder)
        return list(holder.children)


def sentences() -> dict[str, str]:
    """The first line of the docstring of each part."""
    found = {}
    for name, path in test_imports.modules().items():
        if name.count(".") == 1:
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[diagram.part(name)] = doc.splitlines()[0] if doc else ""
    return found


def process_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring into what autodoc reads, in place; a dataclass gets its fields."""
    lines[:] = docstrings.converted(lines)
    if what == "class" and dataclasses.is_dataclass(obj):
        lines += ["", *docstrings.parameters(obj), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("commands", Commands)
    app.add_directive("parts-diagram", PartsDiagram)
    app.add_directive("parts-table", PartsTable)
    app.connect("autodoc-process-docstring", process_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
