"""The statistics that `trainer.preprocess` left beside the files it wrote.

recorded.beside("births/train.csv-00000-of-00004").get("train")
"""

import json
import logging

from trainer.errors import MissingError, RunError
from trainer.quality import statistics
from trainer.quality.statistics import Statistics
from trainer.storage import paths


NAME = "stats.json"
log = logging.getLogger("trainer.quality")


def beside(file: str) -> dict[str, Statistics]:
    """The statistics by `train` and `eval`; none where there are none, or where a file of that name is another's."""
    try:
        content = json.loads(paths.read_bytes(paths.join(paths.parent(file), NAME)))
        return {data: statistics.from_json(content[data]) for data in ("train", "eval") if data in content}
    except MissingError:
        return {}
    except (ValueError, TypeError, RunError) as error:
        log.debug("%s: not used: %s", NAME, error)
        return {}
