"""The machines of a training job: replicas by role, from a scale tier or from its own counts.

    for pool in machines.pools(config.training): ...     # Pool("worker", 4, Machine("n1-highcpu-8"))

The tiers and the legacy machine types are those of Cloud ML Engine, with the Compute Engine types that its
documentation gives as their equivalents (https://cloud.google.com/ai-platform/training/docs/machine-types).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainer.cloud import rules


Role = Literal["master", "worker", "parameterServer", "evaluator"]


@dataclass(frozen=True)
class Machine:
    """A machine type of Compute Engine, perhaps with accelerators."""

    type: str
    accelerator_type: str = ""
    accelerator_count: int = 0


@dataclass(frozen=True)
class Pool:
    """The replicas of a role, on machines of one kind; `config` is the role's `ReplicaConfig`."""

    role: Role
    count: int
    machine: Machine
    config: Mapping[str, Any]


LEGACY = {
    "standard": Machine("n1-standard-4"),
    "large_model": Machine("n1-highmem-8"),
    "complex_model_s": Machine("n1-highcpu-8"),
    "complex_model_m": Machine("n1-highcpu-16"),
    "complex_model_l": Machine("n1-highcpu-32"),
    "standard_gpu": Machine("n1-standard-8", "NVIDIA_TESLA_K80", 1),
    "complex_model_m_gpu": Machine("n1-standard-16", "NVIDIA_TESLA_K80", 4),
    "complex_model_l_gpu": Machine("n1-standard-32", "NVIDIA_TESLA_K80", 8),
    "standard_p100": Machine("n1-standard-8", "NVIDIA_TESLA_P100", 1),
    "complex_model_m_p100": Machine("n1-standard-16", "NVIDIA_TESLA_P100", 4),
    "standard_v100": Machine("n1-standard-8", "NVIDIA_TESLA_V100", 1),
    "large_model_v100": Machine("n1-highmem-8", "NVIDIA_TESLA_V100", 1),
    "complex_model_m_v100": Machine("n1-standard-16", "NVIDIA_TESLA_V100", 4),
    "complex_model_l_v100": Machine("n1-standard-32", "NVIDIA_TESLA_V100", 8),
    "cloud_tpu": Machine("cloud-tpu", "TPU_V2", 8),
}

TIERS: Mapping[str, tuple[tuple[Role, int, Machine], ...]] = {
    "BASIC": (("master", 1, Machine("n1-standard-4")),),
    "STANDARD_1": (
        ("master", 1, Machine("n1-highcpu-8")),
        ("worker", 4, Machine("n1-highcpu-8")),
        ("parameterServer", 3, Machine("n1-standard-4")),
    ),
    "PREMIUM_1": (
        ("master", 1, Machine("n1-highcpu-16")),
        ("worker", 19, Machine("n1-highcpu-16")),
        ("parameterServer", 11, Machine("n1-highmem-8")),
    ),
    # The tier once had a K80, which Google has retired; the T4 is the least of today's.
    "BASIC_GPU": (("master", 1, Machine("n1-standard-8", "NVIDIA_TESLA_T4", 1)),),
    "BASIC_TPU": (("master", 1, LEGACY["cloud_tpu"]),),
}


def pools(training: Mapping[str, Any]) -> tuple[Pool, ...]:
    """The roles that have replicas, the master first, of a `trainingInput` that keeps the rules."""
    if training["scaleTier"] != "CUSTOM":
        return tuple(
            Pool(role, count, machine, training.get(f"{role}Config", {}))
            for role, count, machine in TIERS[training["scaleTier"]]
        )
    roles: tuple[Role, ...] = ("master", "worker", "parameterServer", "evaluator")
    return tuple(
        Pool(role, count, _machine(training, role), training.get(f"{role}Config", {}))
        for role in roles
        if (count := rules.count_of(training, role))
    )


def _machine(training: Mapping[str, Any], role: Role) -> Machine:
    name = training[f"{role}Type"]
    machine = LEGACY.get(name, Machine(name))
    accelerator = training.get(f"{role}Config", {}).get("acceleratorConfig", {})
    if not accelerator:
        return machine
    return Machine(machine.type, accelerator.get("type", ""), int(accelerator.get("count", 1)))
