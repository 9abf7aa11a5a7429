"""A folder of predictions filled by threads of this process.

    summary = writing.run(output, recipe, batch_size=16384, check=lease.check, interrupted=signals.remembered())

Each thread takes a whole shard from its first row to its commit, so that one reads or sends while another computes.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from trainer.prediction import batch, progress, sharded
from trainer.prediction.recipe import Recipe
from trainer.prediction.rows import Plan
from trainer.prediction.sharded import Shard, Summary, Written
from trainer.serving import model as serving
from trainer.serving.model import Model


THREADS = (os.cpu_count() or 1) + 1  # one waits for a disk or a bucket


class Interrupted(Exception):  # noqa: N818 -- it is no error
    """The run was asked to end before all was there."""

    def __init__(self, signal: int) -> None:
        super().__init__("asked to end")
        self.exit_code = 128 + signal


def run(
    output: str,
    recipe: Recipe,
    *,
    batch_size: int,
    check: Callable[[], None],
    interrupted: Callable[[], int | None],
) -> Summary:
    """Write the shards that are not there yet, and seal the folder. `check` may raise before each commit.

    The first error ends all, and what is committed stays. Raises `Interrupted` soon after `interrupted` says so.
    """
    model = serving.load(recipe.model)
    plan = batch.plan(model, signature_name=recipe.signature, batch_size=batch_size)
    todo = sharded.missing(output, recipe)
    shown = progress.start(time.monotonic, shards=len(todo), input_bytes=sum(shard.part.size for shard in todo))
    ending = threading.Event()

    def told(rows: int) -> None:
        if number := interrupted():
            raise Interrupted(number)
        if not ending.is_set():
            shown.update(rows)

    def write_one(shard: Shard) -> None:
        if not ending.is_set():
            written = write(model, plan, output, shard, form=recipe.form, told=told, check=check)
            shown.commit(shard.name, written.rows, shard.part.size)

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            futures = [pool.submit(write_one, shard) for shard in todo]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                ending.set()
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        shown.close()
    check()
    return sharded.seal(output, recipe)


def write(
    model: Model,
    plan: Plan,
    output: str,
    shard: Shard,
    *,
    form: str,
    told: Callable[[int], None],
    check: Callable[[], None],
) -> Written:
    """Predict and commit a shard. `told` gets the rows of each call, `check` comes before the commit; any may raise."""

    def chunks() -> Iterator[tuple[int, bytes]]:
        if form == "csv":
            yield 0, batch.header(plan, shard.part)
        for predictions in batch.of_part(model, plan, shard.part):
            text = predictions.as_csv() if form == "csv" else predictions.as_json()
            told(len(predictions))
            yield len(predictions), text

    return sharded.write(output, shard, chunks(), before_commit=check)
