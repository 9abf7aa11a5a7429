"""Log records as people read them."""

import pytest

from trainer.settings import records


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"message": "exported a/best/20", "export": "a/best/20", "global_step": 20},
            "exported a/best/20  global_step 20",
        ),
        ({"message": "resumed at step 60: 0 to train", "global_step": 60}, "resumed at step 60: 0 to train"),
        ({"message": "done", "metrics": {}, "exports": []}, "done"),
        ({"message": "done", "exports": ["a", "b"], "loss": None}, "done  exports a, b  loss None"),
        ({"severity": "WARNING", "message": "careful"}, "WARNING: careful"),
    ],
)
def test_words_say_each_field_once_and_leave_out_empty_ones(fields, text):
    assert records.in_words(fields) == text


@pytest.mark.parametrize("line", ["", "not JSON", "[1]", "3", "{" * 100_000, '{"a": '])
def test_a_line_that_is_no_object_is_none(line):
    assert records.parsed(line) is None
