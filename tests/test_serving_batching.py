"""Requests that share a call of a real model."""

import asyncio
import threading

import pytest
from test_serving_model import write_model

from trainer.serving import model as calling
from trainer.serving.batching import Batcher, OverloadedError, SlowError, answer, is_joinable
from trainer.serving.options import Batching
from trainer.serving.protocol import PredictionError


TRUE, FALSE = {"is_male": "True", "mother_age": 26}, {"is_male": "False", "mother_age": 29.0}
SECONDS = 30.0
TOGETHER = Batching(batch_timeout_micros=100_000, num_batch_threads=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("model") / "export")
    write_model(folder)
    return calling.load(folder)


def run(model, batching, *requests):
    """What each of `(signature, instances)` gets when they are sent at the same moment, and the sizes of the calls."""
    sizes = []

    async def all_at_once():
        batcher = Batcher(model, batching, lambda size, seconds: sizes.append(size))
        asked = [batcher.predict(model.signatures[n], i, seconds=SECONDS) for n, i in requests]
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(all_at_once()), sizes


def test_requests_at_the_same_moment_share_a_call_and_get_their_own_rows(model):
    requests = [("serving_default", instances) for instances in ([TRUE], [FALSE, TRUE], [FALSE])]
    answers, sizes = run(model, Batching(), *requests)
    assert answers == [[{"outputs": 14.0}], [{"outputs": 16.5}, {"outputs": 14.0}], [{"outputs": 16.5}]]
    assert sizes == [4]


def test_a_request_that_is_wrong_does_not_fail_the_others(model):
    wrong = {"is_male": "True", "mother_age": "old"}
    answers, sizes = run(model, Batching(), *(("serving_default", [one]) for one in (TRUE, wrong, FALSE)))
    assert answers[0] == [{"outputs": 14.0}]
    assert isinstance(answers[1], PredictionError)
    assert 'instances[0].mother_age: "old"' in str(answers[1])  # counted in its own request
    assert answers[2] == [{"outputs": 16.5}]
    assert sizes == [3]


def test_requests_for_different_signatures_do_not_share_a_call(model):
    requests = [("column", [[1]]), ("narrow", [1]), ("column", [[2]])]
    answers, sizes = run(model, TOGETHER, *requests)
    assert answers == [[{"predictions": [2.0]}], [{"y": 2.0}], [{"predictions": [4.0]}]]
    assert sorted(sizes) == [1, 2]


def test_a_signature_that_does_not_answer_row_by_row_is_called_for_each_request(model):
    answers, sizes = run(model, TOGETHER, ("total", [1, 2]), ("total", [3]))
    assert answers == [[{"y": 3.0}], [{"y": 3.0}]]
    assert sorted(sizes) == [1, 2]
    assert not is_joinable(model.signatures["total"])
    assert is_joinable(model.signatures["serving_default"])


def test_rows_of_another_number_than_the_instances_are_never_given_to_the_wrong_request(model):
    """`uneven` says that it answers row by row, and does not."""
    assert is_joinable(model.signatures["uneven"])
    answers, _ = run(model, TOGETHER, ("uneven", [1.0]), ("uneven", [2.0]))
    assert all(isinstance(found, PredictionError) for found in answers)
    assert [found.code for found in answers] == [3, 3]


class Fewer:
    """A model whose signature says that it answers row by row, and leaves out the first row of a call."""

    def __init__(self, model):
        self.signatures = model.signatures
        self.functions = {**model.functions, "narrow": lambda x: [model.functions["narrow"](x)[0][1:]]}


def test_rows_that_are_too_few_are_not_shared_out(model):
    signature = model.signatures["narrow"]
    assert answer(Fewer(model), signature, [[1], [2, 3]]) == [[], [{"y": 6.0}]]


def test_what_does_not_fit_into_a_call_keeps_its_place(model):
    requests = [("column", [[1]]), ("narrow", [1, 2, 3]), ("narrow", [4])]
    batching = Batching(max_batch_size=3, num_batch_threads=1, batch_timeout_micros=1)
    _, sizes = run(model, batching, *requests)
    assert sizes == [1, 3, 1]


def test_lists_of_different_lengths_are_called_apart(model):
    signature = model.signatures["echo"]
    found = answer(model, signature, [["a"], [{"b64": "/w=="}], ["b"]])  # the second is no text
    assert [type(one) for one in found] == [list, PredictionError, list]


def test_a_call_has_no_more_than_the_most_instances(model):
    requests = [("serving_default", [TRUE] * size) for size in (3, 3, 2, 5, 1)]
    answers, sizes = run(model, Batching(max_batch_size=4, num_batch_threads=1), *requests)
    assert [len(found) for found in answers] == [3, 3, 2, 5, 1]
    assert sorted(sizes) == [3, 5, 6] or max(sizes) == 5  # 3+1, 3, 2 and the 5 that fit into none
    assert all(size <= 4 or size == 5 for size in sizes)
    assert sum(sizes) == 14


def test_a_call_waits_for_more_no_longer_than_it_may(model):
    async def one_after_the_other(batching):
        sizes = []
        batcher = Batcher(model, batching, lambda size, seconds: sizes.append(size))
        first = asyncio.ensure_future(batcher.predict(model.signatures["narrow"], [1], seconds=SECONDS))
        await asyncio.sleep(0.02)
        second = batcher.predict(model.signatures["narrow"], [2], seconds=SECONDS)
        await asyncio.gather(first, second)
        return sizes

    assert asyncio.run(one_after_the_other(Batching(batch_timeout_micros=2_000_000))) == [2]
    assert asyncio.run(one_after_the_other(Batching())) == [1, 1]


def test_a_call_that_is_full_waits_no_longer(model):
    async def one_after_the_other():
        sizes = []
        batching = Batching(max_batch_size=2, batch_timeout_micros=10**9)
        batcher = Batcher(model, batching, lambda size, seconds: sizes.append(size))
        first = asyncio.ensure_future(batcher.predict(model.signatures["narrow"], [1], seconds=SECONDS))
        await asyncio.sleep(0.02)
        second = batcher.predict(model.signatures["narrow"], [2], seconds=SECONDS)
        return await asyncio.gather(first, second), sizes

    assert asyncio.run(one_after_the_other()) == ([[{"y": 2.0}], [{"y": 4.0}]], [2])


class Slow:
    """A model's signature that takes as long as it is told to."""

    def __init__(self, model):
        self.go = threading.Event()
        self.model = model
        self.signatures = model.signatures
        self.functions = {**model.functions, "narrow": self}

    def __call__(self, *columns):
        assert self.go.wait(SECONDS)
        return self.model.functions["narrow"](*columns)


def test_a_slow_call_holds_up_neither_the_event_loop_nor_other_calls(model):
    slow = Slow(model)

    async def others():
        batcher = Batcher(slow, Batching(num_batch_threads=2), lambda size, seconds: None)
        held = asyncio.ensure_future(batcher.predict(slow.signatures["narrow"], [1], seconds=SECONDS))
        await asyncio.sleep(0.01)
        quick = await batcher.predict(slow.signatures["column"], [[1]], seconds=SECONDS)
        assert not held.done()
        slow.go.set()
        return quick, await held

    assert asyncio.run(others()) == ([{"predictions": [2.0]}], [{"y": 2.0}])


def test_more_than_may_wait_is_turned_away_at_once(model):
    slow = Slow(model)

    async def too_many():
        batching = Batching(max_batch_size=2, max_enqueued_batches=2, num_batch_threads=1)
        batcher = Batcher(slow, batching, lambda size, seconds: None)
        narrow = slow.signatures["narrow"]
        held = [asyncio.ensure_future(batcher.predict(narrow, [1], seconds=SECONDS))]
        await asyncio.sleep(0.01)  # it runs now
        held += [asyncio.ensure_future(batcher.predict(narrow, [1], seconds=SECONDS)) for _ in range(4)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match="4 instances wait already"):
            await batcher.predict(narrow, [1], seconds=SECONDS)
        slow.go.set()
        return await asyncio.gather(*held)

    assert asyncio.run(too_many()) == [[{"y": 2.0}]] * 5


def test_who_waits_too_long_is_told_and_the_rest_go_on(model):
    slow = Slow(model)

    async def impatient():
        batcher = Batcher(slow, Batching(num_batch_threads=1), lambda size, seconds: None)
        narrow = slow.signatures["narrow"]
        patient = asyncio.ensure_future(batcher.predict(narrow, [2], seconds=SECONDS))
        with pytest.raises(SlowError):
            await batcher.predict(narrow, [1], seconds=0.05)
        slow.go.set()
        return await patient

    assert asyncio.run(impatient()) == [{"y": 4.0}]


def test_the_threads_end_with_the_last_request_when_nobody_holds_the_batcher(model):
    async def dropped():
        before = threading.active_count()
        batcher = Batcher(model, TOGETHER, lambda size, seconds: None)
        waiting = asyncio.ensure_future(batcher.predict(model.signatures["narrow"], [1], seconds=SECONDS))
        await asyncio.sleep(0)
        del batcher
        assert await waiting == [{"y": 2.0}]
        del waiting
        while threading.active_count() > before:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(dropped(), SECONDS))
