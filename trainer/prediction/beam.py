"""A folder of predictions filled by an Apache Beam pipeline, on as many machines as its runner has.

    summary = beam.run(output, recipe, runner="DataflowRunner", flags=["--project", "p"], batch_size=16384)

The shards are those of a run without Beam, written and committed by the same code, and the pipeline itself seals the
folder. A worker learns all that it needs from the folder's `run.json`; so the folder, the export and the input have to
be where all workers see them. A shard that two workers write at once, as runners make them do, is whole all the same.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import apache_beam as beam

from trainer import pipelines
from trainer.errors import RunError
from trainer.prediction import recipe as recipes
from trainer.prediction import sharded
from trainer.prediction.recipe import Recipe
from trainer.prediction.sharded import Summary
from trainer.settings import command


LOADING = threading.Lock()
MODELS = WeakValueDictionary[str, Any]()  # Beam has a copy of the function in each thread of a worker
log = logging.getLogger("trainer.serving")


def check(output: str, recipe: Recipe, runner: str) -> None:
    """Raise `UsageError` for a path that the workers of a runner cannot see."""
    pipelines.check_visible(runner, [output, recipe.model, *(file.path for file in recipe.files)])


def run(output: str, recipe: Recipe, *, runner: str, flags: Sequence[str], batch_size: int) -> Summary:
    """Write the shards that are not there yet, and seal the folder. `flags` are the pipeline's own."""
    indices = [shard.index for shard in sharded.missing(output, recipe)]

    def build(pipeline: Any) -> None:
        rows = (
            pipeline
            | "shards" >> beam.Create(indices, reshuffle=True)
            | "predict" >> beam.ParDo(Predict(output, recipe.model, batch_size))
        )
        _ = rows | "all" >> beam.CombineGlobally(sum) | "seal" >> beam.Map(_seal, output)

    pipelines.run(build, runner=runner, flags=flags)
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
