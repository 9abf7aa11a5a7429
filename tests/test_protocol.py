"""The JSON rules of the prediction API, rule by rule."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import RunError
from trainer.serving import protocol
from trainer.serving.protocol import Code, PredictionError, Signature, TensorInfo


def signature(name="serving_default", **inputs):
    """A signature with inputs as `dtype` or `(dtype, *sizes)`, the batch left out."""
    infos = {
        key: TensorInfo(value, (None,)) if isinstance(value, str) else TensorInfo(value[0], (None, *value[1:]))
        for key, value in inputs.items()
    }
    return Signature(name, infos, {"outputs": TensorInfo("float32", (None,))})


BABY = signature(is_male="string", mother_age="float32")


def detail(error):
    return error.value.detail


# Signatures


def test_a_named_signature_is_taken():
    both = {"a": signature("a", x="float32"), "serving_default": BABY}
    assert protocol.choose(both, "a").name == "a"


def test_without_a_name_the_only_signature_is_taken_whatever_its_name():
    assert protocol.choose({"predict": signature("predict", x="float32")}).name == "predict"


def test_without_a_name_serving_default_is_taken_of_several():
    assert protocol.choose({"a": signature("a", x="float32"), "serving_default": BABY}).name == "serving_default"


@pytest.mark.parametrize(("name", "key"), [("c", "c"), (None, "serving_default"), ("", "serving_default")])
def test_an_unknown_signature_is_refused_by_its_key(name, key):
    two = {"a": signature("a", x="float32"), "b": signature("b", x="float32")}
    with pytest.raises(PredictionError) as error:
        protocol.choose(two, name)
    assert detail(error) == f"No signature found for signature key {key}. Expected one of: a, b"
    assert error.value.code == Code.INPUTS


# Requests


def test_a_request_gives_its_instances_and_signature_name():
    request = protocol.request({"instances": [1, 2], "signature_name": "predict"})
    assert request == protocol.Request([1, 2], "predict")
    assert protocol.request({"instances": [1]}).signature_name is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([1], 'request: [1]: expected an object with the key "instances"'),
        ({"instance": [1]}, 'request: {"instance": [1]}: expected an object with the key "instances"'),
        ({"instances": {"x": 1}}, 'instances: {"x": 1}: expected a list with at least one instance'),
        ({"instances": None}, "instances: null: expected a list with at least one instance"),
        ({"instances": []}, "instances: []: expected a list with at least one instance"),
        ({"instances": [1], "signature_name": 3}, "signature_name: 3: expected a string"),
    ],
)
def test_a_request_without_instances_is_refused(body, expected):
    with pytest.raises(PredictionError) as error:
        protocol.request(body)
    assert detail(error) == expected


# base64


@pytest.mark.parametrize(
    ("given", "decoded"),
    [
        ({"b64": "AAE="}, b"\x00\x01"),
        ({"x": {"b64": "AAE="}}, {"x": b"\x00\x01"}),
        ([[{"b64": "AAE="}, 1], {"y": [{"b64": ""}]}], [[b"\x00\x01", 1], {"y": [b""]}]),
        ({"b64": "AAE=", "x": 1}, {"b64": "AAE=", "x": 1}),
        ({"b64": "AA\nE="}, b"\x00\x01"),
        ("b64", "b64"),
    ],
)
def test_a_dict_with_only_b64_becomes_bytes_at_any_depth(given, decoded):
    assert protocol.values.decode_base64(given) == decoded


@pytest.mark.parametrize("text", ["?", "AAE", 7, None])
def test_what_is_not_base64_is_refused(text):
    with pytest.raises(PredictionError) as error:
        protocol.columns(signature(x="string"), [{"x": {"b64": text}}])
    assert detail(error) == f"b64: {json.dumps(text)}: expected base64 text"


# One input


@pytest.mark.parametrize("instances", [[[1, 2]], [{"inputs": [1, 2]}]])
def test_the_name_of_the_only_input_may_be_left_out(instances):
    columns = protocol.columns(signature(inputs=("float32", 2)), instances)
    np.testing.assert_array_equal(columns["inputs"], np.array([[1, 2]], np.float32))


def test_named_and_bare_values_may_be_mixed():
    assert protocol.columns(signature(x="float32"), [1, {"x": 2}])["x"].tolist() == [1, 2]


def test_one_instance_outside_a_list_is_a_list_of_one():
    assert protocol.columns(signature(x="string"), "word")["x"].tolist() == [b"word"]
    assert protocol.columns(BABY, {"is_male": "True", "mother_age": 1})["mother_age"].tolist() == [1]


@pytest.mark.parametrize(("instance", "names"), [({"y": 1}, "['y']"), ({"x": 1, "y": 1}, "['x', 'y']"), ({}, "[]")])
def test_a_wrong_name_for_the_only_input_is_refused(instance, names):
    with pytest.raises(PredictionError) as error:
        protocol.columns(signature(x="float32"), [instance])
    assert str(error.value) == f"Invalid inputs: Expected tensor name: x, got tensor name: {names}. (Error code: 1)"


# Several inputs


def test_instances_become_columns():
    columns = protocol.columns(BABY, [{"is_male": "True", "mother_age": 26}, {"mother_age": 29.5, "is_male": "é"}])
    assert columns["is_male"].dtype == object
    assert columns["is_male"].tolist() == [b"True", "é".encode()]
    assert columns["mother_age"].dtype == np.float32
    assert columns["mother_age"].tolist() == [26.0, 29.5]


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([{"is_male": "True", "mother_age": 1, "k": 2}], "Unexpected tensor name: k"),
        (
            [{"is_male": "True", "mother_age": 1}, {"is_male": "True"}],
            "Input mother_age was missing in at least one input instance.",
        ),
        ([{"mother_age": 1}], "Input is_male was missing in at least one input instance."),
        ([3], "instances[0]: 3: expected an object with the keys is_male, mother_age"),
        ([], "instances: []: expected a list with at least one instance"),
    ],
)
def test_instances_that_do_not_match_the_inputs_are_refused(instances, expected):
    with pytest.raises(PredictionError) as error:
        protocol.columns(BABY, instances)
    assert str(error.value) == f"Invalid inputs: {expected} (Error code: 1)"


# Values


@pytest.mark.parametrize(
    ("info", "value", "array"),
    [
        ("float32", 39, np.array([39], np.float32)),
        ("float32", "NaN", np.array([np.nan], np.float32)),
        ("float32", "-Infinity", np.array([-np.inf], np.float32)),
        ("float64", float("inf"), np.array([np.inf])),
        ("bfloat16", 1.5, np.array([1.5], np.float32)),
        ("int64", 2**62, np.array([2**62])),
        ("int32", 26.0, np.array([26], np.int32)),
        ("uint8", 255, np.array([255], np.uint8)),
        ("bool", True, np.array([True])),
        (("float32", 1), [1.0], np.array([[1]], np.float32)),
        (("float32", None), [1, 2, 3], np.array([[1, 2, 3]], np.float32)),
        (("float32", None), [], np.zeros((1, 0), np.float32)),
        (("int32", 2, 2), [[1, 2], [3, 4]], np.array([[[1, 2], [3, 4]]], np.int32)),
    ],
)
def test_a_value_takes_the_dtype_and_shape_of_its_input(info, value, array):
    given = protocol.columns(signature(x=info), [value])["x"]
    assert given.dtype == array.dtype
    np.testing.assert_array_equal(given, array)


@pytest.mark.parametrize(
    ("info", "value", "expected"),
    [
        ("float32", "26", 'x: "26": expected a number (float32)'),
        ("float32", True, "x: true: expected a number (float32)"),
        ("float32", None, "x: null: expected a number (float32)"),
        ("float32", [1.0], "x: [1.0]: expected a number (float32)"),
        ("float32", 1e39, "x: 1e+39: expected a number (float32)"),
        ("float64", 10**400, f"x: 1{'0' * 59}…: expected a number (float64)"),
        ("int32", 26.5, "x: 26.5: expected a whole number (int32)"),
        ("int32", 2**31, "x: 2147483648: expected a whole number (int32)"),
        ("int64", float("inf"), "x: Infinity: expected a whole number (int64)"),
        ("int64", float("nan"), "x: NaN: expected a whole number (int64)"),
        ("bool", 1, "x: 1: expected a boolean"),
        ("string", False, 'x: false: expected a string, as "False"'),
        ("string", 26, 'x: 26: expected a string, as "26"'),
        ("string", ["a"], 'x: ["a"]: expected a string'),
        ("string", "\ud800", 'x: "\\ud800": expected a string'),
        ("complex64", 1, "x: 1: expected a number (complex64)"),
        (("float32", 1), 1.0, "x: 1.0: expected a list of one number (float32)"),
        (("float32", 3), [1, 2], "x: [1, 2]: expected a list of 3 numbers (float32)"),
        (("float32", 3), [1, "a", 2], 'x[1]: "a": expected a number (float32)'),
        (("float32", 2, 2), [[1, 2], [3]], "x[1]: [3]: expected a list of 2 numbers (float32)"),
        (("float32", None, 2), 5, "x: 5: expected nested lists of numbers (float32), shape [any, 2]"),
        (("float32", None), 5, "x: 5: expected a list of numbers (float32)"),
        (("float32", 784), [0] * 783, f"x: [{'0, ' * 19}0,… (783 values): expected a list of 784 numbers (float32)"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place_and_what_was_expected(info, value, expected):
    with pytest.raises(PredictionError) as error:
        protocol.columns(signature(x=info, y="float32"), [{"x": value, "y": 0}])
    assert detail(error) == f"instances[0].{expected}"
    assert error.value.code == Code.INPUTS


def test_a_bad_value_is_counted_from_the_start_of_the_file():
    with pytest.raises(PredictionError, match=r"instances\[7\]\.x"):
        protocol.columns(signature(x="float32"), [1, 2, "a"], first=5)


def test_lists_of_unknown_length_must_be_as_long_in_every_instance():
    with pytest.raises(PredictionError, match="x: lists of different lengths in the instances"):
        protocol.columns(signature(x=("float32", None)), [[1], [1, 2]])


def test_an_input_of_unknown_rank_takes_any_depth():
    anything = Signature("s", {"x": TensorInfo("float32", None)}, {})
    assert protocol.columns(anything, [1, 2])["x"].shape == (2,)
    assert protocol.columns(anything, [[[1, 2]], [[3, 4]]])["x"].shape == (2, 1, 2)


def test_a_model_with_a_fixed_batch_says_how_many_instances_it_takes():
    fixed = Signature("s", {"x": TensorInfo("float32", (2,))}, {})
    with pytest.raises(PredictionError, match="x: 3 instances: expected exactly 2"):
        protocol.columns(fixed, [1, 2, 3])


def test_nesting_without_end_is_refused():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(PredictionError, match="nested too deeply"):
        protocol.columns(signature(x="float32"), [value])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "b64"]), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(json_values, max_size=3) | json_values,
    st.sampled_from(["string", "float32", "int32", "bool", ("float32", 2), ("int64", None, 1)]),
    st.booleans(),
)
def test_any_json_becomes_columns_or_one_line(instances, info, alone):
    inputs = signature(x=info) if alone else signature(x=info, y="float32")
    failure = None
    try:
        columns = protocol.columns(inputs, instances)
    except PredictionError as error:
        failure = error
    if failure:
        assert failure.code == Code.INPUTS
        assert len(str(failure).splitlines()) == 1
    else:
        batch = len(instances) if isinstance(instances, list) else 1
        assert {len(column) for column in columns.values()} == {batch}


@given(st.lists(st.floats(width=32), min_size=1))
def test_floats_survive_the_way_there_and_back(numbers):
    column = protocol.columns(signature(x="float32"), numbers)["x"]
    answer = json.dumps(protocol.rows({"y": column}), allow_nan=False)
    again = protocol.columns(signature(x="float32"), [row["y"] for row in json.loads(answer)])["x"]
    np.testing.assert_array_equal(again, np.array(numbers, np.float32))


@given(st.lists(st.binary(), min_size=1))
def test_bytes_survive_the_way_there_and_back(contents):
    instances = [{"b64": base64.b64encode(content).decode()} for content in contents]
    column = protocol.columns(signature(x="string"), instances)["x"]
    assert column.tolist() == contents
    assert [row["x_bytes"] for row in protocol.rows({"x_bytes": column})] == instances


# Outputs


@pytest.mark.parametrize(
    ("outputs", "predictions"),
    [
        ({"y": np.array([7.265425682067871, 1], np.float32)}, [{"y": 7.265425682067871}, {"y": 1.0}]),
        ({"y": np.array([[1.5], [2.5]], np.float32)}, [{"y": [1.5]}, {"y": [2.5]}]),
        ({"a": np.array([3]), "b": np.array([[0.5, 0.25]])}, [{"a": 3, "b": [0.5, 0.25]}]),
        ({"y": np.float32(2)}, [{"y": 2.0}]),
        ({"y": b"word"}, [{"y": "word"}]),
        ({"y_bytes": b"\x00\x00"}, [{"y_bytes": {"b64": "AAA="}}]),
        ({"y": np.array([True])}, [{"y": True}]),
        ({"y": np.array(["é".encode()], object)}, [{"y": "é"}]),
        ({"y": np.array([[b"a", b"b"]], object)}, [{"y": ["a", "b"]}]),
        ({"y_bytes": np.array([b"\xff\x00"], object)}, [{"y_bytes": {"b64": "/wA="}}]),
        ({"y_bytes": np.array([[b"a"]], object)}, [{"y_bytes": [{"b64": "YQ=="}]}]),
        ({"y_bytes": np.array([1.5])}, [{"y_bytes": 1.5}]),
        ({"y": np.array([[np.nan, np.inf], [-np.inf, 1]])}, [{"y": ["NaN", "Infinity"]}, {"y": ["-Infinity", 1.0]}]),
        ({"y": np.zeros((2, 0))}, [{"y": []}, {"y": []}]),
    ],
)
def test_outputs_become_predictions(outputs, predictions):
    rows = protocol.rows(outputs)
    assert rows == predictions
    assert json.loads(json.dumps(rows, allow_nan=False)) == predictions


def test_outputs_of_different_sizes_are_refused():
    with pytest.raises(PredictionError) as error:
        protocol.rows({"a": np.zeros(2), "b": np.zeros(3)})
    assert str(error.value) == (
        "There was a problem processing the outputs: Bad output from running tensorflow session: outputs had "
        "differing sizes in the batch (outer) dimension. See the outputs and their size: {'a': 2, 'b': 3}. Check "
        "your model for bugs that effect the size of the outputs. (Error code: 3)"
    )


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"y": np.array([b"\xff"], object)}, "y: b'\\xff': expected UTF-8 text; call the output y_bytes"),
        ({"y": np.array([1j])}, "y: dtype complex128: expected numbers, booleans or strings"),
    ],
)
def test_an_output_that_json_cannot_hold_is_named(outputs, expected):
    with pytest.raises(PredictionError) as error:
        protocol.rows(outputs)
    assert detail(error).startswith(expected)
    assert error.value.code == Code.OUTPUTS


# Errors


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (Code.LOAD, "Failed to load model: d (Error code: 0)"),
        (Code.INPUTS, "Invalid inputs: d (Error code: 1)"),
        (Code.RUN, "Failed to run the provided model: d (Error code: 2)"),
        (Code.OUTPUTS, "There was a problem processing the outputs: d (Error code: 3)"),
        (Code.USER_CODE, "There was a problem processing the user code: d (Error code: 4)"),
    ],
)
def test_an_error_reads_message_detail_code(code, text):
    error = PredictionError(code, "d")
    assert str(error) == text
    assert isinstance(error, RunError)
