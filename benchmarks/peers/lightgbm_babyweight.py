"""The peer: LightGBM on the real births, to its RMSE.

    python benchmarks/peers/lightgbm_babyweight.py 'natality/train.csv*' 'natality/eval.csv*'

Prints a JSON object with the seconds from reading the files to the trained model, its trees and its RMSE.
"""

import glob
import json
import sys
import time

import lightgbm
import numpy as np
import pandas as pd


COLUMNS = (
    *("weight_pounds", "is_male", "mother_age", "mother_race", "plurality", "gestation_weeks"),
    *("mother_married", "cigarette_use", "alcohol_use", "key"),
)
WORDS = ("is_male", "mother_race", "mother_married", "cigarette_use", "alcohol_use")


def frame(pattern):
    """The rows of the files that a glob matches."""
    parts = [pd.read_csv(file, names=COLUMNS, keep_default_na=False) for file in sorted(glob.glob(pattern))]
    return pd.concat(parts, ignore_index=True).drop(columns="key")


def main(train, evaluation):
    """Train with early stopping, and print."""
    began = time.monotonic()
    frames = [frame(pattern) for pattern in (train, evaluation)]
    for name in WORDS:
        kinds = pd.CategoricalDtype(sorted({*frames[0][name], *frames[1][name]}))
        for each in frames:
            each[name] = each[name].astype(kinds)
    (x, y), (ex, ey) = ((each.drop(columns="weight_pounds"), each["weight_pounds"]) for each in frames)
    data = lightgbm.Dataset(x, y)
    model = lightgbm.train(
        {"objective": "regression", "learning_rate": 0.03, "num_leaves": 31, "verbose": -1},
        data,
        num_boost_round=2000,
        valid_sets=[lightgbm.Dataset(ex, ey, reference=data)],
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )
    seconds = time.monotonic() - began
    rmse = float(np.sqrt(np.mean((model.predict(ex) - ey) ** 2)))
    print(json.dumps({"seconds": seconds, "rmse": rmse, "trees": model.best_iteration}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
