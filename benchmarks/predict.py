"""Batch prediction with babyweight, beside the script that one would write for it.

    python -m benchmarks.predict EXPORT 'births/*.csv' OUTPUT           # ours
    python -m benchmarks.predict --peer EXPORT 'births/*.csv' OUTPUT    # theirs

Ours is `trainer.predict` into a folder. The peer reads with pandas in chunks, calls the signature of
`tf.saved_model.load`, and writes JSON lines with pandas, in chunks of as many rows as ours has in a call. Prints a JSON
object with the rows per second from the first row read to the last one on the disk, without the import of TensorFlow
and the loading of the export, on both sides.
"""

import glob
import json
import sys
import time


CHUNK = 16_384  # rows


def ours(export: str, pattern: str, output: str) -> dict[str, float]:
    """Rows per second of a folder of shards."""
    from trainer.prediction import recipe, sharded, writing
    from trainer.serving import model
    from trainer.storage import paths

    model.load(export)  # what the first one in a process costs
    made_of = recipe.of(export, paths.expand([pattern]), signature_name=None, form="json", shard_bytes=64 << 20)
    with sharded.begun(output, made_of) as lease:
        began = time.monotonic()
        summary = writing.run(output, made_of, batch_size=CHUNK, check=lease.check, interrupted=lambda: None)
        seconds = time.monotonic() - began
    return {"rows_per_second": summary.rows / seconds, "rows": summary.rows, "seconds": seconds}


def theirs(export: str, pattern: str, output: str) -> dict[str, float]:
    """Rows per second of pandas and a signature."""
    import pandas as pd
    import tensorflow as tf

    from trainer.experiments.babyweight import SPEC

    loaded = tf.saved_model.load(export)  # whose tables live as long as it does
    signature = loaded.signatures["serving_default"]
    kinds = {f.name: str if f.dtype == "string" else "float32" for f in SPEC.features}
    wanted = [*kinds, "key"]
    rows, began = 0, time.monotonic()
    with open(output, "w", encoding="utf-8") as file:
        for path in sorted(glob.glob(pattern)):
            chunks = pd.read_csv(
                path,
                names=list(SPEC.columns),
                usecols=wanted,
                dtype=kinds | {"key": str},
                na_values={name: ["None"] for name, kind in kinds.items() if kind == "float32"},
                keep_default_na=False,
                chunksize=CHUNK,
            )
            for chunk in chunks:
                answer = signature(**{name: tf.constant(chunk[name].to_numpy()) for name in kinds})
                table = pd.DataFrame({"key": chunk["key"].to_numpy(), "outputs": answer["outputs"].numpy()})
                table.to_json(file, orient="records", lines=True)
                rows += len(chunk)
    seconds = time.monotonic() - began
    return {"rows_per_second": rows / seconds, "rows": rows, "seconds": seconds}


if __name__ == "__main__":
    words = sys.argv[1:]
    print(json.dumps(theirs(*words[1:]) if words[0] == "--peer" else ours(*words)))
