"""Numbers, times and values as a page has them, and drawings that are a part of it."""

import math
import re

import numpy as np
import pytest

from trainer.reporting import charts, drawing, words
from trainer.reporting.curves import Curve
from trainer.reporting.intervals import Interval


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (words.number, 1.041854, "1.0419"),
        (words.number, 123456.7, "123,457"),
        (words.number, 5.0, "5"),
        (words.number, None, "–"),
        (words.number, math.nan, "–"),
        (words.signed, -0.0022451, "−0.00225"),
        (words.signed, 0.0, "0"),
        (words.signed, 538425.0, "+538,425"),
        (words.signed, math.inf, "–"),
        (words.fixed, 1.041854, "1.0419"),
        (words.fixed, -0.5, "−0.5000"),
        (words.fixed, 0.00001234, "1.2e-05"),
        (words.fixed, 0.0, "0.0000"),
        (words.fixed, 1234567.8, "1,234,568"),
        (words.fixed, math.nan, "–"),
        (words.interval, Interval(0.1, -0.25, 0.25), "−0.2500 to 0.2500"),
        (words.interval, Interval(0.1, math.nan, math.nan), "–"),
        (words.percent, 0.9956, "99.6 %"),
        (words.size, 999, "999 B"),
        (words.size, 999_600, "1 MB"),
        (words.size, 999_499, "999 kB"),
        (words.size, 13_178_581, "13.2 MB"),
        (words.duration, 12.62, "12.6 s"),
        (words.duration, 3599.7, "1 h 00 min"),
        (words.duration, 61, "1 min 01 s"),
        (words.duration, 200_000, "2 d 7 h"),
        (words.moment, 1795717104.5, "2026-11-26 18:18:24 UTC"),
        (words.value, True, "yes"),
        (words.value, (64, 32), "64 32"),
        (words.value, [64, 32], "64 32"),
        (words.value, (), "–"),
        (words.value, "a b", "a b"),
        (words.flag, "train_steps", "--train-steps"),
    ],
)
def test_a_value_is_shown_as_a_reader_has_it(rule, value, expected):
    assert rule(value) == expected


def test_a_path_in_a_folder_is_shown_from_there():
    assert words.below("gs://b/job/export/best/1", "gs://b/job/") == "export/best/1"
    assert words.below("gs://b/jobs/x", "gs://b/job") == "gs://b/jobs/x"


def curve(values):
    steps = np.arange(1, len(values) + 1, dtype=float)
    return Curve(steps, steps / 10, np.array(values, float))


def test_two_drawings_on_a_page_share_no_id():
    one, two = (charts.by_step(name, [charts.Series("training", curve([1, 2]), 0)]).svg for name in ("a b", "a_b"))
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_drawing_keeps_the_numbers_of_its_axis():
    svg = charts.by_step("rmse", [charts.Series("training", curve([1.0625, 1.06375]), 0)]).svg
    assert len(set(re.findall(r">(1\.06\d\d+)<", svg))) >= 3  # not cut as coordinates are
    assert "style>" not in svg
    assert "font-family" not in svg


def test_a_name_with_dollars_is_no_formula():
    svg = charts.by_step("$x$", [charts.Series("$\\frac{1}{2}$ <b>", curve([1.0, 2.0]), 0)]).svg
    assert ">$\\frac{1}{2}$ &lt;b&gt;<" in svg


def test_a_metric_that_falls_by_far_is_drawn_on_a_logarithmic_scale():
    falling = charts.by_time("loss", [charts.Series("training", curve([2.3, 0.5, 0.02]), 1)])
    assert "logarithmic" in falling.caption
    level = charts.by_time("loss", [charts.Series("training", curve([2.3, 0.5, 0.0]), 1)])
    assert "logarithmic" not in level.caption
    assert "training from 2.3 to 0.02" in falling.label


def test_the_unit_of_time_is_that_of_the_stops_that_have_a_time():
    stops = Curve(np.arange(3.0), np.array([np.nan, 3600.0, 9000.0]), np.arange(3.0))
    assert charts.by_time("loss", [charts.Series("training", stops, 0)]).caption.endswith("over hours at work")


def test_a_curve_without_a_finite_value_is_an_empty_drawing():
    found = charts.by_step("loss", [charts.Series("training", curve([math.nan, math.inf]), 1)])
    assert found.label == "loss by step: no finite value"


def test_a_users_own_settings_draw_no_report(monkeypatch):
    import matplotlib

    series = [charts.Series("training", curve([1, 3, 2]), 0)]
    before = charts.by_step("loss", series)
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.hashsalt": "x", "axes.xmargin": 0.3}):
        assert charts.by_step("loss", series) == before


def test_every_colour_of_a_drawing_is_a_variable():
    with drawing.figure() as (figure, axes):
        for color in drawing.VARIABLES:
            axes.plot([0, 1], [0, 1], color=color)
        svg = drawing.svg(figure, "x")
    for variable in drawing.VARIABLES.values():
        assert f"var({variable})" in svg
