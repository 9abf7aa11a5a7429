"""What takes the experiment's own code or TensorFlow, from a process of its own: it works while the page is drawn.

    with predictions.asked(Question(...), environ) as answer:
        ...                                             # draw what is known already
        found = answer(lambda rows: None)               # waits; `found.problems` says what could not be had

The process is `python -m trainer.reporting.evaluating`. What goes wrong in it, a model that cannot be loaded or an
experiment that raises, is words in the answer, since the rest of a report stands without it.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from trainer.experiment import Goal
from trainer.inputs.spec import Feature
from trainer.serving.protocol import Signature


ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",  # the GPUs may be a training's
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
OF_THE_CLUSTER = ("TF_CONFIG", "CLUSTER_SPEC")
WORDS = 300  # characters of what it said last


@dataclass(frozen=True)
class Question:
    """What to find out."""

    experiment: str
    flags: Mapping[str, Any]  # of run.json
    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]  # files, or globs
    export: str | None  # None: predict nothing


@dataclass(frozen=True)
class Predicted:
    """The predictions of an export for every example of the evaluation files, once, in their order."""

    label: Feature
    features: tuple[Feature, ...]
    labels: np.ndarray  # (N,), encoded: of a category its place in the vocabulary
    columns: Mapping[str, np.ndarray]  # the scalar features, (N,), encoded
    outputs: Mapping[str, np.ndarray]  # (N,) or (N, K) numbers by response key
    pixels: Mapping[int, np.ndarray] = field(default_factory=dict)  # of some examples, uint8, by their places

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FileFacts:
    """An input file. `rows` is None where they are not counted."""

    size: int  # bytes
    rows: int | None


@dataclass(frozen=True)
class Found:
    """The answer; what could not be had is empty, and `problems` says why, by what it is."""

    defaults: Mapping[str, Any] = field(default_factory=dict)  # of the flags
    meanings: Mapping[str, str] = field(default_factory=dict)  # their lines of help
    metric: str | None = None
    goal: Goal | None = None
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    eval_files: tuple[str, ...] = ()
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    predicted: Predicted | None = None
    problems: Mapping[str, str] = field(default_factory=dict)  # by "experiment", "data", "evaluation"


@contextlib.contextmanager
def asked(question: Question, environ: Mapping[str, str]) -> Iterator[Callable[[Callable[[int], None]], Found]]:
    """Ask, and yield what waits for the answer; it tells how many rows are predicted meanwhile.

    The process is gone after the block, whatever happens in it.
    """
    variables = {name: value for name, value in environ.items() if name not in OF_THE_CLUSTER}
    own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # where this process finds the experiment
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer.reporting.evaluating"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**variables, **ENVIRONMENT, **own},
        )
        try:
            assert process.stdin
            with contextlib.suppress(BrokenPipeError), process.stdin:
                pickle.dump(question, process.stdin)
            yield lambda said: _answer(process, stderr, said)
        finally:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


def _answer(process: subprocess.Popen[bytes], stderr: IO[bytes], said: Callable[[int], None]) -> Found:
    assert process.stdout
    try:
        while True:
            message = pickle.load(process.stdout)
            if isinstance(message, Found):
                return message
            said(message)
    except (EOFError, pickle.UnpicklingError):
        process.wait()
        stderr.seek(0)
        lines = stderr.read().decode(errors="replace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line[:1].isalpha()), "")
    code = process.returncode
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    problem = f"the process that predicts {how}" + (f": {words[:WORDS]}" if words else "")
    return Found(problems={"evaluation": problem})
