"""Replicas by role, from a tier or from counts."""

import pytest

from trainer.cloud import machines, schema
from trainer.cloud.machines import Machine


@pytest.mark.parametrize(
    ("tier", "expected"),
    [
        ("BASIC", [("master", 1, "n1-standard-4", "", 0)]),
        (
            "STANDARD_1",
            [
                ("master", 1, "n1-highcpu-8", "", 0),
                ("worker", 4, "n1-highcpu-8", "", 0),
                ("parameterServer", 3, "n1-standard-4", "", 0),
            ],
        ),
        (
            "PREMIUM_1",
            [
                ("master", 1, "n1-highcpu-16", "", 0),
                ("worker", 19, "n1-highcpu-16", "", 0),
                ("parameterServer", 11, "n1-highmem-8", "", 0),
            ],
        ),
        ("BASIC_GPU", [("master", 1, "n1-standard-8", "NVIDIA_TESLA_T4", 1)]),
        ("BASIC_TPU", [("master", 1, "cloud-tpu", "TPU_V2", 8)]),
    ],
)
def test_a_tier_is_its_machines(tier, expected):
    found = machines.pools({"scaleTier": tier})
    assert [
        (p.role, p.count, p.machine.type, p.machine.accelerator_type, p.machine.accelerator_count) for p in found
    ] == (expected)


def test_every_published_tier_is_known():
    published = schema.schemas("ml")["GoogleCloudMlV1__TrainingInput"]["properties"]["scaleTier"]["enum"]
    assert {*machines.TIERS, "CUSTOM"} == set(published)


def test_custom_counts_name_their_machines():
    training = {
        "scaleTier": "CUSTOM",
        "masterType": "complex_model_m_p100",
        "workerType": "n1-standard-8",
        "workerCount": "2",
        "workerConfig": {"acceleratorConfig": {"type": "NVIDIA_TESLA_T4", "count": "4"}},
        "parameterServerType": "large_model",
        "parameterServerCount": 0,
        "evaluatorType": "c2-standard-8",
        "evaluatorCount": 1,
    }
    assert [(pool.role, pool.count, pool.machine) for pool in machines.pools(training)] == [
        ("master", 1, Machine("n1-standard-16", "NVIDIA_TESLA_P100", 4)),
        ("worker", 2, Machine("n1-standard-8", "NVIDIA_TESLA_T4", 4)),
        ("evaluator", 1, Machine("c2-standard-8")),
    ]
