"""Train babyweight from files as if none of their rows fitted in memory.

    python -m benchmarks.streamed DATA_DIR JOB_DIR STEPS_AN_EPOCH EPOCHS

Every epoch is read from the files. Prints a JSON object with the examples per second of each epoch and the most
memory that was resident, in GB.
"""

import dataclasses
import json
import resource
import sys

from trainer.experiments import babyweight
from trainer.inputs.batches import Shard, TrainBatches
from trainer.inputs.source import open_source
from trainer.training.loop import Trainer


def main(data_dir: str, job_dir: str, steps: int, epochs: int) -> None:
    """Train, and print."""
    files = {"train_files": (f"{data_dir}/train.csv*",), "eval_files": (f"{data_dir}/eval.csv*",)}
    limits = {"train_steps": epochs * steps, "eval_every": steps, "eval_steps": 1, "export_strategy": ("final",)}
    run = dataclasses.replace(babyweight.RUN, job_dir=job_dir, **files, **limits)
    source = open_source(run.train_files, babyweight.SPEC)

    def train_input_fn(shard: Shard) -> TrainBatches:
        return TrainBatches(source, batch_size=run.train_batch_size, seed=run.seed, shard=shard, memory_bytes=0)

    experiment = babyweight.build(babyweight.Config(), run)
    trainer = Trainer(dataclasses.replace(experiment, train_input_fn=train_input_fn), run, facts={})
    trainer.train_and_evaluate()
    speeds = [line["examples_per_second"] for line in trainer.held.journal.lines]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"examples_per_second": speeds, "peak_gb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
