"""The pages: their commands run and print what they show, their flags and links are there, the picture is the code's.

What runs the commands is `docs/builder`; `python -m docs.run --write PAGE` puts what they print into a page.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docs.builder import commands, diagram, docstrings, extension, outputs, page, services
from docs.builder.blocks import Block, blocks, page_marks
from docs.builder.shell import Shell, TooLateError
from tests import test_imports
from trainer.experiment import Experiment
from trainer.settings.run import Run


ROOT = Path(__file__).parent.parent
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)
READMES = [p for p in (ROOT / "README.md", ROOT / "README.ja.md") if p.exists()]
TUTORIAL = ROOT / "docs/tutorial.md"
NEEDS = ("a cloud", "a cluster", "a fresh environment", "the machine of the figures")
OTHERS = ("gcloud", "pip", "saved_model_cli", "curl", "git")
"""Commands whose flags are not ours."""

FLAGS_OF_OTHERS = {"--packages", "--direct-num-workers", "--direct-running-mode"}  # of gcloud and Beam, in prose


def name_of(path):
    return str(path.relative_to(ROOT))


def is_held(path):
    """Whether what a page shows has to be what is printed: not of a README that does not say what runs beside it."""
    return path.name != "README.md" or bool(page_marks(path.read_text()))


def held(path, *, slow):
    """Run a page, and say all that differs."""
    if lacking := page.lacking(path.read_text(), slow=slow):
        pytest.skip(f"not there: {', '.join(lacking)}; TRAINER_DATA names the folder of the data")
    outcome = page.run(path, slow=slow)
    assert outcome.commands
    assert not outcome.differences, "\n\n".join(map(str, outcome.differences))


def test_the_tutorial_prints_what_it_shows():
    held(TUTORIAL, slow=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", [p for p in page.with_commands() if is_held(p)], ids=name_of)
def test_every_command_of_a_page_prints_what_the_page_shows(path):
    held(path, slow=True)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ROOT / "docs", tmp_path]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "reference/commands.html").read_text()
    assert not [
        flag for flag in commands.flags() if flag.startswith("--") and f">{flag}<" not in reference and flag != "--help"
    ]
    assert "absolute: train until this global step" in (tmp_path / "reference/api/experiment.html").read_text()


@pytest.mark.parametrize("path", [*READMES, *PAGES], ids=name_of)
def test_links_lead_somewhere(path):
    text = without_code(path.read_text())
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert not lost


@pytest.mark.parametrize("path", [*READMES, *PAGES], ids=name_of)
def test_every_flag_that_a_page_names_is_one(path):
    named = set()
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if not any(re.match(rf"\W*({other})\b", line.strip()) for other in OTHERS):
            named |= set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+[a-z]", line.partition(" -- --")[0]))
    dashed = {flag.replace("_", "-") for flag in named}
    assert not dashed - commands.flags() - FLAGS_OF_OTHERS


@pytest.mark.parametrize("path", [*READMES, *PAGES], ids=name_of)
def test_commands_run_or_say_what_they_need(path):
    for block in blocks(path.read_text()):
        assert block.needs is None or block.needs in NEEDS, block.line
        if block.is_console:
            assert block.steps
        if block.is_commands:
            assert block.needs, f"line {block.line}: commands without output; expected <!-- needs ... -->"


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(path):
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# The picture and the reference


def test_the_picture_says_what_the_imports_say():
    imports = test_imports.arrows()
    real = diagram.between_parts(imports)
    kept = diagram.drawn(
        test_imports.LAYERS, {a for a in real if all(test_imports.layer(f"trainer.{p}") is not None for p in a)}
    )
    assert set(kept) <= real
    assert diagram.reachable(kept) == diagram.reachable(real)
    svg = diagram.svg(test_imports.LAYERS, imports)
    assert re.findall(r"<title>(\w+) imports (\w+)</title>", svg) == kept
    assert {p for arrow in real for p in arrow} == set(re.findall(r">(\w+)</text>", svg)) - {"strictjson"} | (
        {"strictjson"} & {p for a in real for p in a}
    )


def test_an_arrow_that_others_lead_along_is_left_out():
    layers = (("a",), ("b",), ("c",))
    assert set(diagram.drawn(layers, {("a", "b"), ("b", "c"), ("a", "c")})) == {("a", "b"), ("b", "c")}
    assert set(diagram.drawn((("a", "b"),), {("a", "b"), ("b", "a")})) == {("a", "b"), ("b", "a")}


def test_every_part_says_what_it_is():
    said = extension.sentences()
    assert set(said) == {diagram.part(name) for name in test_imports.modules() if name != "trainer"}
    assert not [name for name, sentence in said.items() if not sentence.endswith(".")]


def test_every_command_is_in_the_reference():
    there = {f"trainer.{name}" for name in test_imports.ENTRY_POINTS} & set(test_imports.modules())
    assert there <= set(commands.modules())
    assert {"trainer.storage.fsck", "trainer.cloud.emulator"} <= set(commands.modules())
    text = "\n".join(commands.markdown("trainer.task", commands.parser_of("trainer.task", "--experiment", "mnist")))
    assert "{option} --train-steps N" in text
    assert "--dropout" in text


# The table of names


def test_each_of_our_names_for_an_old_one_is_in_a_test():
    text = (ROOT / "docs/how-to/from-estimator.md").read_text()
    rows = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| ") and " | " in line]
    names = {name for row in rows[2:] for name in re.findall(r"`([^`]+)`", row)}
    assert len(names) > 40
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("*.py") if path != Path(__file__))
    words = {name: (name, name.removeprefix("--").replace("-", "_"), name.removeprefix("python -m ")) for name in names}
    unknown = {
        name
        for name, forms in words.items()
        if not any(re.search(rf"\b{re.escape(form)}(?!\w)", tests) for form in forms if form[0] != "-")
    }
    assert not unknown


# The docstrings


def test_code_in_docstrings_is_literal_and_the_rest_is_itself():
    assert docstrings.literals("of `x`s and (B, *shape) of a|b_") == r"of ``x``\ s and (B, \*shape) of a\|b\_"
    assert docstrings.literals("a *word*, `a\nb` and ``c``") == "a *word*, ``a b`` and ``c``"
    assert docstrings.literals("* one\n  more\n* two") == "* one\n  more\n* two"
    assert docstrings.converted(["One:", "", "    a *b", "", "then"]) == ["One:", "", "::", "", "    a *b", "", "then"]
    assert docstrings.converted(["    a", "", "    b"]) == ["::", "", "    a", "", "    b"]
    assert docstrings.converted(["a = f(b)", "g(a)"]) == ["::", "", "    a = f(b)", "    g(a)"]
    assert docstrings.converted(["Words.", "", "`x`"]) == ["Words.", "", "``x``"]


def test_fields_say_what_their_comments_and_flags_say():
    comments = docstrings.field_comments(Experiment)
    assert comments["train_steps"] == "absolute: train until this global step"
    assert docstrings.field_comments(Run)["job_dir"].startswith("where checkpoints, exports and logs go")


# The runner


def test_a_page_says_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "DATA", tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert page.lacking("<!-- page: data mnist -->\n$ curl x", slow=True) == [str(tmp_path / "mnist"), "curl", "setsid"]
    assert page.lacking("<!-- page: data mnist -->", slow=False) == ["setsid"]
    (tmp_path / "mnist").mkdir()
    assert page.lacking("<!-- page: data mnist -->", slow=True) == ["setsid"]


def test_blocks_are_found_with_their_comments_and_commands():
    text = "\n".join(
        [
            "<!-- page: bucket births -->",
            "<!-- slow -->",
            "",
            "```console",
            "$ echo 'a",
            "b' \\",
            "  c",
            "a",
            "",
            "$ true",
            "```",
            "<!-- file: a.py -->",
            "```python",
            "print(1)",
            "```",
            "text",
            "```{directive} x",
            "```",
        ]
    )
    console, file, directive = blocks(text)
    assert page_marks(text) == ("bucket births",)
    assert console.marks == ("slow",)
    assert [step.command for step in console.steps] == ["echo 'a\nb' \\\n  c", "true"]
    assert [step.output for step in console.steps] == [("a",), ()]
    assert (file.file, file.lines) == ("a.py", ("print(1)",))
    assert not directive.is_console
    with pytest.raises(ValueError, match="comes before any command"):
        _ = Block("console", ("late", "$ true"), 1).steps


@pytest.mark.parametrize(
    ("expected", "actual", "agree"),
    [
        ("exported jobs/a/export/best/1795404967", "exported jobs/a/export/best/1795714707", True),
        ("exported jobs/a/export/best/1795404967", "exported jobs/a/export/final/1795714707", False),
        ("step 100  loss 0.9618  (784,783 examples/s)", "step 100  loss 0.9702  (1,000 examples/s)", True),
        ("step 100  loss 0.9618", "step 101  loss 0.9618", False),
        ("step 100  loss 0.9618", "step 100  loss 1.9618", False),
        ("[7 2 1 0]", "[7 2 1 9]", False),
        ("16,000 train", "12,000 train", False),
        ("11:24:09  service  Job 3056716414166614071 is queued.", "23:59:59  service  Job 1 is queued.", False),
        (
            "11:24:09  service  Job 3056716414166614071 is queued.",
            "23:59:59  service  Job 3056716414166614072 is queued.",
            True,
        ),
        ("waiting for worker 0 (127.0.0.1:45007)", "waiting for worker 0 (127.0.0.1:45008)", True),
        ("http://127.0.0.1:8501/", "http://127.0.0.1:8502/", False),
        ('{"a": 1, ...}', '{"a": 1, "b": 2}', True),
        ('{"a": 1, ...}', '{"a": 2, "b": 2}', False),
        ("1.5   9 s", "1.5 10 s", True),
        ("ready", "not ready", False),
    ],
)
def test_lines_agree_but_for_what_differs_each_time(expected, actual, agree):
    assert outputs.same(expected, actual) == agree


def test_three_dots_stand_for_any_lines_and_stay():
    printed = ["a", "b 0.51", "c", "d"]
    assert outputs.difference(["a", "...", "d"], printed) is None
    assert outputs.difference(["...", "b 0.5", "c", "..."], printed) is None
    assert outputs.difference(["a", "...", "c"], printed) is not None
    assert outputs.difference(["a", "b 0.5", "d"], printed) is not None
    assert outputs.refreshed(["...", "b 0.5", "..."], printed) == ["...", "b 0.51", "..."]
    assert outputs.refreshed(["other"], printed) == printed


def test_lines_of_several_processes_may_come_in_any_order():
    printed = ["worker  b", "chief  a", "chief  a"]
    align = outputs.aligned_in_any_order
    assert outputs.difference(["chief  a", "chief  a", "worker  b"], printed, align) is None
    assert outputs.difference(["chief  a", "..."], printed, align) is None
    assert outputs.difference(["chief  a", "worker  b"], printed, align) is not None
    assert outputs.difference(["worker  b", "worker  b", "..."], printed, align) is not None
    assert outputs.refreshed(["chief  a", "..."], printed, align) == ["chief  a", "..."]


def test_numbers_may_vary_while_the_words_do_not():
    align = outputs.aligned_by_words
    assert (
        outputs.difference(["resumed at step 4344: 656 to train"], ["resumed at step 1: 4,999 to train"], align) is None
    )
    assert outputs.difference(["resumed at step 4344"], ["restored at step 4344"], align) is not None


def test_a_progress_bar_is_no_part_of_the_output():
    assert outputs.shown("a\tb\r\nstep 10/10 ━━━━━━ 5 examples/s 0:00:00\r\n\r\ndone\r\n") == ["a       b", "done"]


def test_commands_run_at_a_terminal_of_their_own(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as where tests run in the background
    try:
        run_at_a_terminal(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def run_at_a_terminal(tmp_path):
    with Shell(str(tmp_path), {"PATH": "/usr/bin:/bin"}) as shell:
        assert shell.run("test -t 1 && echo to a terminal; exit 3", deadline_s=20).lines == ["to a terminal"]
        interrupted = shell.run(
            "trap 'echo asked; exit 130' INT; echo begun; while :; do sleep 0.05; done",
            deadline_s=20,
            interrupt_at=lambda lines: "begun" in lines,
        )
        assert (interrupted.lines, interrupted.code) == (["begun", "^Casked"], 130)
        began = shell.start("echo $$; sleep 60", until=bool, deadline_s=20)
        with pytest.raises(TooLateError, match="sleep 61: not done in 0 s"):
            shell.run("sleep 61", deadline_s=0.2)
    assert not Path(f"/proc/{began.lines[0]}").exists()


@pytest.mark.parametrize(
    ("shown", "how"),
    [
        (["$ echo 1.01", "1.0"], None),
        (["$ echo two", "one"], "-one\n+two"),
        (["$ echo one; false", "one"], "exit code 1"),
        (["$ echo a: error: b; false", "a: error: b"], None),
        (["$ echo a: error: b", "a: error: b"], "it ended well"),
    ],
)
def test_a_page_that_shows_something_else_does_not_hold(tmp_path, shown, how):
    path = tmp_path / "page.md"
    path.write_text("\n".join(["# Page", "```console", *shown, "```", ""]))
    outcome = page.run(path, slow=False)
    assert outcome.commands == 1
    if how is None:
        assert not outcome.differences
    else:
        assert how in str(outcome.differences[0])


def test_comments_say_what_runs_beside_a_page_and_how_its_output_is_compared(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(EVERY_COMMENT)
    if lacking := page.lacking(EVERY_COMMENT, slow=True):
        pytest.skip(f"not there: {', '.join(lacking)}")
    outcome = page.run(path, slow=False)
    assert not outcome.differences, "\n\n".join(map(str, outcome.differences))
    assert outcome.rewritten == EVERY_COMMENT.replace("14 and 15", "1 and 2")
    assert outcome.commands == 7
    slow = page.run(path, slow=True)
    assert [difference.command for difference in slow.differences] == ["echo slow"]


EVERY_COMMENT = """# Page

<!-- page: bucket births -->

<!-- file: server.py -->
```python
import http.server

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from 127.0.0.1:%d" % self.server.server_port)
    def log_message(self, *words):
        pass

server = http.server.HTTPServer(("127.0.0.1", int("127.0.0.1:8501".split(":")[1])), Hello)
print("listening on http://127.0.0.1:%d/" % server.server_port, flush=True)
server.serve_forever()
```

<!-- in the background -->
```console
$ echo first
first
$ python server.py
listening on http://127.0.0.1:8501/
```

```console
$ curl -s http://127.0.0.1:8501/
hello from 127.0.0.1:8501
$ curl -s $STORAGE_EMULATOR_HOST/storage/v1/b/births | grep -o '"name": *"births"' | tr -d ' '
"name":"births"
```

<!-- numbers vary -->
```console
$ echo 1 and 2
14 and 15
```

<!-- in any order -->
```console
$ printf 'b\\na\\n'
a
b
```

<!-- slow -->
```console
$ echo slow
fast
```

<!-- needs a cloud -->
```console
$ exit 1
```

```console
$ echo begun; trap 'exit 130' INT; while :; do sleep 0.05; done
begun
^C
```
"""


def test_ports_are_those_of_the_run_for_commands_and_those_of_the_page_for_readers():
    beside = services.Beside(ports={"8501": "40001", "8600": "40002"})
    assert beside.as_here("curl http://127.0.0.1:8501/v1") == "curl http://127.0.0.1:40001/v1"
    assert (
        beside.as_here("python -m trainer.serve --model-dir d") == "python -m trainer.serve --model-dir d --port 40001"
    )
    assert beside.as_here("python -m trainer.cloud.emulator --port 8600").endswith("--port 40002")
    assert beside.as_on_the_page("listening on http://127.0.0.1:40002/") == "listening on http://127.0.0.1:8600/"
    with services.beside((), "unused") as first, services.beside((), "unused") as second:
        assert not {*first.ports.values()} & {*second.ports.values(), "8501", "8600"}


def test_commands_do_not_see_what_a_platform_has_set(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    monkeypatch.setenv("AIP_MODEL_DIR", "gs://b/model")
    environ = page.environment(os.environ, "/first")
    assert not {"TF_CONFIG", "AIP_MODEL_DIR"} & set(environ)
    assert environ["PATH"].split(os.pathsep)[:2] == ["/first", str(Path(sys.executable).parent)]


def test_a_file_of_a_page_is_written_and_its_output_refreshed(tmp_path):
    path = tmp_path / "page.md"
    file = ["<!-- file: a.py -->", "```python", "print(2)", "print(3)", "```"]
    path.write_text("\n".join([*file, "```console", "$ python a.py", "1", "$ true", "$ echo 4", "5", "6", "```", ""]))
    outcome = page.run(path, slow=False)
    assert len(outcome.differences) == 2
    shown = ["```console", "$ python a.py", "2", "3", "$ true", "$ echo 4", "4", "```"]
    assert outcome.rewritten.splitlines() == [*file, *shown]
