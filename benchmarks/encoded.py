"""The rows of babyweight as the arrays that a script of PyTorch would have in memory.

    python -m benchmarks.encoded 'data/train.csv*' 'data/eval.csv*' ENCODED.npz

Of each row the indices (N, 7) of its words and ranges in one table, the race (N,), three numbers and the label.
"""

import sys

import numpy as np

from benchmarks.keras_expert import columns
from trainer.experiments import babyweight


def arrays(pattern: str) -> dict[str, np.ndarray]:
    """Those of the files that a glob matches."""
    rows, offset, indices = columns(pattern), 0, []
    for feature in babyweight.SPEC.features:
        if feature.vocabulary:
            indices.append(rows[feature.name].astype(np.int64) + offset)
            offset += len(feature.vocabulary) + 1
    for name, boundaries in babyweight.BOUNDARIES.items():
        indices.append(np.searchsorted(boundaries, rows[name], side="right") + offset)
        offset += len(boundaries) + 1
    scaled = [(rows[name] - mean) / deviation for name, (mean, deviation) in babyweight.MEAN_AND_DEVIATION.items()]
    order = [list(babyweight.MEAN_AND_DEVIATION).index(name) for name in ("mother_age", "gestation_weeks", "plurality")]
    return {
        "indices": np.stack(indices, axis=1),
        "race": rows["mother_race"].astype(np.int64),
        "numbers": np.stack([scaled[i] for i in order], axis=1).astype(np.float32),
        "label": rows[babyweight.SPEC.label.name].astype(np.float32),
    }


if __name__ == "__main__":
    made = {f"train_{name}": value for name, value in arrays(sys.argv[1]).items()}
    made |= {f"eval_{name}": value for name, value in arrays(sys.argv[2]).items()}
    np.savez(sys.argv[3], **made)
