"""The encoding inside the serving graph, and what a request may hold."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import UsageError
from trainer.inputs.serving import ServingInput
from trainer.inputs.spec import InputSpec, category, integer, number, pixels, vector
from trainer.inputs.tensors import Encoder, golden, serving_input


SPEC = InputSpec(
    features=(
        category("race", ("White", "Black")),
        number("age", default=27.0),
        number("weeks"),
        integer("count"),
        vector("sizes", 2),
        pixels("image", 4),
    ),
    label=number("weight"),
    columns=("race", "age", "weeks", "count", "sizes", "image", "weight", "key"),
    key="key",
)
REQUEST = {
    "race": ["Black", "White", "black"],
    "age": [26.0, np.nan, 0.0],
    "weeks": [39.0, np.nan, -1.0],
    "count": np.array([2, 2**32, -(2**40)]),
    "sizes": [[1.0, 2.0]] * 3,
    "image": [[0.0, 0.5, 1.0, 0.25]] * 3,
}


@pytest.fixture
def encoded():
    dtypes = {feature.name: feature.dtype for feature in SPEC.features}
    return Encoder(SPEC)({name: tf.constant(values, dtypes[name]) for name, values in REQUEST.items()})


def test_the_model_gets_a_column_for_each_scalar_and_vectors_as_they_are(encoded):
    assert {name: tuple(values.shape) for name, values in encoded.items()} == {
        "race": (3, 1), "age": (3, 1), "weeks": (3, 1), "count": (3, 1), "sizes": (3, 2), "image": (3, 4),
    }  # fmt: skip
    assert {name: values.dtype.name for name, values in encoded.items()} == {
        feature.name: feature.model_dtype for feature in SPEC.features
    }


def test_words_become_positions_and_an_unknown_one_the_size_of_the_vocabulary(encoded):
    assert encoded["race"][:, 0].numpy().tolist() == [1, 0, 2]


def test_a_missing_number_becomes_the_default_where_there_is_one(encoded):
    assert encoded["age"][:, 0].numpy().tolist() == [26.0, 27.0, 0.0]
    np.testing.assert_array_equal(encoded["weeks"][:, 0], np.array([39.0, np.nan, -1.0], np.float32))


def test_an_integer_beyond_int32_is_not_taken_for_another(encoded):
    assert encoded["count"][:, 0].numpy().tolist() == [2, 2**31 - 1, -(2**31)]


def test_a_request_has_bare_scalars_and_what_is_forwarded():
    serving = serving_input(SPEC, forward=("key",))
    assert {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in serving.request.items()} == {
        "race": ("string", [None]), "age": ("float32", [None]), "weeks": ("float32", [None]),
        "count": ("int64", [None]), "sizes": ("float32", [None, 2]), "image": ("float32", [None, 4]),
        "key": ("string", [None]),
    }  # fmt: skip
    assert serving.forward == ("key",)
    assert serving.schema == SPEC.schema()


def test_golden_rows_are_a_request():
    rows = golden(SPEC, ("key",), rows=3)
    assert rows.keys() == serving_input(SPEC, forward=("key",)).request.keys()
    assert all(len(values) == 3 for values in rows.values())
    assert rows["race"].tolist() == ["White", "Black", ""]
    for name, spec in serving_input(SPEC, forward=("key",)).request.items():
        assert spec.is_compatible_with(tf.constant(rows[name]))
    np.testing.assert_array_equal(golden(SPEC, rows=3)["age"], rows["age"])


def request(*keys):
    return {key: tf.TensorSpec([None], tf.float32) for key in keys}


@pytest.mark.parametrize("key", ["mother age", "1st", "_x", "a-b", "a.b", "年齢", "self", "None", ""])
def test_a_key_that_would_be_served_under_another_name_is_an_error(key):
    with pytest.raises(UsageError, match=f"request key '{key}': expected a letter, then letters, digits and _"):
        ServingInput(request("x", key), dict)


def test_keys_that_differ_by_case_alone_are_an_error():
    with pytest.raises(UsageError, match="request keys 'age' and 'Age': expected more than case to differ"):
        ServingInput(request("age", "Age"), dict)


def test_a_forwarded_key_must_be_in_the_request():
    with pytest.raises(UsageError, match="request key 'key': forwarded, but not in the request x, y"):
        ServingInput(request("x", "y"), dict, forward=("key",))
