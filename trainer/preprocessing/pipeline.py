"""Raw births to training files in an Apache Beam pipeline, on as many machines as its runner has.

    source = pipeline.of_blocks(blocks)              # or pipeline.of_table("publicdata.samples.natality")
    stats = pipeline.run(output, recipe, source, plan, layout="babyweight", runner="DataflowRunner", flags=[...])

Its elements are tables of rows as columns, never single rows. A block of the input becomes shares of the files; they
are grouped by file, and each file is sorted and written at once; the tallies of all blocks are merged; and when all
files are there, the pipeline itself writes `stats.json`. A file has to fit into a worker's memory a few times.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from trainer import pipelines
from trainer.errors import RunError
from trainer.preprocessing import bigquery, blocks, folder, layouts, raw, shards, tally
from trainer.preprocessing import births as rules
from trainer.preprocessing.blocks import Block
from trainer.preprocessing.folder import Recipe
from trainer.preprocessing.plan import PARTS, Plan
from trainer.preprocessing.shards import Written
from trainer.preprocessing.tally import Tally
from trainer.quality import statistics


NAMESPACE = "trainer.preprocess"  # of the counters that a runner shows
ROWS_A_TABLE = (4096, 65536)  # least and most, of rows from BigQuery
TALLY = "tally"
Source = Callable[[Any], Any]
"""A pipeline to the raw births in it, as tables."""


def run(
    output: str,
    recipe: Recipe,
    source: Source,
    plan: Plan,
    *,
    layout: str,
    runner: str,
    flags: Sequence[str],
) -> dict[str, Any]:
    """Write the files and `stats.json`, and return its content."""

    def build(pipeline: Any) -> None:
        made = source(pipeline) | "births" >> beam.ParDo(Births(layout, plan)).with_outputs(TALLY, main="shares")
        none = pipeline | "files" >> beam.Create(_nothing(layout, plan)).with_output_types(tuple[str, bytes])
        written = (
            (made.shares, none)
            | "shares" >> beam.Flatten().with_output_types(tuple[str, bytes])  # a key of a known type
            | "by file" >> beam.GroupByKey()
            | "write" >> beam.MapTuple(functools.partial(_write, output, plan.form))
        )
        total = made[TALLY] | "all births" >> beam.CombineGlobally(_merged)
        _ = (
            written
            | "all files" >> beam.combiners.ToList()
            | "seal" >> beam.Map(functools.partial(_seal, output, dict(recipe)), beam.pvalue.AsSingleton(total))
        )

    pipelines.run(build, runner=runner, flags=flags)
    stats = folder.finished(output, recipe)
    if stats is None:
        raise RunError(f"{output}: {runner} has ended and {folder.STATS} is not there; run the same command again")
    return stats


def of_blocks(cut: Sequence[Block]) -> Source:
    """The births in blocks of files."""
    return lambda pipeline: (
        pipeline | "blocks" >> beam.Create(cut, reshuffle=True) | "read" >> beam.FlatMap(blocks.read)
    )


def of_table(name: str) -> Source:
    """The births in a table of BigQuery that are kept: the others do not leave it."""
    query = bigquery.query(name)
    return lambda pipeline: of_rows(pipeline | "query" >> beam.io.ReadFromBigQuery(query=query, use_standard_sql=True))


def of_rows(rows: Any) -> Any:
    """Rows as BigQuery's reader gives them, as tables."""
    return rows | "batch" >> beam.BatchElements(*ROWS_A_TABLE) | "columns" >> beam.Map(raw.of_rows)


class Births(beam.DoFn):  # type: ignore[misc]
    """A table of raw births -> the shares of it that files have, as (name, packed rows); and a tally."""

    def __init__(self, layout: str, plan: Plan) -> None:
        self._layout = layout
        self._plan = plan

    def process(self, table: pa.Table) -> Iterator[Any]:
        """Yield the shares of a table, then its tally."""
        kept = rules.kept(table)
        for reason, count in kept.dropped.items():
            beam.metrics.Metrics.counter(NAMESPACE, f"dropped_{reason.partition(':')[0]}").inc(count)
        evaluated = rules.for_evaluation(kept.table)
        parts = {}
        for part, chosen in zip(PARTS, (~evaluated, evaluated), strict=True):
            rows = layouts.LAYOUTS[self._layout](kept.table.filter(pa.array(chosen)))
            parts[part] = statistics.of(rows)
            for name, share in shards.divided(shards.keyed(rows, self._plan.form), self._plan, part):
                yield name, shards.packed(share)
        yield beam.pvalue.TaggedOutput(TALLY, Tally(table.num_rows, kept.dropped, parts))


def _nothing(layout: str, plan: Plan) -> list[tuple[str, bytes]]:
    """No rows for each file, so that each is written."""
    empty = shards.packed(shards.keyed(layouts.LAYOUTS[layout](raw.SCHEMA.empty_table()), plan.form))
    return [(name, empty) for name in plan.names]


def _write(output: str, form: str, name: str, shares: Iterable[bytes]) -> Written:
    return shards.write(output, name, map(shards.unpacked, shares), form)


def _merged(tallies: Iterable[Tally]) -> Tally:
    return functools.reduce(tally.merged, tallies, tally.EMPTY)


def _seal(output: str, recipe: Recipe, written: list[Written], total: Tally) -> None:
    folder.seal(output, recipe, tally.to_json(total), written)
