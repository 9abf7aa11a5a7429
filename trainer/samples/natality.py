"""Simulated US births, in the columns and words of the 2017 files.

    births = natality.simulate(30_000, seed=1)           # {"weight_pounds": float64 (30000,), "is_male": ...}

No row is a real birth. Shares, means and spreads are those of 369,313 US births of 2006 (smoking: 99,863 of 2014).
Weeks 17 to 27 and 43 to 47, which those leave out, follow 31,344 births of 2001 to 2008, BigQuery's natality sample;
there most births after week 42 are misdated, and weigh as usual. The shares of single races, how race, marriage,
cigarettes and alcohol go together, and how often an answer is missing are round guesses, set so that the raw
differences in weight come out right.

At a given week weights spread 3 % wider than in 2006: that brings the whole near to the births of 2001 to 2008, whose
weeks were dated less well. Predicting the mean then has an RMSE of 1.33 pounds (on the real births 1.308), and linear
regression on sex, age, plurality and weeks one of 1.03 (1.078). tests/test_samples_babyweight.py holds each figure to
its tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt


Births = dict[str, npt.NDArray[Any]]  # a column's name to its values, each (rows,)
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trait:
    """What some births have, and what it does to them."""

    share: float
    pounds: float  # on the weight at a given week
    timing: float = 0.0  # on the normal score behind the week: one unit is about two weeks, less than zero is early


POUNDS_PER_GRAM = 0.00220462262  # weights in the files are whole grams times exactly this
LIGHTEST_GRAMS, HEAVIEST_GRAMS = 227, 8165
YOUNGEST, OLDEST = 12, 50
AGE_BETA = (3.58, 5.26)  # gives years of mean 27.3 and standard deviation 6.1
OLDER_FOR_MULTIPLE = 2.0  # years

PLURALITY = (0.966, 0.0324, 0.0015, 0.0001)  # shares of 1, 2, 3 and 4 children
SINGLE_BY_WEEK = {  # relative share, mean pounds, standard deviation
    17: (0.00005, 0.90, 0.25),
    18: (0.00005, 0.90, 0.25),
    19: (0.0001, 0.95, 0.25),
    20: (0.0001, 1.00, 0.30),
    21: (0.0002, 1.10, 0.35),
    22: (0.0003, 1.20, 0.40),
    23: (0.0004, 1.30, 0.45),
    24: (0.0005, 1.50, 0.60),
    25: (0.0006, 1.70, 0.70),
    26: (0.0007, 2.00, 0.85),
    27: (0.0009, 2.35, 1.00),
    28: (0.0014, 2.72, 1.13),
    29: (0.0017, 3.08, 1.17),
    30: (0.0020, 3.45, 1.20),
    31: (0.0028, 3.80, 1.10),
    32: (0.0039, 4.14, 0.98),
    33: (0.0063, 4.65, 1.00),
    34: (0.0100, 5.17, 1.02),
    35: (0.0175, 5.72, 1.02),
    36: (0.0383, 6.23, 1.01),
    37: (0.0866, 6.72, 1.01),
    38: (0.2109, 7.19, 0.97),
    39: (0.3043, 7.50, 0.94),
    40: (0.2375, 7.72, 0.95),
    41: (0.0666, 7.98, 0.97),
    42: (0.0054, 8.10, 1.04),
    43: (0.0155, 7.58, 1.06),
    44: (0.0077, 7.77, 1.04),
    45: (0.0047, 7.67, 1.16),
    46: (0.0019, 7.46, 1.02),
    47: (0.0016, 7.47, 1.09),
}
SPREAD = 1.03  # times the standard deviations of 2006
WEEKS_OF_MULTIPLE = {2: (35.0, 3.3), 3: (32.3, 3.5), 4: (30.0, 3.5)}  # mean, standard deviation
# By week, less than a single child of that week.
TWIN_LACKS_POUNDS = {28: 0.0, 32: 0.2, 35: 0.5, 36: 0.7, 39: 1.2, 40: 1.7, 42: 1.9}
TRIPLET_LACKS_POUNDS = 0.25  # less than a twin, and a quadruplet less than a triplet
MULTIPLE_SPREAD = 0.85  # of the standard deviation of single children

MALE = Trait(share=0.5117, pounds=0.28)
BLACK = Trait(share=0.156, pounds=-0.40, timing=-0.20)
UNMARRIED = Trait(share=0.385, pounds=-0.06, timing=-0.05)
SMOKING = Trait(share=0.084, pounds=-0.32, timing=-0.08)
DRINKING = Trait(share=0.032, pounds=-0.25, timing=-0.12)
RACES = {
    "White": 0.770,
    "Black": BLACK.share,
    "American Indian": 0.011,
    "Chinese": 0.010,
    "Japanese": 0.003,
    "Hawaiian": 0.002,
    "Filipino": 0.008,
    "Unknown": 0.022,
    "Asian Indian": 0.009,
    "Korean": 0.004,
    "Samaon": 0.001,
    "Vietnamese": 0.004,
}
UNANSWERED = 0.1  # of the questions on cigarettes and alcohol, each
AGE_POUNDS = {13: -0.46, 15: -0.42, 21: -0.13, 27: 0.04, 36: 0.10, 40: 0.04, 46: -0.18}
EFFECTS_VARIANCE = 0.06  # pounds squared, of all the effects above on a birth of a usual week
USUAL_POUNDS = 7.5


def simulate(rows: int, *, seed: int | Sequence[int]) -> Births:
    """The nine columns before `key`, in the files' order and with the files' words; `None` is a missing answer."""
    return draw(np.random.default_rng(seed), rows)


def draw(generator: np.random.Generator, rows: int) -> Births:
    """The next `rows` births of a generator."""
    plurality = 1 + _choose(generator, PLURALITY, rows)
    age = _ages(generator, plurality)
    races = np.array(list(RACES), dtype=object)[_choose(generator, tuple(RACES.values()), rows)]
    black = races == "Black"
    male = generator.random(rows) < MALE.share
    unmarried = generator.random(rows) < 1 / (1 + np.exp(0.78 + 0.15 * (age - 27) - 1.6 * black))
    smokes = generator.random(rows) < np.where(unmarried, 0.134, 0.053)
    drinks = generator.random(rows) < np.where(smokes, 0.10, 0.0258)

    traits = ((MALE, male), (BLACK, black), (UNMARRIED, unmarried), (SMOKING, smokes), (DRINKING, drinks))
    timing = sum(trait.timing * (has - trait.share) for trait, has in traits)
    pounds = sum(trait.pounds * (has - trait.share) for trait, has in traits)
    pounds += np.interp(age, list(AGE_POUNDS), list(AGE_POUNDS.values()))
    weeks = _weeks(plurality, generator.standard_normal(rows) + timing)
    return {
        "weight_pounds": _weights(weeks, plurality, pounds, generator.standard_normal(rows)),
        "is_male": _words(male),
        "mother_age": age,
        "mother_race": races,
        "plurality": plurality,
        "gestation_weeks": weeks.astype(np.float64),
        "mother_married": _words(~unmarried),
        "cigarette_use": _answers(generator, smokes),
        "alcohol_use": _answers(generator, drinks),
    }


def _choose(generator: np.random.Generator, shares: Sequence[float], rows: int) -> Integers:
    """Indices into `shares`, each as often as its share of their sum."""
    steps = np.cumsum(shares)
    return np.searchsorted(steps[:-1] / steps[-1], generator.random(rows), side="right")


def _ages(generator: np.random.Generator, plurality: Integers) -> Integers:
    """Whole years: a beta distribution, which has the ends and the slight lean of the real ones."""
    years = OLDEST + 1 - YOUNGEST
    age = YOUNGEST + years * generator.beta(AGE_BETA[0], AGE_BETA[1], len(plurality))
    age += np.where(plurality > 1, OLDER_FOR_MULTIPLE, 0.0)
    return np.minimum(age, OLDEST).astype(np.int64)


def _weeks(plurality: Integers, score: Floats) -> Integers:
    """The week that has the place of a normal score `score` among births of its plurality."""
    steps = np.cumsum([share for share, _, _ in SINGLE_BY_WEEK.values()])
    limits = [NormalDist().inv_cdf(step) for step in steps[:-1] / steps[-1]]
    weeks = min(SINGLE_BY_WEEK) + np.searchsorted(limits, score)
    for children, (mean, deviation) in WEEKS_OF_MULTIPLE.items():
        some = plurality == children
        leaning = (score[some] - 0.12 * (score[some] ** 2 - 1)) / 1.0143  # early births reach further than late ones
        weeks[some] = np.clip(np.rint(mean + deviation * leaning), min(SINGLE_BY_WEEK), 42)
    return weeks


def _weights(weeks: Integers, plurality: Integers, pounds: Floats, score: Floats) -> Floats:
    """Pounds: the week's mean, the effects `pounds` in proportion to it, and a spread with a long right tail."""
    _, means, deviations = np.array(list(SINGLE_BY_WEEK.values())).T[:, weeks - min(SINGLE_BY_WEEK)]
    multiple = plurality > 1
    lack = np.interp(weeks, list(TWIN_LACKS_POUNDS), list(TWIN_LACKS_POUNDS.values()))
    means = means - multiple * lack - TRIPLET_LACKS_POUNDS * np.maximum(plurality - 2, 0)
    scale = means / USUAL_POUNDS
    spread = SPREAD * deviations * np.where(multiple, MULTIPLE_SPREAD, 1.0)
    # A cubic of a normal score, of variance 1. Over all weeks what is left has skew 0.3 and excess kurtosis 1.2.
    shaped = (score + 0.049 * (score**2 - 1) + 0.036 * (score**3 - 3 * score)) / 1.0063
    weight = means + scale * pounds + np.sqrt(spread**2 - scale**2 * EFFECTS_VARIANCE) * shaped
    grams = np.clip(np.rint(weight / POUNDS_PER_GRAM), LIGHTEST_GRAMS, HEAVIEST_GRAMS)
    return np.asarray(grams * POUNDS_PER_GRAM)


def _words(flags: Bools) -> npt.NDArray[np.object_]:
    return np.array(["False", "True"], dtype=object)[flags.astype(np.int64)]


def _answers(generator: np.random.Generator, flags: Bools) -> npt.NDArray[np.object_]:
    answered = generator.random(len(flags)) >= UNANSWERED
    return np.where(answered, _words(flags), "None")
