"""config.yaml as a job, and where each part of it was written."""

import json

import pytest

from trainer.cloud import config as configs
from trainer.cloud.config import Config
from trainer.cloud.schema import Problem
from trainer.errors import MissingError, UsageError


TEXT = """\
# a job
trainingInput:
  scaleTier: CUSTOM
  masterType: n1-standard-8
  region: us-central1
  runtimeVersion: "2.17"
  pythonVersion: "3.10"
  pythonModule: trainer.task
  args: [--experiment, babyweight]
  hyperparameters:
    goal: MINIMIZE
    hyperparameterMetricTag: rmse
    params:
      - parameterName: learning-rate
        type: DOUBLE
        minValue: 0.0001
        maxValue: 0.1
labels:
  team: births
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A function that writes config.yaml in this folder."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "config.yaml").write_text(text)
        return "config.yaml"

    return write


def test_a_job_is_read_with_the_line_of_each_part(file):
    config = configs.read(file(TEXT))
    assert config.training["args"] == ["--experiment", "babyweight"]
    assert config.training["hyperparameters"]["params"][0]["minValue"] == 1e-4
    assert config.job["labels"] == {"team": "births"}
    assert config.origins[("trainingInput", "region")] == "config.yaml:5"
    assert config.origins[("trainingInput", "hyperparameters", "params", 0, "type")] == "config.yaml:15"
    configs.check(config)


def test_json_is_read_too(file):
    job = {"trainingInput": {"scaleTier": "BASIC", "args": ["a"]}}
    assert configs.read(file(json.dumps(job, indent=1))).job == job


def test_the_config_of_this_package_is_a_job():
    config = configs.read("config.yaml")
    configs.check(config)
    assert config.training["pythonModule"] == "trainer.task"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("CUSTOM", "CUSTOMS", 'config.yaml:3: trainingInput.scaleTier: "CUSTOMS": expected one of BASIC, '),
        (
            "masterType",
            "mastertype",
            "config.yaml:4: trainingInput.mastertype: unknown field; did you mean masterType?",
        ),
        ('"2.17"', "2.17", "config.yaml:6: trainingInput.runtimeVersion: 2.17: expected text, in quotes"),
        ("DOUBLE", "FLOAT", 'config.yaml:15: trainingInput.hyperparameters.params[0].type: "FLOAT": expected one of '),
        ("babyweight]", "3]", "config.yaml:9: trainingInput.args[1]: 3: expected text, in quotes"),
        ("labels:", "label:", "config.yaml:18: label: unknown field; did you mean labels?"),
        ("  region", "  scaleTier", "config.yaml:5: trainingInput.scaleTier: is there twice; expected it once"),
        ("team: births", "team: [births", "config.yaml:20: is not YAML: "),
        ("  team: births", "\tteam: births", "config.yaml:19: is not YAML: "),
        ("trainingInput:", "training:", "config.yaml: expected the key trainingInput, with an object"),
        (TEXT, "", "config.yaml: expected the key trainingInput, with an object"),
        (TEXT, "- a", "config.yaml: expected the key trainingInput, with an object"),
        (TEXT, "trainingInput: &a [*a]", "config.yaml: "),
        (TEXT, "trainingInput: &a {args: *a}", "config.yaml: is nested too deeply, or within itself"),
        ("us-central1", "2024-01-31", None),
        ("births\n", "births\n? [a]\n: b\n", "unknown field"),
    ],
)
def test_a_mistake_is_said_with_its_line(old, new, said, file):
    path = file(TEXT.replace(old, new, 1))
    if said is None:
        assert configs.read(path).training["region"] == "2024-01-31"
        return
    with pytest.raises(UsageError) as raised:
        configs.read(path)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "value"), [("3e-4", 3e-4), ("1.5E+3", 1500.0), ("-2e1", -20.0), ("0.0003", 3e-4)])
def test_a_number_may_have_an_exponent(text, value, file):
    config = configs.read(file(TEXT.replace("0.0001", text)))
    assert config.training["hyperparameters"]["params"][0]["minValue"] == value
    with pytest.raises(UsageError, match="expected a number"):
        configs.read(file(TEXT.replace("0.0001", f'"{text}"')))


def test_bytes_that_are_no_text_are_said(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"trainingInput:\n  \xff\xfe: 1\n")
    with pytest.raises(UsageError, match=r"config\.yaml.*: is not YAML: "):
        configs.read(str(tmp_path / "config.yaml"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingError, match=r"nothing\.yaml: no such file or directory"):
        configs.read(str(tmp_path / "nothing.yaml"))


def test_flags_win_and_their_mistakes_name_them(file):
    config = configs.read(file(TEXT))
    changes = {
        ("trainingInput", "scaleTier"): ("--scale-tier", "BASIC"),
        ("trainingInput", "region"): ("--region", None),
        ("trainingInput", "masterConfig", "imageUri"): ("--master-image-uri", "gcr.io/p/i"),
        ("labels", "owner"): ("--labels", "me"),
    }
    changed = configs.overridden(config, changes)
    assert changed.training["scaleTier"] == "BASIC"
    assert changed.training["region"] == "us-central1"
    assert changed.training["masterConfig"] == {"imageUri": "gcr.io/p/i"}
    assert changed.job["labels"] == {"team": "births", "owner": "me"}
    assert config.training["scaleTier"] == "CUSTOM", "the first one stays as it is"
    with pytest.raises(
        UsageError, match=r'^config.yaml:4: trainingInput.masterType: "n1-standard-8": is for scaleTier'
    ):
        configs.check(changed)
    wrong = configs.overridden(config, {("trainingInput", "workerCount"): ("--worker-count", -1)})
    with pytest.raises(UsageError, match=r"^--worker-count: trainingInput.workerCount: -1: expected 0 or more$"):
        configs.check(wrong)


def test_a_job_may_be_of_flags_alone():
    config = configs.overridden(Config(), {("trainingInput", "scaleTier"): ("--scale-tier", "BASIC")})
    with pytest.raises(UsageError, match=r"^trainingInput.runtimeVersion: not given; expected"):
        configs.check(config)


def test_a_problem_at_a_place_that_was_never_written_has_the_line_above_it(file):
    error = configs.read(file(TEXT)).error(Problem(("trainingInput", "workerType"), "not given"))
    assert str(error) == "config.yaml:2: trainingInput.workerType: not given"
