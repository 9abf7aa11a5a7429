"""The prediction server under load, beside the Python servers of KServe and MLServer with the same SavedModel.

The client is `wrk` (Debian's package) on the same cores: one instance of babyweight a request, from 64 connections and
from one. Each peer has an environment of its own, which is made at first.
"""

import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import environments
from trainer.processes import free_ports
from trainer.serving.locate import locate
from trainer.storage import commit


ROOT = Path(__file__).parent.parent
CLIENTS = 64
SECONDS = 10
ROUNDS = 3
RELOAD_EVERY_S = 5
SOAK_S = 60


@dataclass(frozen=True)
class Server:
    """A server to measure: how it is started, and how it is asked."""

    name: str
    command: tuple[str, ...]  # after the interpreter; {export} and {port} are filled in
    path: str
    columns: bool  # asked in columns, as the second version of KServe's protocol does


V1 = "/v1/models/babyweight:predict"
V2 = "/v2/models/babyweight/infer"
OURS = Server("trainer", ("-m", "trainer.serve", "--model", "babyweight={export}", "--port", "{port}"), V1, False)
KSERVE = ("benchmarks/peers/kserve_server.py", "{export}", "{port}")
MLSERVER = ("benchmarks/peers/mlserver_server.py", "{export}", "{port}")
PEERS = (
    Server("kserve", KSERVE, V1, False),
    Server("mlserver", MLSERVER, V2, True),
)
INSTANCE = {
    "is_male": "True",
    "mother_age": 26.0,
    "mother_race": "Asian Indian",
    "plurality": 1.0,
    "gestation_weeks": 39,
    "mother_married": "True",
    "cigarette_use": "False",
    "alcohol_use": "False",
}


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def beside_peers(folder: Path, export: str) -> dict[str, dict[str, list[Load]]]:
    """By server and number of clients, what wrk saw in each round; the servers take turns."""
    found: dict[str, dict[str, list[Load]]] = {}
    for _ in range(ROUNDS):
        for server in (OURS, *PEERS):
            with started(server, export, folder) as url:
                for clients in (CLIENTS, 1):
                    wrk(folder, server, url, clients=clients, seconds=2)  # warm
                    load = wrk(folder, server, url, clients=clients, seconds=SECONDS)
                    found.setdefault(server.name, {}).setdefault(str(clients), []).append(load)
    return found


def soak(folder: Path, export: str) -> dict[str, float]:
    """A minute of full load while a newer export is committed every few seconds: what failed, what memory grew."""
    directory = folder / "exports"
    commit_copy(export, directory / "1500000000")
    with started(OURS, str(directory), folder) as url:
        wrk(folder, OURS, url, clients=CLIENTS, seconds=5)
        before, stop, reloads = resident_bytes(url), threading.Event(), 0

        def renew() -> None:
            nonlocal reloads
            while not stop.wait(RELOAD_EVERY_S):
                reloads += 1
                commit_copy(export, directory / str(1500000000 + reloads))

        renewing = threading.Thread(target=renew)
        renewing.start()
        load = wrk(folder, OURS, url, clients=CLIENTS, seconds=SOAK_S)
        stop.set()
        renewing.join()
        after = resident_bytes(url)
        taken = metric(url, 'trainer_reloads_total{model="babyweight"}')
    growth = after / before - 1
    return {"requests_per_second": load.requests_per_second, "failed": load.failed, "reloads": taken, "growth": growth}


@contextlib.contextmanager
def started(server: Server, export: str, folder: Path) -> Iterator[str]:
    """A server that answers, in its own environment; gives its address."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    words = [word.format(export=export, port=port) for word in server.command]
    interpreter = sys.executable if server is OURS else environments.python(server.name)
    with open(folder / f"{server.name}.log", "wb") as log:
        process = subprocess.Popen([interpreter, *words], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(server, url, process)
            yield url
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def wait_for(server: Server, url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a prediction is answered."""
    for _ in range(600):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            request = urllib.request.Request(url + server.path, body(server).encode(), HEADERS)
            with urllib.request.urlopen(request) as response:
                if response.status == 200:
                    return
        time.sleep(0.1)
    raise SystemExit(f"{server.name} does not answer")


HEADERS = {"Content-Type": "application/json"}


def body(server: Server) -> str:
    """One instance, as the server wants it."""
    if not server.columns:
        return json.dumps({"instances": [INSTANCE]})
    datatype = {str: "BYTES", float: "FP32", int: "FP32"}
    inputs = [{"name": n, "shape": [1], "datatype": datatype[type(v)], "data": [v]} for n, v in INSTANCE.items()]
    return json.dumps({"inputs": inputs})


def wrk(folder: Path, server: Server, url: str, *, clients: int, seconds: int) -> Load:
    """Ask as fast as the clients can for some seconds."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed; apt-get install wrk")
    script = folder / "request.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body(server)}]==]\n'
    )
    words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(script)]
    text = subprocess.run([*words, url + server.path], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failures = (int(failed[1]) if failed else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return Load(rate, _ms(text, "50%"), _ms(text, "99%"), failures)


def _ms(text: str, percentile: str) -> float:
    number, unit = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def metric(url: str, name: str) -> float:
    """A number of the server's own /metrics."""
    with urllib.request.urlopen(f"{url}/metrics") as response:
        lines = response.read().decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)


def resident_bytes(url: str) -> float:
    """What the server holds of the machine's memory."""
    return metric(url, "process_resident_memory_bytes")


def commit_copy(export: str, destination: Path) -> None:
    """Publish a copy of an export as a run would."""
    with commit.staged(str(destination)) as staging:
        shutil.copytree(
            export, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns("COMMITTED", "manifest.json")
        )


def median(loads: list[Load], attribute: str) -> float:
    """Over the rounds."""
    return statistics.median(getattr(load, attribute) for load in loads)


def newest_export(job_dir: Path) -> str:
    """The export that all of them serve."""
    return locate(str(job_dir))
