"""Requests that wait at the same moment become one call of the model.

    batcher = Batcher(model, Batching())
    predictions = await batcher.predict(signature, instances)     # in the event loop; the call is in a thread

A request is never held back by default: while one call runs, what comes in the meantime waits for the next and shares
it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from trainer.errors import RunError
from trainer.serving import model as calling
from trainer.serving import protocol
from trainer.serving.model import Model
from trainer.serving.options import Batching
from trainer.serving.protocol import PredictionError, Signature


Predictions = list[dict[str, Any]]


class OverloadedError(RunError):
    """So many requests wait already that this one would only wait in vain."""


class SlowError(RunError):
    """The model did not answer in time."""


@dataclass(frozen=True)
class Waiting:
    """A request until it is answered."""

    signature: Signature
    instances: list[Any]
    answer: "asyncio.Future[Predictions]"


class Batcher:
    """The requests that wait for one model; belongs to the event loop, which makes and asks it.

    Its threads end when nobody holds it any more: then all requests are answered. `observe` is told the instances and
    the seconds of each call, in the thread of the call.
    """

    def __init__(self, model: Model, batching: Batching, observe: Callable[[int, float], None]) -> None:
        self._model = model
        self._batching = batching
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(batching.num_batch_threads, thread_name_prefix="batch")
        self._waiting: deque[Waiting] = deque()
        self._instances = 0  # of all that wait
        self._calls = 0  # that run
        self._soon: asyncio.Handle | None = None  # a call is about to start
        self._later: asyncio.TimerHandle | None = None  # it starts then, with what there is

    async def predict(self, signature: Signature, instances: list[Any], *, seconds: float) -> Predictions:
        """One prediction per instance, in order.

        Raises `PredictionError`; `OverloadedError`, at once; and `SlowError` after so many seconds.
        """
        batching = self._batching
        if self._waiting and self._instances >= batching.max_enqueued_batches * batching.max_batch_size:
            raise OverloadedError(f"overloaded: {self._instances} instances wait already; ask again later")
        waiting = Waiting(signature, instances, self._loop.create_future())
        self._waiting.append(waiting)
        self._instances += len(instances)
        self._start_soon()
        timer = self._loop.call_later(seconds, _give_up, waiting, seconds)  # a third of what asyncio.wait_for takes
        try:
            return await waiting.answer
        finally:
            timer.cancel()

    def _start_soon(self) -> None:
        """Have a call started after what the event loop has at hand: requests that came together share it."""
        if self._calls >= self._batching.num_batch_threads or self._soon:
            return
        if self._batching.batch_timeout_micros and self._instances < self._batching.max_batch_size:
            delay = self._batching.batch_timeout_micros / 1e6
            self._later = self._later or self._loop.call_later(delay, self._start_call)
        else:
            self._soon = self._loop.call_soon(self._start_call)

    def _start_call(self) -> None:
        if self._later:
            self._later.cancel()
        self._soon = self._later = None
        if not self._waiting or self._calls >= self._batching.num_batch_threads:
            return
        batch = self._next_batch()
        self._calls += 1
        self._loop.run_in_executor(self._threads, self._run, batch)
        if self._waiting:
            self._start_soon()

    def _next_batch(self) -> list[Waiting]:
        """The first that waits, and with it those of the same signature that fit into one call."""
        first = self._waiting.popleft()
        batch, size = [first], len(first.instances)
        if is_joinable(first.signature):
            others: deque[Waiting] = deque()
            while self._waiting and size < self._batching.max_batch_size:
                waiting = self._waiting.popleft()
                fits = size + len(waiting.instances) <= self._batching.max_batch_size
                if fits and waiting.signature is first.signature:
                    batch.append(waiting)
                    size += len(waiting.instances)
                else:
                    others.append(waiting)
            self._waiting.extendleft(reversed(others))
        self._instances -= size
        return batch

    def _run(self, batch: Sequence[Waiting]) -> None:
        """In a thread: call the model, and hand the answers to the event loop, all at once."""
        start = time.perf_counter()
        answers: Sequence[Predictions | Exception]
        try:
            answers = answer(self._model, batch[0].signature, [waiting.instances for waiting in batch])
        except Exception as error:  # not one of ours: whoever waits must still hear of it
            answers = [error] * len(batch)
        self._observe(sum(len(waiting.instances) for waiting in batch), time.perf_counter() - start)
        self._loop.call_soon_threadsafe(self._finish, batch, answers)

    def _finish(self, batch: Sequence[Waiting], answers: Sequence[Predictions | Exception]) -> None:
        self._calls -= 1
        for waiting, found in zip(batch, answers, strict=True):
            if waiting.answer.done():  # whoever asked has given up
                continue
            if isinstance(found, Exception):
                waiting.answer.set_exception(found)
            else:
                waiting.answer.set_result(found)
        if self._waiting:
            self._start_soon()


def answer(model: Model, signature: Signature, requests: Sequence[list[Any]]) -> list[Predictions | PredictionError]:
    """The predictions of each request, all of one call where that is possible.

    Where it is not, since an instance is wrong or the model does not answer row by row, each request has a call of its
    own, so that none fails for another's sake.
    """
    try:
        joined = [instance for instances in requests for instance in instances]
        predictions = _predict(model, signature, joined)
        if len(requests) == 1:
            return [predictions]
        if len(predictions) == len(joined):
            rest = iter(predictions)
            return [[next(rest) for _ in instances] for instances in requests]
    except PredictionError as error:
        if len(requests) == 1:
            return [error]
    return [found for instances in requests for found in answer(model, signature, [instances])]


def is_joinable(signature: Signature) -> bool:
    """Whether a signature takes any number of rows and returns as many."""
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    return all(tensor.shape and tensor.shape[0] is None for tensor in tensors)


def _give_up(waiting: Waiting, seconds: float) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(SlowError(f"no answer within {seconds:g} seconds"))


def _predict(model: Model, signature: Signature, instances: list[Any]) -> Predictions:
    return protocol.rows(calling.call(model, signature, protocol.columns(signature, instances)))
