"""The process that builds the experiment, counts its rows, and has an export predict them; see `predictions`."""

import contextlib
import dataclasses
import itertools
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np

from trainer.errors import MissingError, RunError
from trainer.experiment import Experiment
from trainer.inputs.batches import EvalBatches, Shard
from trainer.inputs.source import Source
from trainer.inputs.spec import count_rows, take_rows
from trainer.reporting import classification, kinds, requests
from trainer.reporting.predictions import FileFacts, Found, Predicted, Question
from trainer.serving import protocol
from trainer.settings import command, experiments
from trainer.settings.run import Run
from trainer.storage import paths


COUNTED_BYTES = 1 << 30
COUNTED_BYTES_REMOTE = 64 << 20
"""The rows of files of up to this size together are counted, since that takes a reading of them."""
FILES_AT_ONCE = 16  # a bucket takes its time for each answer

Say = Callable[[int], None]


def main() -> None:
    """Answer the question on stdin; on stdout go numbers of rows, then the answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an experiment or a graph prints is no answer

    def send(message: int | Found) -> None:
        pickle.dump(message, answers)
        answers.flush()

    send(answer(pickle.load(sys.stdin.buffer), send))


def answer(question: Question, say: Say) -> Found:
    """All that can be found out."""
    known: dict[str, Any] = {}
    problems: dict[str, str] = {}
    with _noting(problems, "experiment"):
        module = experiments.load(question.experiment)
        known |= _flags(module)
    if not problems:
        with _noting(problems, "evaluation"):
            experiment, batch_size = _built(module, question)
            known |= {"metric": experiment.metric, "goal": experiment.goal}
            given = experiment.eval_input_fn(Shard())
            source = given.source if isinstance(given, EvalBatches) else None
            eval_files = source.files if source else question.eval_files
            known["eval_files"] = eval_files
            files: dict[str, FileFacts] = {}
            known["files"] = files
            for some in (eval_files, question.train_files):
                with _noting(problems, "data"):
                    files |= _files(some, source)
            if question.export:
                model = _loaded(question.export)
                known["signatures"] = model.signatures
                if source is None:
                    raise RunError(
                        "the evaluation input is a tf.data.Dataset, whose elements are what the model takes and not "
                        "what a request holds; expected trainer.inputs.batches.EvalBatches"
                    )
                known["predicted"] = _predicted(model, source, batch_size, say)
    return Found(**known, problems=problems)


@contextlib.contextmanager
def _noting(problems: dict[str, str], part: str) -> Iterator[None]:
    """Note why a part of the answer could not be had."""
    try:
        yield
    except RunError as error:
        problems[part] = str(error)
    except Exception as error:  # an experiment is anyone's code
        problems[part] = f"{type(error).__name__}: {' '.join(str(error).split())}"


def _flags(module: ModuleType) -> dict[str, Any]:
    """The defaults of the flags of an experiment, and what they mean."""
    own = getattr(module, "RUN", Run())
    defaults = {each.name: getattr(own, each.name) for each in dataclasses.fields(Run)}
    fields = [*dataclasses.fields(Run), *dataclasses.fields(module.Config)]
    defaults |= {each.name: each.default for each in dataclasses.fields(module.Config)}
    return {"defaults": defaults, "meanings": {each.name: each.metadata.get("help", "") for each in fields}}


def _built(module: ModuleType, question: Question) -> tuple[Experiment, int]:
    """The experiment as the run had it, and its batch size of an evaluation.

    What it trains on is not needed, and may be gone: it gets the evaluation files for those too.
    """
    run: Run = _restored(getattr(module, "RUN", Run()), question.flags)
    files = question.eval_files
    run = dataclasses.replace(
        run, train_files=files, eval_files=files, train_steps=run.train_steps or 1, num_epochs=None
    )
    names = {each.name for each in dataclasses.fields(module.Config)}
    config = module.Config(**{name: _plain(value) for name, value in question.flags.items() if name in names})
    experiment: Experiment = module.build(config, run)
    return experiment, run.eval_batch_size


def _restored(run: Run, flags: Mapping[str, Any]) -> Run:
    names = {each.name for each in dataclasses.fields(Run)}
    return dataclasses.replace(run, **{name: _plain(value) for name, value in flags.items() if name in names})


def _plain(value: Any) -> Any:
    """A flag's value as it was before it was JSON, which has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _files(files: Sequence[str], source: Source | None) -> dict[str, FileFacts]:
    """The size of each file, and its rows where its format is known and they are few enough to be counted."""
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        sizes = [entry.size for entry in pool.map(paths.stat, files)]
        limit = COUNTED_BYTES_REMOTE if any(map(paths.is_remote, files)) else COUNTED_BYTES
        rows: Iterable[int | None] = itertools.repeat(None)
        if source and sum(sizes) <= limit:
            rows = pool.map(lambda path: _rows(path, source), files)
        return {path: FileFacts(size, count) for path, size, count in zip(files, sizes, rows, strict=False)}


def _rows(path: str, source: Source) -> int | None:
    """The rows of a file; None where it has none, as one of labels beside their images."""
    try:
        return dataclasses.replace(source, files=(path,)).count_rows()
    except MissingError:
        raise
    except RunError:
        return None


def _loaded(export: str) -> Any:
    """The export in memory. Whatever the experiment needs of TensorFlow, it has imported by now."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # then TensorFlow imports no Keras: a graph needs none
    with command.quiet_tensorflow():
        from trainer.serving import model as serving  # seconds: not before all that is cheap is known to be right
    return serving.load(export)


def _predicted(model: Any, source: Source, batch_size: int, say: Say) -> Predicted:
    """Every row of the source once, in its order."""
    from trainer.serving import model as serving

    signature, spec = protocol.choose(model.signatures), source.spec
    scalars = [feature for feature in spec.features if not feature.shape]
    labels: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {feature.name: [] for feature in scalars}
    outputs: dict[str, list[np.ndarray]] = {}
    count = 0
    for unit in source.units:
        rows = source.read(unit)
        labels.append(rows[spec.label.name])
        for feature in scalars:
            columns[feature.name].append(rows[feature.name])
        for start in range(0, count_rows(rows), batch_size):
            few = take_rows(rows, slice(start, start + batch_size))
            answers = serving.call(model, signature, requests.of(signature, spec.features, few))
            for name, values in answers.items():
                if name not in signature.inputs:  # what it was only asked to pass on
                    outputs.setdefault(name, []).append(values)
            count += count_rows(few)
            say(count)
    if not count:
        raise RunError(f"{', '.join(source.files)}: no rows; expected at least one")
    found = Predicted(
        label=spec.label,
        features=spec.features,
        labels=np.concatenate(labels),
        columns={name: np.concatenate(parts) for name, parts in columns.items()},
        outputs={name: values for name, parts in outputs.items() if _are_numbers(values := np.concatenate(parts))},
    )
    return dataclasses.replace(found, pixels=_pixels(found, source))


def _are_numbers(values: np.ndarray) -> bool:
    return bool(np.issubdtype(values.dtype, np.number))


def _pixels(found: Predicted, source: Source) -> dict[int, np.ndarray]:
    """The images that a report shows, where the examples are images."""
    names = [feature.name for feature in found.features if feature.scale is not None]
    kind = kinds.of(found)
    if len(names) != 1 or not isinstance(kind, kinds.Classes) or kind.probabilities is None:
        return {}
    shown = {*classification.worst(kind.labels, kind.probabilities)}
    shown |= {*classification.least_certain(kind.probabilities)}
    wanted = {int(kind.rows[place]) for place in shown}
    pixels: dict[int, np.ndarray] = {}
    first = 0
    for unit in source.units:  # once more: all of them may be too many for the memory
        rows = source.read(unit)
        count = count_rows(rows)
        pixels |= {place: rows[names[0]][place - first] for place in wanted if first <= place < first + count}
        first += count
    return pixels


if __name__ == "__main__":
    main()
