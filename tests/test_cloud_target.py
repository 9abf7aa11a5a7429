"""Where requests go, from flags and environment."""

import pytest

from trainer.cloud.target import Target, is_local, target_of
from trainer.errors import UsageError


def of(environ=None, **given):
    return target_of(
        **{"api": "vertex", "endpoint": None, "project": None, "region": None, **given}, environ=environ or {}
    )


def test_flags_are_stronger_than_the_environment():
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_REGION": "r"}
    assert of(environ) == Target("vertex", "p", "r")
    assert of(environ, project="q", region="s") == Target("vertex", "q", "s")


def test_gclouds_variables_will_do():
    assert of({"CLOUDSDK_CORE_PROJECT": "p", "CLOUDSDK_COMPUTE_REGION": "r"}) == Target("vertex", "p", "r")


def test_cloud_ml_engine_needs_no_region():
    assert of(api="ml", project="p") == Target("ml", "p", "")
    with pytest.raises(UsageError, match=r"^--region: not given"):
        of(project="p")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8600", "ftp://x", "http://", "http://x?y=1", ""])
def test_what_is_no_address_is_refused(endpoint):
    with pytest.raises(UsageError, match=r"^--api-endpoint: "):
        of(project="p", region="r", endpoint=endpoint)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [(None, False), ("http://127.0.0.1:8600", True), ("http://localhost:1", True), ("http://[::1]:1", True),
     ("https://ml.googleapis.com", False), ("http://127.0.0.1.example.com", False)],
)  # fmt: skip
def test_only_this_machines_own_addresses_are_local(endpoint, local):
    assert is_local(endpoint) == local
    assert of(project="p", region="r", endpoint=endpoint).poll_every_s == (0.5 if local else 2.0)
