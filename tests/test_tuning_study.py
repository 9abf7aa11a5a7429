"""A study keeps what has become of its trials, and is resumed by the search that began it only."""

import json

import pytest

from trainer.errors import RunError, UsageError
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import Trial
from trainer.tuning.study import Study


BLOCK = {
    "goal": "MINIMIZE",
    "hyperparameterMetricTag": "rmse",
    "maxTrials": 12,
    "maxParallelTrials": 2,
    "params": [{"parameterName": "x", "type": "DOUBLE", "minValue": 0.1, "maxValue": 1.0}],
}
FLAGS = ["--experiment", "babyweight", "--train-steps", "600"]
TRIALS = (
    Trial("1", {"x": 1 / 3, "n": 5, "w": "64,32"}, "SUCCEEDED", (Measurement(2, 0.1 + 0.2, 1795689840.5),)),
    Trial("2", {"x": 0.5, "n": 6, "w": "é"}),
)


def opened(folder, block=BLOCK, flags=FLAGS, seed=1):
    study = Study(str(folder), block, flags=flags, seed=seed)
    study.open()
    return study


@pytest.fixture
def written(tmp_path):
    """A folder with a study of two trials."""
    opened(tmp_path).put(*TRIALS)
    return tmp_path


def test_what_is_put_is_there_again(written):
    assert opened(written).trials == TRIALS


def test_a_trial_that_is_put_again_takes_its_own_place(written):
    study = opened(written)
    ended = Trial("1", TRIALS[0].values, "STOPPED", TRIALS[0].measurements)
    study.put(ended, Trial("3", {"x": 0.7}))
    assert [trial.id for trial in study.trials] == ["1", "2", "3"]
    assert study.trials[0] == ended
    assert opened(written).trials == study.trials


def test_a_bucket_holds_it_too(gcs):
    opened(f"{gcs}/tuned").put(*TRIALS)
    assert opened(f"{gcs}/tuned").trials == TRIALS


def test_nothing_is_written_when_another_has_it(tmp_path):
    def check():
        raise RunError("was taken over")

    study = Study(str(tmp_path), BLOCK, check=check)
    with pytest.raises(RunError, match="was taken over"):
        study.put(*TRIALS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["maxTrials", "maxParallelTrials", "maxFailedTrials"])
def test_how_long_a_search_is_may_change(written, name):
    assert opened(written, {**BLOCK, name: 40}).trials == TRIALS


@pytest.mark.parametrize(
    "flags",
    [
        ["--train-steps=600", "--experiment=babyweight"],
        [*FLAGS, "--verbosity", "DEBUG", "--debug"],
        ["--job-dir", "elsewhere", *FLAGS],
        [*FLAGS, "--output-dir=elsewhere"],
    ],
)
def test_flags_in_other_words_are_the_same(written, flags):
    assert opened(written, flags=flags).trials == TRIALS


PARAM = BLOCK["params"][0]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"block": {**BLOCK, "params": [{**PARAM, "maxValue": 2.0}]}},
            "hyperparameters.params[0].maxValue was 1.0, is 2.0 now",
        ),
        (
            {"block": {**BLOCK, "params": [{**PARAM, "scaleType": "UNIT_LOG_SCALE"}]}},
            'hyperparameters.params[0].scaleType was not given, is "UNIT_LOG_SCALE" now',
        ),
        (
            {"block": {**BLOCK, "algorithm": "RANDOM_SEARCH"}},
            'hyperparameters.algorithm was not given, is "RANDOM_SEARCH" now',
        ),
        ({"flags": [*FLAGS[:-1], "300"]}, '--train-steps was "600", is "300" now'),
        ({"flags": FLAGS[:2]}, '--train-steps was "600", is not given now'),
        ({"flags": [*FLAGS, "--deterministic"]}, "--deterministic was not given, is given now"),
        ({"flags": [*FLAGS, "--hidden-units", "8", "4"]}, '--hidden-units was not given, is "8 4" now'),
        ({"seed": 2}, "--seed of the search was 1, is 2 now"),
    ],
)
def test_another_search_is_refused_and_what_differs_is_named(written, changed, text):
    before = (written / "study.json").read_bytes()
    with pytest.raises(UsageError) as refused:
        opened(written, **changed)
    expected = "expected as it was, or another --job-dir for another search"
    assert str(refused.value) == f"{written}/study.json: {text}; {expected}"
    assert (written / "study.json").read_bytes() == before


def test_a_block_with_more_parameters_is_refused(written):
    with pytest.raises(UsageError, match=r"hyperparameters.params was .*, is .* now"):
        opened(written, {**BLOCK, "params": [PARAM, PARAM]})


def damaged(fields, **changes):
    return json.dumps({**fields, **changes})


@pytest.mark.parametrize(
    "damage",
    [
        lambda fields: "",
        lambda fields: "[]",
        lambda fields: "\x00" * 10,
        lambda fields: json.dumps(fields)[:-10],
        lambda fields: damaged(fields, trials=3),
        lambda fields: damaged(fields, trials=[{}]),
        lambda fields: damaged(fields, trials=[{**fields["trials"][0], "state": "WON"}]),
        lambda fields: damaged(fields, trials=[{**fields["trials"][0], "measurements": [[1]]}]),
        lambda fields: damaged(fields, trials=[{**fields["trials"][0], "values": 3}]),
        lambda fields: json.dumps({"trials": fields["trials"]}),
        lambda fields: "[" * 100_000,
    ],
)
def test_a_damaged_study_is_one_line_and_stays(written, damage):
    path = written / "study.json"
    path.write_text(damage(json.loads(path.read_text())))
    content = path.read_bytes()
    with pytest.raises(RunError) as refused:
        opened(written)
    assert str(refused.value) == f"{path}: damaged; expected what a search wrote, or no file"
    assert path.read_bytes() == content
