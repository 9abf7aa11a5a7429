"""What Prometheus may read of a server.

metrics = Metrics()
metrics.request("babyweight", 200, 0.0013)
body = metrics.text()
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)


class Metrics:
    """The counts of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        model = ("model",)
        self._requests = Counter("trainer_requests", "requests answered", ("model", "code"), registry=registry)
        self._request_seconds = Histogram(
            "trainer_request_duration_seconds", "head to last byte", model, registry=registry, buckets=SECONDS
        )
        self._call_seconds = Histogram(
            "trainer_call_duration_seconds", "one call of a model", model, registry=registry, buckets=SECONDS
        )
        self._call_instances = Histogram(
            "trainer_call_instances", "instances that shared a call", model, registry=registry, buckets=SIZES
        )
        self._versions = Gauge("trainer_model_version", "the version that answers", model, registry=registry)
        self.in_progress = Gauge("trainer_requests_in_progress", "requests not answered yet", registry=registry)
        self._reloads = Counter("trainer_reloads", "newer exports taken", model, registry=registry)

    def request(self, model: str, status: int, seconds: float) -> None:
        """A request was answered; `model` is empty where none was asked."""
        self._requests.labels(model, str(status)).inc()
        self._request_seconds.labels(model).observe(seconds)

    def call(self, model: str, instances: int, seconds: float) -> None:
        """A model was called."""
        self._call_seconds.labels(model).observe(seconds)
        self._call_instances.labels(model).observe(instances)

    def version(self, model: str, number: str) -> None:
        """A model has a version from now on."""
        self._versions.labels(model).set(int(number))

    def reload(self, model: str) -> None:
        """A newer version took over."""
        self._reloads.labels(model).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)
