"""The figures of a report: against slow references that say what they are, and as intervals against simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.inputs.spec import category, integer, number, vector
from trainer.reporting import breakdown, classification, intervals, kinds, regression, slices
from trainer.reporting.predictions import Predicted


RANDOM = np.random.default_rng(3)
ROWS = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=40)


def columns_of(rows):
    return (np.array(column) for column in zip(*rows, strict=True))


def covered(interval, truth):
    return interval.low <= truth <= interval.high


# Intervals


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_wilsons(successes, count, low, high):
    found = intervals.of_share(
        successes, count
    )  # as R. G. Newcombe has them, Statistics in Medicine 17 (1998), table I
    assert found.value == successes / count
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_where_the_score_test_does_not_reject(counts):
    successes, count = counts
    found = intervals.of_share(successes, count)
    for end in (found.low, found.high):
        deviation = math.sqrt(max(end * (1 - end), 0.0) / count)
        assert abs(found.value - end) == pytest.approx(intervals.Z * deviation, abs=1e-6)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_of_a_mean_has_the_mean_in_95_of_100_samples():
    samples = RANDOM.exponential(2.0, (1000, 400))
    share = np.mean([covered(intervals.of_mean(sample), 2.0) for sample in samples])
    assert 0.925 < share < 0.97


def test_the_interval_of_the_rmse_has_it_in_95_of_100_samples():
    samples = RANDOM.normal(0.5, 2.0, (1000, 400))
    share = np.mean([covered(intervals.of_rmse(sample), math.sqrt(0.25 + 4.0)) for sample in samples])
    assert 0.93 < share < 0.97


def test_the_interval_of_the_rmse_is_about_that_of_a_bootstrap():
    residuals = RANDOM.normal(0.1, 1.5, 500)
    again = [np.sqrt(np.mean(RANDOM.choice(residuals, 500) ** 2)) for _ in range(2000)]
    found = intervals.of_rmse(residuals)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])), abs=0.02)


def test_too_few_examples_have_no_interval():
    for found in (intervals.of_mean(np.array([3.0])), intervals.of_rmse(np.array([-3.0]))):
        assert abs(found.value) == 3.0
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    for found in (intervals.of_mean(np.array([])), intervals.of_rmse(np.array([])), intervals.of_share(0, 0)):
        assert math.isnan(found.value)
    assert intervals.of_rmse(np.zeros(9)) == intervals.Interval(0.0, 0.0, 0.0)


# Regression


@given(ROWS)
def test_errors_are_those_of_a_loop(rows):
    labels, predictions = columns_of(rows)
    found = regression.errors(labels, predictions)
    off = [p - y for y, p in rows]
    assert found.count == len(rows)
    assert found.bias.value == pytest.approx(sum(off) / len(off), abs=1e-9)
    assert found.mae.value == pytest.approx(sum(map(abs, off)) / len(off), abs=1e-9)
    assert found.rmse.value == pytest.approx(math.sqrt(sum(e * e for e in off) / len(off)), abs=1e-9)
    mean = sum(y for y, _ in rows) / len(rows)
    variance = sum((y - mean) ** 2 for y, _ in rows)
    if variance > 1e-6:
        assert found.explained == pytest.approx(1 - sum(e * e for e in off) / variance, rel=1e-6, abs=1e-6)


def test_the_errors_of_float32_are_added_in_float64():
    labels = np.full(3_000_000, 7.1, np.float32)
    predictions = labels + np.float32(0.25)
    assert regression.errors(labels, predictions).bias.value == pytest.approx(0.25, abs=1e-6)
    assert math.isnan(regression.errors(labels, predictions).explained)


@given(ROWS)
def test_calibration_groups_every_example_once_by_its_prediction(rows):
    labels, predictions = columns_of(rows)
    groups = regression.calibration(labels, predictions)
    assert sum(group.count for group in groups) == len(rows)
    assert len(groups) == min(10, len(rows))
    assert max(g.count for g in groups) - min(g.count for g in groups) <= 1
    ordered = sorted(rows, key=lambda row: row[1])  # stable, as ours is
    first = 0
    for group in groups:
        own = ordered[first : first + group.count]
        assert group.predicted == pytest.approx(sum(p for _, p in own) / len(own), abs=1e-9)
        assert group.observed.value == pytest.approx(sum(y for y, _ in own) / len(own), abs=1e-9)
        first += group.count


@given(ROWS)
def test_a_histogram_has_every_residual_in_its_bin_or_beyond(rows):
    labels, predictions = columns_of(rows)
    found = regression.histogram(labels, predictions)
    assert found.counts.sum() + found.below + found.above == len(rows)
    off = predictions - labels
    for low, high, count in zip(found.edges[:-1], found.edges[1:], found.counts, strict=True):
        inside = sum(low <= e < high or (high == found.edges[-1] and e == high) for e in off)
        assert count == inside


def test_the_farthest_are_the_worst_first():
    labels, predictions = np.zeros(5), np.array([1.0, -4.0, 0.5, 3.0, -4.0])
    assert regression.farthest(labels, predictions, 3).tolist() == [1, 4, 3]


# Classification


def some_classes(rows=300, classes=4):
    probabilities = RANDOM.dirichlet(np.ones(classes), rows)
    labels = np.array([RANDOM.choice(classes, p=row) for row in probabilities])
    return labels, probabilities


def test_a_confusion_matrix_and_the_scores_are_those_of_a_loop():
    labels, probabilities = some_classes()
    classes = probabilities.argmax(axis=1)
    matrix = classification.confusion(labels, classes, size=4)
    for true in range(4):
        for said in range(4):
            expected = sum(y == true and c == said for y, c in zip(labels, classes, strict=True))
            assert matrix[true, said] == expected
    for k, scores in enumerate(classification.per_class(matrix)):
        hits = sum(y == c == k for y, c in zip(labels, classes, strict=True))
        precision, recall = hits / sum(c == k for c in classes), hits / sum(y == k for y in labels)
        assert (scores.precision.value, scores.recall.value) == pytest.approx((precision, recall))
        assert scores.f1 == pytest.approx(2 * precision * recall / (precision + recall))
        assert scores.count == sum(y == k for y in labels)
    assert classification.accuracy(matrix).value == pytest.approx(np.mean(labels == classes))


def test_a_class_that_never_comes_has_no_scores():
    (_, scores) = classification.per_class(np.array([[5, 0], [0, 0]]))
    assert scores.count == 0
    assert all(math.isnan(value) for value in (scores.precision.value, scores.recall.value, scores.f1))


def test_the_most_confused_come_first_and_the_right_ones_not_at_all():
    matrix = np.array([[50, 2, 0], [7, 60, 1], [0, 0, 9]])
    assert classification.confused(matrix) == [(1, 0, 7), (0, 1, 2), (1, 2, 1)]
    assert classification.confused(matrix, 1) == [(1, 0, 7)]


def test_the_calibration_error_is_that_of_a_loop():
    labels, probabilities = some_classes()
    found = classification.reliability(labels, probabilities)
    assert sum(each.count for each in found.bins) == len(labels)
    expected, bins = 0.0, 0
    for k in range(15):
        own = [
            (max(row), int(np.argmax(row)) == y)
            for row, y in zip(probabilities, labels, strict=True)
            if k / 15 < max(row) <= (k + 1) / 15
        ]
        if own:
            confidence, share = (sum(float(pair[i]) for pair in own) / len(own) for i in (0, 1))
            assert found.bins[bins].confidence == pytest.approx(confidence)
            assert found.bins[bins].accuracy.value == pytest.approx(share)
            expected += len(own) / len(labels) * abs(confidence - share)
            bins += 1
    assert found.error == pytest.approx(expected)
    assert len(found.bins) == bins


def test_a_probability_between_two_ranges_is_of_the_lower():
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [0.0, 1.0]])
    found = classification.reliability(np.array([0, 0, 1]), probabilities, bins=2)
    assert [(each.count, each.confidence) for each in found.bins] == [(1, 0.5), (2, pytest.approx(0.8))]


def test_probabilities_that_are_true_are_calibrated_and_bold_ones_are_not():
    labels, probabilities = some_classes(rows=20_000)
    assert classification.reliability(labels, probabilities).error < 0.02
    bold = np.eye(4)[probabilities.argmax(axis=1)]
    error = classification.reliability(labels, bold).error
    assert error == pytest.approx(np.mean(labels != bold.argmax(axis=1)))


def test_the_worst_have_the_greatest_loss_and_the_least_certain_the_least_confidence():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.0, 1.0], [0.55, 0.45]])
    labels = np.array([0, 1, 0, 0])
    assert classification.losses(labels, probabilities) == pytest.approx(-np.log([0.9, 0.4, 1e-12, 0.55]))
    assert classification.worst(labels, probabilities, 2).tolist() == [2, 1]
    assert classification.least_certain(probabilities, 2).tolist() == [3, 1]


# Slices


SEX = category("sex", ("boy", "girl", "other"))
WEEKS = number("weeks", unit="weeks")


def cut(**columns):
    return {
        (part.feature.name, part.name): part.rows.tolist()
        for part in slices.cut((SEX, WEEKS, integer("count"), vector("pixels", 3)), columns)
    }


def test_every_word_is_a_slice_and_so_is_an_unknown_one():
    assert cut(sex=np.array([1, 0, 1, 3])) == {
        ("sex", "boy"): [1],
        ("sex", "girl"): [0, 2],
        ("sex", slices.UNKNOWN): [3],
    }


def test_of_a_large_vocabulary_the_rare_words_are_one_slice():
    words = category("town", tuple(f"town {i}" for i in range(10_000)))
    codes = np.concatenate([np.arange(10_000), np.arange(5000, 5020).repeat(3)])
    *often, others = slices.cut((words,), {"town": codes})
    assert [part.name for part in often] == [f"town {i}" for i in range(5000, 5020)]
    assert [len(part.rows) for part in often] == [4] * 20
    assert (others.name, len(others.rows)) == (slices.OTHERS, 9980)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_has_a_name(value):
    assert slices.shown(value) == slices.UNKNOWN


def test_few_values_of_a_number_are_slices_of_their_own():
    found = cut(weeks=np.array([40.0, 39.5, 40.0, np.nan], np.float32), count=np.array([2, 2, 1, 2]))
    assert found == {
        ("weeks", "39.5"): [1],
        ("weeks", "40"): [0, 2],
        ("weeks", slices.UNKNOWN): [3],
        ("count", "1"): [2],
        ("count", "2"): [0, 1, 3],
    }


@given(st.lists(st.integers(-30, 60), min_size=1, max_size=200))
def test_ranges_of_a_number_hold_every_example_once(values):
    column = np.array(values, np.float32)
    parts = slices.cut((WEEKS,), {"weeks": column})
    assert sorted(row for part in parts for row in part.rows.tolist()) == list(range(len(values)))
    assert len(parts) <= slices.MOST_VALUES
    for before, after in itertools.pairwise(parts):
        assert column[before.rows].max() < column[after.rows].min()
    for part in parts:
        least, most = (f"{end:.0f}" for end in (column[part.rows].min(), column[part.rows].max()))
        assert part.name == (least if least == most else f"{least} to {most}")


def test_ranges_are_narrow_at_the_ends():
    parts = slices.cut((WEEKS,), {"weeks": np.arange(1000, dtype=np.float32)})
    assert [len(part.rows) for part in parts] == [25, 75, 150, 150, 200, 150, 150, 75, 25]


def test_a_vector_is_no_slice_and_a_constant_one_is_only_named():
    assert cut(pixels=np.zeros((4, 3))) == {}
    columns = {"sex": np.zeros(4, int), "weeks": np.array([38.0, 38.0, 41.0, 41.0])}
    residuals = np.array([1.0, 1.0, 3.0, 3.0])
    found = breakdown.of((SEX, WEEKS), columns, 2.0, lambda rows: intervals.of_rmse(residuals[rows]))
    assert found.constant == {"sex": "boy"}
    assert [row.figure.value for row in found.parts[0].rows] == [1.0, 3.0]
    assert found.parts[0].rows[0].bias is None
    assert [found.place(value) for value in (-9, 2.0, 99)] == [0.0, 50.0, 100.0]


def test_a_slice_of_few_examples_does_not_stretch_the_scale():
    residuals = np.array([*RANDOM.normal(0, 1, 200), 90.0, 95.0])
    columns = {"sex": np.array([0] * 100 + [1] * 100 + [2] * 2)}
    found = breakdown.of((SEX,), columns, 1.0, lambda rows: intervals.of_rmse(residuals[rows]))
    assert found.most < 3
    assert breakdown.of((SEX,), {"sex": np.zeros(3, int)}, 1.0, lambda rows: intervals.of_rmse(residuals[rows])) is None


# What kind of predictions it is


def predicted(label, labels, **outputs):
    arrays = {name: np.array(values) for name, values in outputs.items()}
    return Predicted(label=label, features=(), labels=np.array(labels), columns={}, outputs=arrays)


def test_a_float_an_example_is_a_number_and_those_that_are_none_are_left_out():
    found = kinds.of(
        predicted(WEEKS, [1.0, np.nan, 3.0, 4.0], code=[1, 2, 3, 4], weeks=[[1.0], [2.0], [np.nan], [5.0]])
    )
    assert isinstance(found, kinds.Numbers)
    assert (found.output, found.rows.tolist()) == ("weeks", [0, 3])
    assert (found.labels.tolist(), found.predictions.tolist()) == ([1.0, 4.0], [1.0, 5.0])


def test_probabilities_are_classes_and_a_label_that_is_none_is_left_out():
    rows = [[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    found = kinds.of(predicted(SEX, [1, 3, 0], logits=[[3.0, 1.0, -4.0]] * 3, p=rows))
    assert isinstance(found, kinds.Classes)
    assert (found.output, found.names) == ("p", ("boy", "girl", "other"))
    assert found.rows.tolist() == [0, 2]
    assert (found.labels.tolist(), found.classes.tolist()) == ([1, 0], [1, 2])
    assert found.probabilities.tolist() == [rows[0], rows[2]]


def test_an_example_without_probabilities_is_left_out_and_the_others_are_not():
    rows = [[0.9, 0.1, 0.0], [math.nan] * 3, [0.2, 0.3, 0.5]]
    found = kinds.of(predicted(SEX, [0, 1, 1], p=rows))
    assert (found.rows.tolist(), found.classes.tolist()) == ([0, 2], [0, 2])
    assert kinds.of(predicted(SEX, [0], p=[[math.nan] * 3])) is None


def test_whole_numbers_are_classes_without_probabilities():
    found = kinds.of(predicted(integer("digit"), [0, 2, 1], digit=[0, 1, 1]))
    assert (found.names, found.probabilities) == (("0", "1", "2"), None)


@pytest.mark.parametrize(
    ("label", "outputs"),
    [
        (WEEKS, {"word": [[1.0, 2.0]]}),
        (WEEKS, {"code": [3]}),
        (SEX, {"p": [[0.5, 0.5]]}),  # of two classes, not three
        (SEX, {"p": [[1.5, -0.5, 0.0]]}),
        (SEX, {"p": [[0.5, 0.5, 0.5]]}),
        (vector("pixels", 3), {"x": [1.0]}),
        (integer("id"), {"id": [10**9]}),  # a matrix of as many classes would be larger than any memory
        (WEEKS, {}),
    ],
)
def test_other_outputs_are_of_no_kind(label, outputs):
    assert kinds.of(predicted(label, [0], **outputs)) is None
