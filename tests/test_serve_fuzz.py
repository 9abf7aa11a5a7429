"""Thousands of malformed bodies: none may be a failure of the server, and none may stay in its memory.

1,000 in `make test`; 20,000 with `-m slow`.
"""

import collections
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_serve import address, process

from tests.serving import ask_on, connect, is_ready, wait_until


WORD = "Asian Indian"
GOOD = {
    "is_male": "True",
    "mother_age": 26.0,
    "mother_race": WORD,
    "plurality": 1.0,
    "gestation_weeks": 39,
    "mother_married": "True",
    "cigarette_use": "False",
    "alcohol_use": "False",
}
PATHS = (
    "/v1/projects/p/models/babyweight/versions/v1:predict",
    "/v1/projects/p/locations/l/endpoints/babyweight:predict",
    "/v1/models/babyweight:predict",
    "/v1/models/mnist:predict",
)
SCALARS = (
    None, True, False, 0, -1, 1e308, -0.0, 10**30, 0.5, "", "\x00", "\ud800", "é", "NaN", "Infinity", "1", "True",
    "x" * 3000, "../../etc/passwd", "{{7*7}}", "%s%n", [], {}, [[]], {"b64": "AAE="}, {"b64": "!"}, {"b64": 1},
    {"b64": None, "x": 1}, {"b64": "w6k"}, [1, [2]], ["a", 1], [None], float("nan"), float("inf"), 2**63, -(2**63) - 1,
)  # fmt: skip
KEYS = (*GOOD, "key", "inputs", "examples", "b64", "", "\x00", "__class__", "signature_name", "instances", "é" * 50)

scalars = st.sampled_from(SCALARS) | st.floats() | st.integers() | st.text(max_size=20)
keys = st.sampled_from(KEYS)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=8
)


@st.composite
def instances(draw):
    """A good instance, or one with a key too many or too few, or with values that may not fit."""
    made = dict(GOOD)
    for key in draw(st.lists(st.sampled_from(list(GOOD)), max_size=1)):
        del made[key]
    return (
        made
        | draw(st.dictionaries(st.sampled_from(list(GOOD)), anything, max_size=2))
        | draw(st.sampled_from([{}, {}, {}, {"key": "k"}, {"": 1}]))
    )


@st.composite
def images(draw):
    """The pixels of an image, of which some may be none."""
    pixels = [draw(st.sampled_from([0, 0.5, 1]))] * draw(st.sampled_from([783, 784, 784, 785]))
    pixels[draw(st.integers(0, 782))] = draw(anything)
    return draw(st.sampled_from([pixels, {"inputs": pixels}, [pixels]]))


def of(listed, **others):
    return st.fixed_dictionaries({"instances": st.lists(listed, max_size=3)}, optional=others)


examples = st.sampled_from([{"b64": text} for text in ("", "AAE=", "CgA=", "//////8=")])
names = st.sampled_from(["serving_default", "serving_examples", "x", "", 1, None])
columns = st.fixed_dictionaries({key: st.lists(scalars | st.just(value), max_size=2) for key, value in GOOD.items()})
requests = (
    of(instances())
    | of(instances(), signature_name=names, parameters=anything)
    | of(images())
    | of(examples, signature_name=st.just("serving_examples"))
    | st.fixed_dictionaries({"inputs": columns | anything})
    | st.fixed_dictionaries({"instances": anything}, optional={"signature_name": anything})
    | anything
)
encoded = requests.map(lambda value: json.dumps(value).encode())
cut = st.tuples(encoded, st.integers(0, 300), st.binary(max_size=3), st.integers(0, 300)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] : parts[1] + parts[3]]
)
deep = st.tuples(st.sampled_from([b"[", b'{"a":', b'{"instances":[']), st.sampled_from([1, 10, 5000])).map(
    lambda parts: parts[0] * parts[1]
)
bodies = encoded | encoded | cut | deep | st.binary(max_size=200)


def resident_bytes(connection):
    text = ask_on(connection, "/metrics").content.decode()
    return float(
        next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes")).split()[1]
    )


@pytest.mark.parametrize("number", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_no_body_is_a_failure_of_the_server_and_none_stays_in_memory(babyweight_job, mnist_job, number):
    models = ("--model", f"babyweight={babyweight_job}", "--model", f"mnist={mnist_job}")
    statuses, resident = collections.Counter(), []

    @settings(max_examples=number, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PATHS), bodies)
    def send(path, sent):
        answer = ask_on(connection, path, sent)
        statuses[answer.status] += 1
        if statuses.total() == number // 4:  # what is made once is made by now
            resident.append(resident_bytes(connection))
        assert answer.status in (200, 400), answer
        shown = json.dumps(answer.content)
        assert not [word for word in ("Traceback", ".py", "/tmp", "/usr", "/home") if word in shown], shown
        assert answer.content.keys() & {"predictions", "outputs", "error"}, shown

    with process(*models, "--port", "0") as (started, lines):
        url = address(lines)
        wait_until(lambda: is_ready(url))
        connection = connect(url)
        send()
        assert ask_on(connection, PATHS[0], {"instances": [GOOD]}).status == 200
        assert resident_bytes(connection) < 1.05 * resident[0]
        connection.close()
        assert started.poll() is None
        assert not [line for line in lines if '"severity": "ERROR"' in line]
    assert statuses[200] >= number // 500, statuses  # good ones were there too
