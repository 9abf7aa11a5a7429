"""The speed of workers that have a core each, beside one process that has them all."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.processes import free_ports
from trainer.roles import Task, tf_config


ROOT = Path(__file__).parent.parent


def speed(job_dir: Path, tasks: Sequence[Task], flags: Sequence[str]) -> float:
    """Examples a second, the median of all stops but the first, of tasks that share this machine's cores equally."""
    cores = sorted(os.sched_getaffinity(0))
    ports = free_ports(len(tasks))
    addresses = {task: f"127.0.0.1:{port}" for task, port in zip(tasks, ports, strict=True)}
    started = []
    for i, task in enumerate(tasks):
        own = cores[i * len(cores) // len(tasks) : (i + 1) * len(cores) // len(tasks)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_CONFIG": tf_config(task, addresses)}
        command = ["taskset", "-c", ",".join(map(str, own)), sys.executable, "-m", "trainer.task", *flags]
        words = [*command, "--job-dir", str(job_dir)]
        started.append(subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL))
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit(f"{' '.join(words)} failed")
    lines = [json.loads(line) for line in (job_dir / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["examples_per_second"] for line in lines[1:])
