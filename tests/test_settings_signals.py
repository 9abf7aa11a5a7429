"""SIGTERM and Ctrl-C as a question; in processes of their own, since they may end them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
LOOP = """
import time
from trainer.settings import signals
interrupted = signals.remembered()
print(interrupted(), flush=True)
while not interrupted():
    time.sleep(0.01)
print(interrupted(), flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered_and_a_second_one_ends_the_process_at_once(first, second):
    with subprocess.Popen([sys.executable, "-c", LOOP], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "None\n"
        process.send_signal(first)
        assert process.stdout.readline() == f"{int(first)}\n"
        process.send_signal(second)
        assert process.wait(60.0) == -second
