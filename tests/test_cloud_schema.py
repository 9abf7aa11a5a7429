"""Bodies of requests beside Google's published schemas, with JSON Schema as a second opinion."""

import functools
import json
from importlib import resources

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cloud import schema
from trainer.errors import UsageError


JOB = {
    "jobId": "births_1",
    "labels": {"team": "births"},
    "trainingInput": {
        "scaleTier": "CUSTOM",
        "masterType": "n1-standard-8",
        "workerType": "n1-standard-8",
        "workerCount": "2",
        "region": "us-central1",
        "args": ["--experiment", "babyweight"],
        "masterConfig": {
            "diskConfig": {"bootDiskSizeGb": 200},
            "acceleratorConfig": {"type": "NVIDIA_TESLA_T4", "count": 1},
        },
        "scheduling": {"maxRunningTime": "3600s", "priority": 3},
        "enableWebAccess": True,
        "hyperparameters": {
            "goal": "MINIMIZE",
            "params": [{"parameterName": "rate", "type": "DOUBLE", "minValue": 1e-4, "maxValue": 1}],
        },
    },
}
DECIMAL = {"type": "string", "pattern": r"^-?\d{1,20}$"}
FORMS = {
    "google-duration": r"^-?\d{1,12}(\.\d{1,9})?s$",
    "google-datetime": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$",
}


@functools.cache
def second_opinion(api, name):
    """A validator of the public library for the same published schema, rewritten as JSON Schema."""
    file = resources.files("googleapiclient.discovery_cache.documents") / f"{schema.DOCUMENTS[api]}.json"
    defs = {key: rewritten(value) for key, value in json.loads(file.read_bytes())["schemas"].items()}
    return jsonschema.Draft202012Validator({"$defs": defs, "$ref": f"#/$defs/{name}"})


def rewritten(published):
    """What https://developers.google.com/discovery/v1/type-format says of a schema, in the words of JSON Schema."""
    if "$ref" in published:
        return {"$ref": f"#/$defs/{published['$ref']}"}
    kind, form = published.get("type"), published.get("format", "")
    if kind == "any":
        return {}
    if kind == "object":
        fields = {name: rewritten(each) for name, each in published.get("properties", {}).items()}
        others = published.get("additionalProperties")
        return {"type": "object", "properties": fields, "additionalProperties": rewritten(others) if others else False}
    if kind == "array":
        return {"type": "array", "items": rewritten(published["items"])}
    if form in schema.BITS:
        least, most = schema.BITS[form]
        return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, DECIMAL]}
    found = {"type": kind} | {word: published[word] for word in ("enum",) if word in published}
    return found | ({"pattern": FORMS[form]} if form in FORMS else {})


def test_a_body_of_the_published_form_has_no_problems():
    assert schema.problems(JOB, api="ml", schema="GoogleCloudMlV1__Job") == []
    schema.check(JOB, api="ml", schema="GoogleCloudMlV1__Job")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scaleTier": "BASI"}, 'trainingInput.scaleTier: "BASI": expected one of BASIC, STANDARD_1, PREMIUM_1, '),
        ({"workerTyp": "x"}, "trainingInput.workerTyp: unknown field; did you mean workerType?"),
        ({"args": ["--x", 3]}, "trainingInput.args[1]: 3: expected text, in quotes"),
        ({"args": "--x"}, 'trainingInput.args: "--x": expected a list'),
        ({"runtimeVersion": 2.17}, "trainingInput.runtimeVersion: 2.17: expected text, in quotes"),
        ({"workerCount": "two"}, 'trainingInput.workerCount: "two": expected a whole number'),
        ({"workerCount": 1.5}, "trainingInput.workerCount: 1.5: expected a whole number"),
        ({"workerCount": True}, "trainingInput.workerCount: true: expected a whole number"),
        ({"workerCount": 2**63}, "trainingInput.workerCount: 9223372036854775808: expected a whole number from "),
        ({"enableWebAccess": "yes"}, 'trainingInput.enableWebAccess: "yes": expected true or false'),
        ({"scheduling": []}, "trainingInput.scheduling: []: expected an object"),
        (
            {"scheduling": {"priority": 2**31}},
            "trainingInput.scheduling.priority: 2147483648: expected a whole number from",
        ),
        (
            {"scheduling": {"maxRunningTime": "1h"}},
            'trainingInput.scheduling.maxRunningTime: "1h": expected a duration',
        ),
        (
            {"hyperparameters": {"params": [{"minValue": "x"}]}},
            'trainingInput.hyperparameters.params[0].minValue: "x": ',
        ),
        ({"hyperparameters": {"params": [{"minValue": float("nan")}]}}, "params[0].minValue: NaN: expected a number"),
        ({"region": None}, "trainingInput.region: null: expected text"),
        ({7: 1}, "trainingInput.7: expected text as the name of a field"),
    ],
)
def test_a_problem_names_the_path_the_value_and_what_was_expected(change, said):
    body = {"trainingInput": {**JOB["trainingInput"], **change}}
    with pytest.raises(UsageError) as raised:
        schema.check(body, api="ml", schema="GoogleCloudMlV1__Job")
    assert said in str(raised.value)


def test_labels_may_have_any_names_but_only_text():
    found = schema.problems({"labels": {"a": "b", "c": 1}}, api="ml", schema="GoogleCloudMlV1__Job")
    assert [str(each) for each in found] == ["labels.c: 1: expected text, in quotes"]


def test_base64_and_times_are_looked_at():
    body = {"etag": "a", "createTime": "yesterday"}
    found = [str(each) for each in schema.problems(body, api="ml", schema="GoogleCloudMlV1__Job")]
    assert found == [
        'etag: "a": expected base64',
        'createTime: "yesterday": expected a time, such as 2026-01-31T12:00:00Z',
    ]
    whole = {"etag": "ab-_cd==", "createTime": "2026-01-31T12:00:00.5Z"}
    assert not schema.problems(whole, api="ml", schema="GoogleCloudMlV1__Job")


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["5", "3s"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


def places(body, path=()):
    """The path of everything in a body."""
    yield path
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def replaced(body, path, value):
    """The body with another value at a path."""
    if not path:
        return value
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[path[0]] = replaced(body[path[0]], path[1:], value)
    return copy


@given(st.sampled_from(sorted(places(JOB), key=str)), VALUES)
def test_a_second_opinion_says_the_same_of_any_mutation(path, value):
    body = replaced(JOB, path, value)
    found = schema.problems(body, api="ml", schema="GoogleCloudMlV1__Job")
    numbers = [each for each in places(body) if isinstance(at(body, each), float)]
    if any(at(body, each) != at(body, each) or abs(at(body, each)) == float("inf") for each in numbers):
        return  # JSON has no such numbers, and JSON Schema says nothing of them
    if any(isinstance(at(body, each), float) and at(body, each) == int(at(body, each)) for each in numbers):
        return  # 2.0 is an integer to JSON Schema
    assert bool(found) == (not second_opinion("ml", "GoogleCloudMlV1__Job").is_valid(body)), found
    for problem in found:
        assert problem.path[: len(path)] == path


def at(body, path):
    """What is at a path."""
    for part in path:
        body = body[part]
    return body
