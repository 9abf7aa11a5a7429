"""What an experiment may say of its columns."""

import json

import numpy as np
import pytest

from trainer.errors import UsageError
from trainer.inputs import spec
from trainer.inputs.spec import Feature, InputSpec, category, integer, number, pixels, vector


SEX = category("is_male", ("True", "False"))
WEIGHT = number("weight_pounds", unit="pounds")


def test_the_columns_are_the_features_and_then_the_label_unless_they_are_given():
    assert InputSpec((SEX,), WEIGHT).columns == ("is_male", "weight_pounds")


def test_a_scalar_gets_a_second_axis_for_the_model_and_a_vector_does_not():
    columns = {"is_male": np.zeros((3, 8), np.int32), "v": np.zeros((3, 8, 5), np.float32), "y": np.zeros((3, 8))}

    features, label = spec.split(InputSpec((SEX, vector("v", 5)), number("y")), columns)

    assert features["is_male"].shape == (3, 8, 1)
    assert features["v"].shape == (3, 8, 5)
    assert label.shape == (3, 8, 1)


def test_pixels_are_bytes_in_memory_and_numbers_from_0_to_1_for_the_model():
    feature = pixels("image", 2)

    values = spec.batch_values(feature, np.array([[0, 255]], np.uint8))

    assert (feature.stored_dtype, feature.stored_bytes, feature.model_dtype) == ("uint8", 2, "float32")
    assert values.dtype == np.float32
    assert values.tolist() == [[0.0, 1.0]]


def test_a_row_takes_the_bytes_of_its_encoded_values():
    assert InputSpec((SEX, vector("v", 5), pixels("p", 7)), WEIGHT).stored_bytes == 4 + 20 + 7 + 4


def test_columns_of_no_part_have_shapes_and_dtypes():
    empty = spec.concatenate(InputSpec((SEX, vector("v", 5)), WEIGHT), [])

    assert {name: (values.shape, str(values.dtype)) for name, values in empty.items()} == {
        "is_male": ((0,), "int32"),
        "v": ((0, 5), "float32"),
        "weight_pounds": ((0,), "float32"),
    }


def test_the_schema_is_json_with_the_vocabulary_and_the_unit():
    schema = json.loads(json.dumps(InputSpec((SEX,), WEIGHT, key="key", columns=("is_male", "weight_pounds")).schema()))

    assert schema["features"]["is_male"]["vocabulary"] == ["True", "False"]
    assert (schema["label"], schema["label_unit"], schema["key"]) == ("weight_pounds", "pounds", "key")


@pytest.mark.parametrize(
    ("features", "more", "message"),
    [
        ([SEX, SEX], {}, "column is_male: named twice; expected each name once"),
        ([SEX], {"columns": ("is_male", "key", "key", "weight_pounds")}, "column key: named twice"),
        ([SEX], {"columns": ("is_male",)}, "feature weight_pounds: not among the columns is_male"),
        ([SEX], {"label": number("y", default=0.0)}, "label y: a label has no default"),
        ([Feature("w", dtype="string")], {}, "feature w: a string feature needs a vocabulary"),
        ([Feature("w", vocabulary=("a",))], {}, "feature w: a string feature needs a vocabulary"),
        ([Feature("n", dtype="int64", default=1.0)], {}, "feature n: only a float32 scalar has a default"),
        ([Feature("n", dtype="int64", shape=(2,))], {}, "feature n: a vector is of float32"),
        ([number("n", minimum=3, maximum=2)], {}, "feature n: minimum 3 is above maximum 2; expected it below"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused_by_name(features, more, message):
    with pytest.raises(UsageError) as error:
        InputSpec(**{"features": tuple(features), "label": WEIGHT} | more)
    assert message in str(error.value)


def test_an_integer_is_int32_for_the_model():
    assert integer("label").model_dtype == "int32"
