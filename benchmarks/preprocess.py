"""Raw births to training files, beside the script that one would write for it with pandas.

    python -m benchmarks.preprocess 'raw/*.csv' OUTPUT           # ours
    python -m benchmarks.preprocess --peer 'raw/*.csv' OUTPUT    # theirs

Ours is the pipeline of `trainer.preprocess` on DirectRunner, with its shuffle, statistics and checksums. The peer keeps
the births, names their races, splits and writes them, in the order of the input; the lines are the same. Prints a JSON
object with the seconds from the first byte read to the last one on the disk, those since the process began, and a
digest of the sorted lines.
"""

import glob
import hashlib
import json
import os
import sys
import time
from pathlib import Path


def ours(pattern: str, output: str) -> dict[str, float]:
    """Seconds of the pipeline."""
    from trainer.preprocessing import blocks, folder, pipeline, plan
    from trainer.storage import paths

    began = time.monotonic()
    files = paths.expand([pattern])
    wanted = plan.of("csv", size=0, train=None, evaluation=None)
    recipe = {"input": folder.described(files)}
    with folder.begun(output, wanted.names):
        stats = pipeline.run(
            output,
            recipe,
            pipeline.of_blocks(blocks.cut(files)),
            wanted,
            layout="babyweight",
            runner="DirectRunner",
            flags=[],
        )
    return {"births": stats["births"], "seconds": time.monotonic() - began}


def theirs(pattern: str, output: str) -> dict[str, float]:
    """Seconds of pandas."""
    import pandas as pd

    from trainer.experiments.babyweight import SPEC
    from trainer.preprocessing import fingerprint
    from trainer.preprocessing.births import RACES

    began, births = time.monotonic(), 0
    columns = [name for name in SPEC.columns if name != "key"]
    Path(output).mkdir()
    with open(f"{output}/train.csv", "w") as train, open(f"{output}/eval.csv", "w") as evaluation:
        for path in sorted(glob.glob(pattern)):
            table = pd.read_csv(path)
            births += len(table)
            table = table.query(
                "year > 2000 and weight_pounds > 0 and mother_age > 0 and plurality > 0 and gestation_weeks > 0"
                " and month > 0"
            ).astype({"mother_age": int, "plurality": int, "gestation_weeks": float})
            table["mother_race"] = table["mother_race"].map(RACES).fillna("Unknown")
            for name in ("is_male", "mother_married", "cigarette_use", "alcohol_use"):
                table[name] = table[name].map({True: "True", False: "False"}).fillna("None")
            months = table["year"].astype(str) + table["month"].astype(str)
            evaluated = months.map({month: fingerprint.remainder(month, 4) == 3 for month in months.unique()})
            for file, part in ((train, table[~evaluated]), (evaluation, table[evaluated])):
                for line in part[columns].to_csv(header=False, index=False).splitlines():
                    file.write(f"{line},{hashlib.sha224(line.encode()).hexdigest()}\n")
    return {"births": births, "seconds": time.monotonic() - began}


def digest(output: str) -> str:
    """Of the lines of both parts, each sorted."""
    found = hashlib.sha256()
    for part in ("train", "eval"):
        lines = (line for path in Path(output).glob(f"{part}.csv*") for line in path.read_bytes().splitlines())
        found.update(b"\n".join(sorted(lines)))
    return found.hexdigest()


def since_start() -> float:
    """Seconds since this process began, as Linux has it."""
    with open("/proc/self/stat", encoding="ascii") as stat, open("/proc/uptime", encoding="ascii") as uptime:
        began = int(stat.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(uptime.read().split()[0]) - began


if __name__ == "__main__":
    words = sys.argv[1:]
    result = theirs(*words[1:]) if words[0] == "--peer" else ours(*words)
    result["whole_seconds"] = since_start()
    print(json.dumps(result | {"digest": digest(words[-1])}))
