"""The simulated births against the statistics of 2006 and, where they are at hand, the real files of 2001 to 2008."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

from trainer.errors import RunError, UsageError
from trainer.samples import babyweight, natality


REAL = Path(os.environ.get("TRAINER_DATA", Path(__file__).parents[2] / "shared" / "data")) / "natality"
needs_real_births = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real births in {REAL}; set TRAINER_DATA")

# Share, mean and standard deviation of weight in pounds among single births, by week.
WEEKS_OF_2006 = {
    28: (0.0014, 2.72, 1.13),
    30: (0.0020, 3.45, 1.20),
    32: (0.0039, 4.14, 0.98),
    34: (0.0100, 5.17, 1.02),
    35: (0.0175, 5.72, 1.02),
    36: (0.0383, 6.23, 1.01),
    37: (0.0866, 6.72, 1.01),
    38: (0.2109, 7.19, 0.97),
    39: (0.3043, 7.50, 0.94),
    40: (0.2375, 7.72, 0.95),
    41: (0.0666, 7.98, 0.97),
    42: (0.0054, 8.10, 1.04),
}
RACES = "White, Black, American Indian, Chinese, Japanese, Hawaiian, Filipino, Unknown, Asian Indian, Korean, Samaon"


@pytest.fixture(scope="module")
def births():
    return natality.simulate(600_000, seed=11)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("babyweight")
    babyweight.write(str(directory))
    return directory


def test_sex_and_plurality_come_in_their_real_shares(births):
    assert (births["is_male"] == "True").mean() == pytest.approx(0.5117, abs=0.003)
    for children, share in ((1, 0.966), (2, 0.0324), (3, 0.0015)):
        assert (births["plurality"] == children).mean() == pytest.approx(share, rel=0.01, abs=0.001)


def test_weight_has_its_real_mean_and_spread(births):
    weight = births["weight_pounds"]

    assert weight.mean() == pytest.approx(7.184, abs=0.02)
    assert weight.std() == pytest.approx(1.318, rel=0.02)
    assert weight.min() >= 0.5
    assert weight.max() <= 18.01


@pytest.mark.parametrize("week", WEEKS_OF_2006)
def test_single_births_of_a_week_are_as_many_and_as_heavy_as_in_2006(births, week):
    share, mean, deviation = WEEKS_OF_2006[week]
    single = births["plurality"] == 1
    weight = births["weight_pounds"][single & (births["gestation_weeks"] == week)]

    sampling = 3 / np.sqrt(len(weight))
    assert len(weight) / single.sum() == pytest.approx(share, rel=0.05 + sampling)  # weeks 43 to 47 take 3 %
    assert weight.mean() == pytest.approx(mean, abs=0.05 + sampling * deviation)
    assert weight.std() == pytest.approx(deviation, rel=0.05 + sampling)  # by design 3 % more


def test_every_week_from_17_to_47_occurs(births):
    assert set(births["gestation_weeks"]) == set(map(float, range(17, 48)))


def test_boys_weigh_more_at_a_given_week(births):
    full_term = births["gestation_weeks"] == 39
    boys, girls = (births["weight_pounds"][full_term & (births["is_male"] == word)] for word in ("True", "False"))

    assert boys.mean() - girls.mean() == pytest.approx(0.28, abs=0.03)


def test_what_week_and_sex_leave_unexplained_has_the_real_spread_and_shape(births):
    residual = births["weight_pounds"].copy()
    group = births["gestation_weeks"].astype(int) * 2 + (births["is_male"] == "True")
    for value in np.unique(group):
        residual[group == value] -= residual[group == value].mean()
    standard = residual / residual.std()

    assert residual.std() == pytest.approx(0.953, rel=0.06)
    assert (standard**3).mean() == pytest.approx(0.3, abs=0.06)
    assert (standard**4).mean() - 3 == pytest.approx(1.2, abs=0.25)


def test_twins_come_earlier_and_lighter_from_older_mothers(births):
    weeks, weight, age = births["gestation_weeks"], births["weight_pounds"], births["mother_age"]
    twin, single = births["plurality"] == 2, births["plurality"] == 1

    assert weeks[twin].mean() == pytest.approx(35.0, abs=0.1)
    assert weeks[twin].std() == pytest.approx(3.3, abs=0.1)
    assert weight[twin].mean() == pytest.approx(5.12, abs=0.08)
    assert age[twin].mean() - age[single].mean() == pytest.approx(2.0, abs=0.15)
    for week, lack in ((36, 0.7), (39, 1.2), (40, 1.7)):
        at = weeks == week
        assert weight[single & at].mean() - weight[twin & at].mean() == pytest.approx(lack, abs=0.12)


def test_mothers_have_the_real_ages_and_weight_rises_then_falls_with_them(births):
    age, single = births["mother_age"], births["plurality"] == 1

    assert age.mean() == pytest.approx(27.3, abs=0.1)
    assert age.std() == pytest.approx(6.1, abs=0.1)
    assert (age.min(), age.max()) == (12, 50)
    for low, high, pounds in ((12, 15, 6.81), (20, 22, 7.11), (26, 28, 7.32), (35, 37, 7.41), (44, 50, 7.15)):
        chosen = single & (age >= low) & (age <= high)
        assert births["weight_pounds"][chosen].mean() == pytest.approx(pounds, abs=0.1)


def test_smoking_costs_its_real_share_of_weight(births):
    weight, smokes = births["weight_pounds"], births["cigarette_use"] == "True"
    known = births["cigarette_use"] != "None"
    clean = known & ~smokes
    at_term = (births["gestation_weeks"] == 39) & (births["is_male"] == "True")

    assert smokes.sum() / known.sum() == pytest.approx(0.084, abs=0.003)
    assert weight[smokes].mean() - weight[clean].mean() == pytest.approx(-0.45, abs=0.05)
    assert weight[smokes & at_term].mean() - weight[clean & at_term].mean() == pytest.approx(-0.36, abs=0.06)


def test_alcohol_marriage_and_race_make_their_real_differences(births):
    weight = births["weight_pounds"]
    alcohol, married, race = births["alcohol_use"], births["mother_married"] == "True", births["mother_race"]
    asian = np.isin(race, ["Chinese", "Japanese", "Filipino", "Asian Indian", "Korean", "Vietnamese"])

    assert (alcohol == "True").sum() / (alcohol != "None").sum() == pytest.approx(0.032, abs=0.002)
    assert weight[alcohol == "True"].mean() - weight[alcohol == "False"].mean() == pytest.approx(-0.39, abs=0.05)
    assert -0.5 < weight[~married].mean() - weight[married].mean() < -0.23
    assert 6.6 < weight[race == "Black"].mean() < 6.9
    assert 7.2 < weight[race == "White"].mean() < 7.4
    assert weight[asian].mean() == pytest.approx(7.3, abs=0.1)


def test_words_are_those_of_the_files(births):
    assert set(births["is_male"]) == set(births["mother_married"]) == {"True", "False"}
    assert set(births["cigarette_use"]) == set(births["alcohol_use"]) == {"True", "False", "None"}
    assert set(births["mother_race"]) == {*RACES.split(", "), "Vietnamese"}


def test_linear_regression_does_about_as_well_as_on_real_births(written):
    train, evaluation = read(written.glob("train.csv-*")), read(written.glob("eval.csv-*"))

    assert rmse(evaluation, np.full(len(evaluation), weights(train).mean())) == pytest.approx(1.308, rel=0.03)
    assert rmse(evaluation, features(evaluation) @ fit(train)) == pytest.approx(1.078, rel=0.06)


@needs_real_births
def test_a_regression_on_simulated_births_predicts_real_ones(written):
    real = read(REAL.glob("eval.csv-*"))
    trained_on_real = rmse(real, features(real) @ fit(read(REAL.glob("train.csv-*"))))

    assert trained_on_real == pytest.approx(1.078, abs=0.001)
    assert rmse(real, features(real) @ fit(read(written.glob("train.csv-*")))) < 1.03 * trained_on_real


def test_shards_are_named_and_filled_as_asked(tmp_path):
    counts = babyweight.write(str(tmp_path), rows=101, train_shards=3, eval_shards=1)

    lengths = {path.name: len(read([path])) for path in sorted(tmp_path.iterdir())}
    assert lengths == {
        "eval.csv-00000-of-00001": 21,
        "train.csv-00000-of-00003": 26,
        "train.csv-00001-of-00003": 27,
        "train.csv-00002-of-00003": 27,
    }
    assert counts == {"train": 80, "eval": 21}


def test_the_default_is_30000_births_to_train_on_and_7500_to_evaluate(written):
    assert len(read(written.glob("train.csv-0000[0-3]-of-00004"))) == 30_000
    assert len(read(written.glob("eval.csv-0000[01]-of-00002"))) == 7_500


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        babyweight.write(str(tmp_path / name), rows=500, seed=seed)
    first, again, other = ([p.read_bytes() for p in sorted((tmp_path / name).iterdir())] for name in "abc")

    assert first == again
    assert not set(first) & set(other)


def test_a_file_of_several_chunks_is_one_draw_without_repetition(tmp_path, monkeypatch):
    monkeypatch.setattr(babyweight, "CHUNK_ROWS", 100)
    babyweight.write(str(tmp_path), rows=500, train_shards=1, eval_shards=1)

    rows = read(tmp_path.glob("train*"))
    assert len(rows) == 400
    assert len({row[-1] for row in rows}) > 395


def test_training_and_evaluation_are_draws_of_their_own(written):
    train, evaluation = ([row[-1] for row in read(written.glob(f"{part}.csv-*"))] for part in ("train", "eval"))

    shared = set(train) & set(evaluation)  # two mothers may agree in all nine answers, as real ones do
    assert len(shared) < 0.02 * len(evaluation)


def test_no_file_repeats_another(written):
    keys = [row[-1] for row in read(written.glob("*.csv-*"))]

    assert len(set(keys)) > 0.98 * len(keys)


def test_key_is_the_hash_of_the_other_columns(written):
    assert_keys(read(written.glob("*.csv-*")))


@needs_real_births
def test_key_is_made_as_in_the_real_files():
    assert_keys(read(REAL.glob("*.csv-*")))


def test_every_column_is_written_as_in_the_real_files(written):
    assert_texts(read(written.glob("*.csv-*")))


@needs_real_births
def test_the_real_files_are_written_as_these_tests_say():
    assert_texts(read(REAL.glob("[te]*.csv-*")))


def test_a_set_is_written_once_its_last_file_is_there(tmp_path):
    directory = str(tmp_path / "set")
    assert not babyweight.is_written(directory)

    babyweight.write(directory, rows=20)
    assert babyweight.is_written(directory)

    (tmp_path / "set" / "eval.csv-00001-of-00002").unlink()
    assert not babyweight.is_written(directory)


def test_files_of_another_set_are_not_mixed_with_the_new_ones(tmp_path):
    babyweight.write(str(tmp_path), rows=40)

    with pytest.raises(UsageError, match=r"train\.csv-00000-of-00004: is of another set"):
        babyweight.write(str(tmp_path), rows=40, train_shards=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "--rows: 0: expected 10 or more"),
        ({"rows": -5}, "--rows: -5: expected 10 or more"),
        ({"rows": 99, "train_shards": 80}, "--rows: 99: expected 100 or more"),
        ({"seed": -1}, "--seed: -1: expected 0 or more"),
        ({"eval_shards": 0}, "--eval-shards: 0: expected 1 or more"),
    ],
)
def test_an_impossible_request_names_the_flag_and_writes_nothing(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        babyweight.write(str(tmp_path / "out"), **arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RunError, match=r"file/out: not a directory"):
        babyweight.write(str(tmp_path / "file" / "out"), rows=20)


def read(files):
    """The rows of CSV files, as lists of text."""
    return [line.split(",") for path in sorted(files) for line in Path(path).read_text().splitlines()]


def weights(rows):
    return np.array([float(row[0]) for row in rows])


def features(rows):
    """One, is_male, mother_age, plurality and gestation_weeks. (B, 5)."""
    return np.array([(1.0, row[1] == "True", float(row[2]), float(row[4]), float(row[5])) for row in rows])


def fit(rows):
    """Coefficients of least squares. (5,)."""
    return np.linalg.lstsq(features(rows), weights(rows), rcond=None)[0]


def rmse(rows, predictions):
    return float(np.sqrt(np.mean((weights(rows) - predictions) ** 2)))


def assert_keys(rows):
    for *others, key in rows:
        assert key == hashlib.sha224(",".join(others).encode()).hexdigest()


def assert_texts(rows):
    """A line is ten columns of this form, and a weight is whole grams times the factor of the 2017 table."""
    answer = "(True|False|None)"
    form = re.compile(
        rf"\d+\.\d+,(True|False),\d\d,({RACES.replace(', ', '|')}|Vietnamese),[1-5],\d\d\.0,"
        rf"{answer},{answer},{answer},[0-9a-f]{{56}}"
    )
    assert rows
    for row in rows:
        assert form.fullmatch(",".join(row)), row
        assert row[0] == str(round(float(row[0]) / 0.00220462262) * 0.00220462262)
