"""Where the sample data of a shipped experiment is: `data/<experiment>`, made first where it is not there."""

import importlib
import logging

from trainer.errors import UsageError
from trainer.settings import experiments
from trainer.storage import lease, paths


log = logging.getLogger("trainer.samples")


def made(name: str) -> str:
    """The folder of the sample data of an experiment, which is whole when this returns."""
    if name not in experiments.SHIPPED:
        raise UsageError("--train-files: not given, and the experiment has no sample data")
    folder = paths.join("data", name)
    sample = importlib.import_module(f"trainer.samples.{name}")
    if not sample.is_written(folder):
        paths.make_directory(folder)
        held = lease.awaited(
            folder, whose="another process", between=lambda: None
        )  # the processes of a launch all come here
        try:
            if not sample.is_written(folder):
                log.info("making sample data in %s", folder)
                sample.write(folder)
        finally:
            held.release()
    return folder
