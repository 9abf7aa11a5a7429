"""JSON that every reader takes."""

import json
import math

from trainer import strictjson


def test_a_number_that_is_not_finite_is_null_at_any_depth():
    value = {"loss": math.nan, "all": [1.5, math.inf, (-math.inf,)], "inner": {"rmse": math.nan}}
    assert json.loads(strictjson.dumps(value)) == {"loss": None, "all": [1.5, None, [None]], "inner": {"rmse": None}}


def test_what_json_has_no_form_for_is_written_as_words():
    assert json.loads(strictjson.dumps({"error": ValueError("bad")})) == {"error": "bad"}
