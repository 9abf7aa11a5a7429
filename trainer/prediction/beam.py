"""A folder of predictions filled by an Apache Beam pipeline, on as many machines as its runner has.

    summary = beam.run(output, recipe, runner="DataflowRunner", flags=["--project", "p"], batch_size=16384)

The shards are those of a run without Beam, written and committed by the same code, and the pipeline itself seals the
folder. A worker learns all that it needs from the folder's `run.json`; so the folder, the export and the input have to
be where all workers see them. A shard that two workers write at once, as runners make them do, is whole all the same.
"""

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from trainer.errors import RunError, UsageError
from trainer.prediction import recipe as recipes
from trainer.prediction import sharded
from trainer.prediction.recipe import Recipe
from trainer.prediction.sharded import Summary
from trainer.settings import command
from trainer.storage import paths


REMOTE_ONLY = ("DataflowRunner",)  # whose workers see no disk of ours
OF_BEAM = "apache_beam.runners.common"  # logs a page of what we say in a line
LOADING = threading.Lock()
MODELS = WeakValueDictionary[str, Any]()  # Beam has a copy of the function in each thread of a worker
log = logging.getLogger("trainer.serving")


def check(output: str, recipe: Recipe, runner: str) -> None:
    """Raise `UsageError` for a path that the workers of a runner cannot see."""
    for path in (output, recipe.model, *(file.path for file in recipe.files)):
        if runner in REMOTE_ONLY and not paths.is_remote(path):
            raise UsageError(f"{path}: the workers of {runner} cannot see it; expected gs://BUCKET/PATH")


def run(output: str, recipe: Recipe, *, runner: str, flags: Sequence[str], batch_size: int) -> Summary:
    """Write the shards that are not there yet, and seal the folder. `flags` are the pipeline's own."""
    logging.getLogger(OF_BEAM).setLevel(logging.CRITICAL)
    indices = [shard.index for shard in sharded.missing(output, recipe)]
    try:
        pipeline = beam.Pipeline(options=PipelineOptions([*flags, "--runner", runner]))
        rows = (
            pipeline
            | "shards" >> beam.Create(indices, reshuffle=True)
            | "predict" >> beam.ParDo(Predict(output, recipe.model, batch_size))
        )
        _ = rows | "all" >> beam.CombineGlobally(sum) | "seal" >> beam.Map(_seal, output)
        pipeline.run().wait_until_finish()
    except Exception as error:  # whatever a runner raises, with the trace of a worker in its text
        raise RunError(f"{runner}: {_cause(error)}") from error
    summary = sharded.finished(output)
    if summary is None:
        raise RunError(f"{output}: {runner} has ended and not all shards are there; run the same command again")
    return summary


class Predict(beam.DoFn):  # type: ignore[misc]
    """The number of a shard -> its rows, once it is committed."""

    def __init__(self, output: str, model: str, batch_size: int) -> None:
        self._output = output
        self._export = model
        self._batch_size = batch_size

    def setup(self) -> None:
        """Load the export, once for all threads of a worker."""
        with command.quiet_tensorflow():
            from trainer.prediction import batch
            from trainer.serving import model

        self._recipe = _recipe(self._output)
        self._shards = sharded.shards(self._recipe)
        with LOADING:
            self._model = MODELS.get(self._export) or MODELS.setdefault(self._export, model.load(self._export))
        self._plan = batch.plan(self._model, signature_name=self._recipe.signature, batch_size=self._batch_size)

    def process(self, index: int) -> Iterator[int]:
        """Predict and commit a shard."""
        from trainer.prediction import writing

        shard = self._shards[index]
        counted = beam.metrics.Metrics.counter("trainer.predict", "rows")
        written = writing.write(
            self._model,
            self._plan,
            self._output,
            shard,
            form=self._recipe.form,
            told=counted.inc,
            check=lambda: None,
        )
        log.info("committed %s", shard.name, extra={"fields": {"shard": shard.name, "rows": written.rows}})
        yield written.rows


def _seal(rows: int, output: str) -> Any:
    del rows  # that they were counted is what counts
    return sharded.seal(output, _recipe(output)).rows


def _recipe(output: str) -> Recipe:
    found = recipes.load(output)
    if found is None:
        raise RunError(f"{output}: has no {recipes.RUN}; expected it where all workers see it")
    return found


def _cause(error: Exception) -> str:
    """What went wrong in a worker, on one line."""
    said = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return re.sub(r" *\[while running '.*'\]$", "", said)
