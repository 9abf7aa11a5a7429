"""Which `Replicas` a run has: by its cluster, by `--distribution`, and by the devices of this process."""

from functools import partial

import tensorflow as tf

from trainer.experiment import Experiment
from trainer.settings import command
from trainer.settings.cluster import Cluster
from trainer.settings.run import Distribution, Run
from trainer.training import replicas, servers, workers


def build(experiment: Experiment, run: Run, cluster: Cluster, distribution: Distribution) -> replicas.Replicas:
    """The replicas of the process that leads: the chief, once its cluster is there, or one alone."""
    if distribution == "multi_worker_mirrored":
        return workers.Chief(experiment, run, cluster)
    if distribution == "parameter_server":
        return servers.ParameterServers(experiment, run, cluster, leave=partial(command.leave, "trainer.task"))
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if distribution == "default" or (distribution == "auto" and len(devices) < 2):
        return replicas.Here(experiment, run)
    return replicas.Mirrored(experiment, run, tf.distribute.MirroredStrategy([device.name for device in devices]))
