"""A process of its own that loads what was exported, as a server would, and compares its answers.

    checker = shared()
    checker.prepare()                                        # its TensorFlow is imported while training begins
    checker.difference(folder, requests, answers)            # None, or where the export differs

It is one `python -m trainer.exporting.checker` a Python process, for all exports and runs. It hears of a folder through
its stdin, and ends when that does: whatever way this process ends, none is left behind.
"""

import atexit
import contextlib
import functools
import logging
import os
import pickle
import queue
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, BinaryIO

import trainer
from trainer.errors import RunError, reason
from trainer.settings import signals


if TYPE_CHECKING:
    import numpy as np

ANSWERS_WITHIN_S = 600.0  # to import TensorFlow, and to load and call what may be a large model
STARTS = 2  # for one export: a process may be killed by chance, where memory is short
WORDS = 300  # characters of what it said last
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",  # the GPUs are the training's
    "TF_USE_LEGACY_KERAS": "1",  # where that is not, TensorFlow imports none: a graph needs none, and it is a second
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
NICE = 10  # it begins while training does, whose processors it may use but not take
LENGTH = struct.Struct("<Q")  # of a question, before it
OF_THE_CLUSTER = ("TF_CONFIG", "CLUSTER_SPEC")
log = logging.getLogger("trainer.exporting")


class Checker:
    """The process, which is started when it is needed and there is none."""

    def __init__(self, *, answers_within_s: float = ANSWERS_WITHIN_S) -> None:
        self._answers_within_s = answers_within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._asking = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        return self._process.pid if self._process else None

    def prepare(self) -> None:
        """See that there is a process, without waiting until it can answer."""
        if self._process is None:
            self._start()

    def difference(
        self, folder: str, requests: "Mapping[str, Mapping[str, np.ndarray]]", answers: "Mapping[str, np.ndarray]"
    ) -> str | None:
        """As `comparison.difference`, in the process. Raises `RunError` where it dies over it or does not answer."""
        question = pickle.dumps((os.path.abspath(folder), requests, answers))
        with self._asking:
            for start in range(1, STARTS + 1):
                self.prepare()
                try:
                    return self._answer(question)
                except (OSError, EOFError, pickle.UnpicklingError):
                    end = self._end()
                except BaseException:  # Ctrl-C, say: its answer must not be taken for that to the next question
                    self.close()
                    raise
                if start < STARTS:
                    log.warning("the process that checks exports %s; it is started again", end)
        raise RunError(f"the process that checks exports {end}, {STARTS} times in a row; has the machine the memory?")

    def close(self) -> None:
        """End the process; it holds nothing."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _start(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- TensorFlow's greeting, and why it died
        # Inherited, so that neither reaches it, not even before it can look: this process decides when it ends.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.NUMBERS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                cwd=os.path.dirname(os.path.dirname(os.path.abspath(trainer.__file__))),  # where `-m` finds it
            )
        except OSError as error:
            self._stderr.close()
            raise RunError(f"the process that checks exports cannot be started: {reason(error)}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _answer(self, question: bytes) -> str | None:
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(LENGTH.pack(len(question)) + question)
        self._process.stdin.flush()
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        if not poll.poll(self._answers_within_s * 1000):
            raise RunError(f"the process that checks exports has not answered within {self._answers_within_s:g} s")
        answer: str | None = pickle.load(self._process.stdout)
        return answer

    def _end(self) -> str:
        """Wait for the end of a process that has come to it; how it ended, and its last words."""
        assert self._process
        assert self._stderr
        process, stderr = self._process, self._stderr
        self._process = self._stderr = None
        with stderr:
            with contextlib.suppress(BrokenPipeError), process:  # closes the pipes: what was not sent is lost
                pass
            process.wait()
            stderr.seek(0)
            lines = stderr.read().decode(errors="replace").split("\n")
        words = next((line.strip() for line in reversed(lines) if line[:1].isalpha()), "")  # no line of a stack
        code = process.returncode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{how} ({words[:WORDS]})" if words else how


@functools.cache
def shared() -> Checker:
    """The one of this Python process: TensorFlow takes seconds to import, which runs in one process share."""
    checker = Checker()
    atexit.register(checker.close)
    return checker


def main() -> None:
    """Answer what is asked on stdin, until its end."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a graph prints is no answer
    os.nice(NICE)
    for name in OF_THE_CLUSTER:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, questions), daemon=True).start()
    from trainer.exporting import comparison  # TensorFlow: for this process alone, and after the environment is set

    while True:
        pickle.dump(comparison.difference(*pickle.loads(questions.get())), answers)
        answers.flush()


def _read(stdin: BinaryIO, questions: "queue.SimpleQueue[bytes]") -> None:
    """Pass on what is asked, still pickled, since to unpickle imports; at the end of stdin end the process at once."""
    while head := stdin.read(LENGTH.size):
        questions.put(stdin.read(*LENGTH.unpack(head)))
    os._exit(0)


if __name__ == "__main__":
    main()
