"""babyweight and MNIST without dropout in double precision, to compare runs by their arithmetic and not its rounding.

Adam divides by the size of a gradient, so that the last bits of one that is nearly zero are as large as any other: in
single precision two runs that add up the same numbers in another order grow apart, whatever trains them.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from trainer.experiments import babyweight, mnist
from trainer.settings.flags import flag
from trainer.settings.run import Run


TRAIN_PATTERNS = ("train*",)
EVAL_PATTERNS = ("eval*", "t*10k*")
RUN = Run(export_strategy=("final",))


@dataclass(frozen=True)
class Config:
    """The flags of these experiments."""

    of: Literal["babyweight", "mnist"] = flag("babyweight", "which of them")


def build(config: Config, run: Run):
    """The Experiment for these flags."""
    import keras

    keras.config.set_floatx("float64")
    if config.of == "mnist":
        built = mnist.build(mnist.Config(dropout=0.0, dtype_policy="float64"), run)
    else:
        built = babyweight.build(babyweight.Config(), run)
    return dataclasses.replace(built, export_strategies=())
