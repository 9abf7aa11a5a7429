"""Imports go down only, and what must answer at once does not import TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
ENTRY_POINTS = ("task", "predict", "data", "launch", "serve", "submit", "tune", "preprocess", "report")
LAYERS = (
    ENTRY_POINTS,
    ("reporting",),
    ("experiments", "training", "samples", "preprocessing"),
    ("modeling", "exporting", "prediction"),
    ("experiment", "quality"),
    ("inputs", "serving", "cloud", "tuning", "processes", "roles", "pipelines"),
    ("storage", "settings"),
    ("errors", "strictjson"),
)
"""The parts of the package from the top; the modules of one part belong to its layer."""

LIGHT = (
    *(f"trainer.{name}" for name in ENTRY_POINTS),
    *(f"trainer.settings.{name}" for name in ("run", "flags", "command", "cluster", "experiments", "job", "logs")),
    *(f"trainer.storage.{name}" for name in ("paths", "local", "gcs", "client", "ranges", "entry", "commit")),
    *(f"trainer.storage.{name}" for name in ("uploads", "lease")),
    *(f"trainer.serving.{name}" for name in ("locate", "options", "protocol", "values")),
    *(f"trainer.prediction.{name}" for name in ("recipe", "sharded", "parts", "progress", "requests")),
    "trainer.training.journal",
    "trainer.training.ending",
    "trainer.processes",
    "trainer.pipelines",
    "trainer.roles",
    *(f"trainer.cloud.{name}" for name in ("config", "jobs", "mlengine", "vertex", "watching", "emulator.__main__")),
    *(f"trainer.tuning.{name}" for name in ("metric_file", "objective", "space", "search", "study", "runner")),
    *(f"trainer.tuning.{name}" for name in ("process", "output")),
    *(f"trainer.experiments.{name}" for name in ("babyweight", "mnist")),
    *(f"trainer.inputs.{name}" for name in ("spec", "source", "batches", "serving")),
    *(f"trainer.quality.{name}" for name in ("options", "statistics", "check", "early", "output")),
    *(f"trainer.reporting.{name}" for name in ("job", "exports", "predictions", "requests", "writing", "evaluating")),
    "trainer.inputs.raw",
    "trainer.experiment",
    *(f"trainer.exporting.{name}" for name in ("strategies", "checker")),
)


def modules():
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / "trainer").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source, names):
    """The modules of the package that a module imports, wherever in it, but not for type checking alone."""
    nodes = list(ast.walk(ast.parse(source)))
    checks = [n for n in nodes if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    for_types = {inner for check in checks for statement in check.body for inner in ast.walk(statement)}
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import) and node not in for_types:
            found |= {alias.name for alias in node.names} & names
        if isinstance(node, ast.ImportFrom) and node not in for_types:
            assert node.level == 0, f"line {node.lineno}: expected an absolute import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & names or {node.module} & names
    return found


def layer(module):
    """How far down a module is; None for the package itself, which holds the version and imports nothing."""
    _, _, below = module.partition(".")
    part = below.split(".")[0]
    return next((depth for depth, parts in enumerate(LAYERS) if part in parts), None)


def arrows():
    """What each module imports."""
    found = modules()
    return {name: imports(path.read_text(), set(found)) for name, path in found.items()}


def cycle(graph):
    """Modules that import one another in a circle, or none."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(graph[name]):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for name in sorted(graph) if (found := visit(name))), [])


def test_every_module_has_a_layer():
    lost = [name for name in modules() if name != "trainer" and layer(name) is None]
    assert not lost, f"say in LAYERS where these belong: {lost}"


def test_imports_only_go_down():
    up = [
        f"{name} imports {other}"
        for name, others in arrows().items()
        for other in sorted(others)
        if other != "trainer" and layer(other) < layer(name)
    ]
    assert not up


def test_entry_points_do_not_import_one_another():
    between = [
        f"{name} imports {other}"
        for name, others in arrows().items()
        for other in others
        if layer(name) == 0 and layer(other) == 0
    ]
    assert not between


def test_no_modules_import_one_another_in_a_circle():
    assert cycle(arrows()) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import trainer.a", {"trainer.a"}),
        ("from trainer import a, b", {"trainer.a", "trainer.b"}),
        ("from trainer.a import thing", {"trainer.a"}),
        ("def f():\n    from trainer.a import thing", {"trainer.a"}),
        ("if TYPE_CHECKING:\n    import trainer.a\nelse:\n    import trainer.b", {"trainer.b"}),
        ("import typing\nif typing.TYPE_CHECKING:\n    import trainer.a", set()),
        ("import numpy", set()),
    ],
)
def test_imports_are_found_wherever_they_are(source, expected):
    assert imports(source, {"trainer", "trainer.a", "trainer.b"}) == expected


def test_a_circle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_what_must_answer_at_once_does_not_import_tensorflow():
    code = "\n".join(
        [
            "import importlib, sys",
            f"for name in {LIGHT!r}:",
            "    importlib.import_module(name)",
            "    heavy = {'tensorflow', 'keras'} & sys.modules.keys()",
            "    if heavy: sys.exit(f'{name} imports {min(heavy)}')",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
