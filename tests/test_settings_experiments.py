"""The module that `--experiment` names."""

import pytest

from trainer.errors import UsageError
from trainer.settings import experiments


@pytest.mark.parametrize(
    ("name", "module"),
    [
        *((name, f"trainer.experiments.{name}") for name in experiments.SHIPPED),
        ("trainer.experiments.mnist", "trainer.experiments.mnist"),
        ("tests.iris_experiment", "tests.iris_experiment"),
    ],
)
def test_a_shipped_experiment_has_a_short_name_and_any_other_an_import_path(name, module):
    assert experiments.load(name).__name__ == module


@pytest.mark.parametrize(
    "name", ["", ".", ".iris", "a..b", "jobs/iris.py", "my-iris", "nowhere", "nowhere.iris", "tests.nowhere"]
)
def test_a_name_that_is_no_module_is_said_with_those_that_there_are(name):
    with pytest.raises(UsageError) as error:
        experiments.load(name)
    assert str(error.value).startswith(f"--experiment: {name!r}")
    assert str(error.value).endswith("expected babyweight, mnist or the import path of a module")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_library.part", "needs the module no_such_library, which is not installed"),
        ("import te", "needs the module te, which is not installed"),
        ("x = 1", "expected a module with a dataclass Config and a function build"),
        ("class Config: pass\ndef build(config, run): pass", "expected a module with a dataclass Config"),
    ],
)
def test_a_module_that_is_no_experiment_is_said(source, said, tmp_path, monkeypatch):
    (tmp_path / "te_experiment.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=f"--experiment: 'te_experiment'.*{said}"):
        experiments.load("te_experiment")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--experiment mnist", "mnist"),
        ("--job-dir x --experiment=a.b --train-files x y --seed -1", "a.b"),
        ("--experiment mnist --experiment babyweight", "babyweight"),
        ("--job-dir x", None),
        ("", None),
    ],
)
def test_the_name_is_found_among_flags_that_only_the_experiment_knows(words, name):
    assert experiments.name_in(words.split()) == name
