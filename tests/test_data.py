"""`python -m trainer.data` as a user calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.samples import babyweight


ROOT = Path(__file__).parents[1]


def data(*words, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "trainer.data", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_babyweight_writes_shards_and_says_where_and_how_many(tmp_path):
    run = data("babyweight", "--output", "out", "--rows", "100", "--seed", "3", folder=tmp_path)

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"severity": "INFO", "message": "wrote out: 80 train, 20 eval"}
    assert len(os.listdir(tmp_path / "out")) == 6
    babyweight.write(str(tmp_path / "same"), rows=100, seed=3)
    for name in os.listdir(tmp_path / "same"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "same" / name).read_bytes()


def test_flags_may_be_written_with_underscores(tmp_path):
    run = data("babyweight", "--rows", "50", "--train_shards=2", "--eval_shards", "1", folder=tmp_path)

    assert run.returncode == 0, run.stderr
    assert sorted(os.listdir(tmp_path / "data" / "babyweight")) == [
        "eval.csv-00000-of-00001",
        "train.csv-00000-of-00002",
        "train.csv-00001-of-00002",
    ]


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["babyweight", "--rows", "0"], 2, "--rows: 0: expected 10 or more, so that each file holds a birth"),
        (["babyweight", "--rows", "-3"], 2, "--rows: -3: expected 10 or more, so that each file holds a birth"),
        (["babyweight", "--output", "file/out"], 1, "file/out: not a directory"),
        (["mnist", "--output", "file", "--from", "."], 2, ".: has no train-images-idx3-ubyte.gz; expected the four "),
        (["mnist", "--output", "file/out"], 1, "file/out: not a directory"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(tmp_path, words, code, line):
    (tmp_path / "file").write_text("")

    run = data(*words, folder=tmp_path)

    assert run.returncode == code
    assert run.stderr.startswith(f"trainer.data: error: {line}")
    assert run.stderr.count("\n") == 1
    assert run.stdout == ""
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("words", [[], ["imagenet"], ["babyweight", "--rows", "many"], ["mnist", "--rows", "5"]])
def test_an_unknown_word_is_bad_usage(tmp_path, words):
    assert data(*words, folder=tmp_path).returncode == 2


@pytest.mark.parametrize("words", [["--help"], ["babyweight", "--help"], ["mnist", "--help"]])
def test_help_answers(tmp_path, words):
    run = data(*words, folder=tmp_path)

    assert run.returncode == 0
    assert "usage: python -m trainer.data" in run.stdout


def test_help_gives_the_default_number_of_births(tmp_path):
    assert f"(default {babyweight.ROWS})" in data("babyweight", "--help", folder=tmp_path).stdout


def test_the_command_itself_imports_nothing_heavy():
    heavy = "{'numpy', 'pandas', 'pyarrow', 'tensorflow', 'keras', 'mlxtend'}"
    code = f"import sys, trainer.data; trainer.data.parser(); print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert run.stdout == "set()\n", run.stderr
