"""A model that is served: its newest export is loaded, warmed up, and replaced when a newer one is committed.

    served = Served(Source("babyweight", job_dir))
    model = load(locate(job_dir))                   # in a thread; later newer(job_dir, than=..., refused=...)
    served.take(model, Batcher(model, ...))         # in the event loop: the next request goes there

A request belongs to the version that it met, which is gone when the last of its requests is answered.
"""

import logging
from dataclasses import dataclass

import numpy as np

from trainer.errors import RunError
from trainer.serving import locate, values, warmup
from trainer.serving import model as calling
from trainer.serving.batching import Batcher, is_joinable
from trainer.serving.model import Model
from trainer.serving.options import Source
from trainer.serving.protocol import Code, PredictionError
from trainer.storage import commit, paths


log = logging.getLogger("trainer.serving")


class NotServedError(RunError):
    """There is no model, or no version of it, of that name."""


class LoadingError(RunError):
    """The model has no version yet."""


@dataclass(frozen=True)
class Version:
    """An export in memory, with the requests that wait for it."""

    number: str  # of its folder; 1 for a folder that has none
    model: Model
    batcher: Batcher


class Served:
    """A model that is served, and the version of it that answers now: none until the first is warm."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.version: Version | None = None

    def version_names(self) -> tuple[str, ...]:
        """What a URL may call the version."""
        return (self.source.label, self.version.number) if self.version else (self.source.label,)

    def take(self, model: Model, batcher: Batcher) -> None:
        """Let this model answer from now on."""
        self.version = Version(number(model.directory), model, batcher)


class Models:
    """The models by name; a name may have several versions with a label each, the first of which is the default."""

    def __init__(self, served: list[Served]) -> None:
        self.all = served
        self._by_name: dict[str, list[Served]] = {}
        for one in served:
            self._by_name.setdefault(one.source.name, []).append(one)

    def find(self, name: str, version: str | None) -> tuple[Served, Version]:
        """The model that a URL names. Raises `NotServedError`, or `LoadingError` before its first version is warm."""
        candidates = self._by_name.get(name)
        if not candidates:
            expected = ", ".join(self._by_name)
            raise NotServedError(f"model {values.shown(name)}: not found; expected one of {expected}")
        for one in candidates:
            if version is None or version in one.version_names():
                if one.version is None:
                    raise LoadingError(f"model {name}: is being loaded")
                return one, one.version
        known = " or ".join(word for one in candidates for word in one.version_names())
        raise NotServedError(f"model {name}: version {values.shown(version)}: not found; expected {known}")

    def are_ready(self) -> bool:
        """Whether each has a version that is loaded and warm."""
        return all(one.version for one in self.all)


def number(export: str) -> str:
    """The version that an export's folder is."""
    name = paths.name(export)
    return name if name.isdecimal() else "1"


def load(export: str) -> Model:
    """Load an export that was verified, and warm it up."""
    model = calling.load(export)
    _warm_up(model)
    return model


def newer(directory: str, than: str, refused: set[str]) -> Model | None:
    """The newest export of a directory that is newer `than` another and can be used, or none.

    What cannot be used is logged and `refused` from then on, but not what only could not be read this time.
    """
    for export in locate.newest_first(directory):
        if locate.order(export) <= locate.order(than):
            return None
        if export in refused:
            continue
        try:
            commit.verify(export)
            return load(export)
        except RunError as error:
            log.warning("%s; still serving %s", error, than)
            if isinstance(error, commit.DamagedError) or (
                isinstance(error, PredictionError) and error.code == Code.LOAD
            ):
                refused.add(export)
    return None


def _warm_up(model: Model) -> None:
    """Send the requests that came with the export, one by one and together: a first call waits for preparations."""
    path = paths.join(model.directory, "assets.extra", warmup.NAME)
    if not paths.exists(path):
        return
    try:
        requests = [(name, columns) for name, columns in warmup.read(path) if name in model.signatures]
        for name, columns in requests:
            calling.call(model, model.signatures[name], columns)
        for name in {name for name, _ in requests if is_joinable(model.signatures[name])}:
            parts = [columns for other, columns in requests if other == name]
            joined = {key: np.concatenate([part[key] for part in parts]) for key in model.signatures[name].inputs}
            calling.call(model, model.signatures[name], joined)
    except RunError as error:
        log.warning("%s: not warmed up: %s", model.directory, error)
