"""The peer: LightGBM on the real births, to its RMSE.

    python benchmarks/peers/lightgbm_babyweight.py 'natality/train.csv*' 'natality/eval.csv*'

Prints a JSON object: with default parameters, with 200 trees of 15 leaves and tuned, the seconds from reading the files
to the trained model, its trees and its RMSE. The tuned one stops early by the evaluation rows themselves, which
flatters it a little.
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
    """Train with LightGBM's default parameters, and as an expert does, with early stopping; print."""
    found = {}
    for name, parameters, rounds in (
        ("defaults", {}, 100),
        ("200 trees of 15 leaves", {"learning_rate": 0.05, "num_leaves": 15}, 200),
        ("tuned", {"learning_rate": 0.03, "num_leaves": 31}, 2000),
    ):
        began = time.monotonic()
        (x, y), (held_x, held_y) = columns(train, evaluation)
        data = lightgbm.Dataset(x, y)
        early = (
            {
                "valid_sets": [lightgbm.Dataset(held_x, held_y, reference=data)],
                "callbacks": [lightgbm.early_stopping(50, verbose=False)],
            }
            if name == "tuned"
            else {}
        )
        settings = {"objective": "regression", "verbose": -1, **parameters}
        model = lightgbm.train(settings, data, num_boost_round=rounds, **early)
        seconds = time.monotonic() - began
        rmse = float(np.sqrt(np.mean((model.predict(held_x) - held_y) ** 2)))
        found[name] = {"seconds": seconds, "rmse": rmse, "trees": model.current_iteration()}
    print(json.dumps(found))


def columns(train, evaluation):
    """(features, label) of the training and of the evaluation rows, words as categories."""
    frames = [frame(pattern) for pattern in (train, evaluation)]
    for name in WORDS:
        kinds = pd.CategoricalDtype(sorted({*frames[0][name], *frames[1][name]}))
        for each in frames:
            each[name] = each[name].astype(kinds)
    return [(each.drop(columns="weight_pounds"), each["weight_pounds"]) for each in frames]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
