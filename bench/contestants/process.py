"""The benchmark's side of a contestant: its process, started when needed and again after a crash."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

SERVE = Path(__file__).with_name("serve.py")
TIMEOUT_S = 300.0
EXIT_S = 5.0  # between the end of its pipe and that of the process
REST_S = 0.005
LONGEST_REST = 200  # times REST_S; a pool that never sleeps must not stop the run


class Kind(NamedTuple):
    """A contestant's module in this folder, and whose interpreter it runs in."""

    module: str
    interpreter: str


KINDS = {
    "rnnpack": Kind("rnnpack_runner", "rnnpack"),
    "torch": Kind("torch_runner", "torch"),
    "onnxruntime": Kind("onnxruntime_runner", "onnxruntime"),
    "openvino": Kind("openvino_runner", "openvino"),
    "tensorflow": Kind("tensorflow_runner", "tensorflow"),
    "xla": Kind("tensorflow_runner", "tensorflow"),
}
PEERS = tuple(name for name in KINDS if name != "rnnpack")


class ContestantError(Exception):
    """A contestant could not do what it was asked."""


class Process:
    """One contestant with a number of threads, pinned to as many processors.

    Args:
        name: one of `KINDS`.
        python: the interpreter to run it with.
        threads: number of threads.
        cpus: the processors it may use, where processes can be pinned; empty for any.
        log: where its messages go.
    """

    def __init__(self, name: str, python: str, threads: int, cpus: list[int], log: Path) -> None:
        self.name = name
        self.facts: dict[str, str] = {}
        self._command = [python, str(SERVE), KINDS[name].module, name, str(threads), *map(str, cpus)]
        # Not an argument: versions that do not know the variable can be measured too.
        self._environment = {**os.environ, "RNNPACK_NUM_THREADS": str(threads)}
        self._log = log
        self._child: subprocess.Popen[str] | None = None
        self._failure: str | None = None  # why it cannot start at all

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer; raises ContestantError with the reason when it fails."""
        if self._child is None:
            self._start()
        assert self._child is not None and self._child.stdin is not None
        with suppress(OSError):  # when it is gone, the missing answer tells
            self._child.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._child.stdin.flush()
        return self._answer()

    def rest(self) -> None:
        """Waits until the process computes no more: the threads of a pool may spin long after a call."""
        for _ in range(LONGEST_REST):
            before = self._computed()
            time.sleep(REST_S)
            if self._computed() - before < REST_S / 10:
                return

    def _computed(self) -> float:
        """Seconds that its threads have computed, or 0 where the system does not tell."""
        assert self._child is not None
        threads = Path(f"/proc/{self._child.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def forget(self) -> None:
        """Drops what the process has prepared; one that does not run has nothing."""
        if self._child is not None:
            with suppress(ContestantError):
                self.ask("forget")

    def close(self) -> None:
        """Ends the process."""
        if self._child is None:
            return
        child, self._child = self._child, None
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            with suppress(OSError):  # of a command that never got through
                pipe.close()

    def _start(self) -> None:
        if self._failure:
            raise ContestantError(self._failure)
        with self._log.open("a", encoding="utf-8") as log:
            try:
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    env=self._environment,
                )
            except OSError as error:
                self._failure = str(error)
                raise ContestantError(self._failure) from error
        try:
            self.facts = self._answer()
        except ContestantError as error:
            self._failure = f"does not start: {error}"
            self.close()
            raise ContestantError(self._failure) from error

    def _answer(self) -> dict[str, Any]:
        assert self._child is not None and self._child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            ready = selector.select(TIMEOUT_S)
        line = self._child.stdout.readline() if ready else ""
        if not line:
            reason = self._ending() if ready else f"no answer within {TIMEOUT_S:.0f} s"
            self.close()
            raise ContestantError(f"{reason}{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContestantError(answer["error"])
        return answer

    def _ending(self) -> str:
        assert self._child is not None
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(EXIT_S)
        return f"crashed (exit status {self._child.returncode})"

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f": {said[-1]}" if said else ""


class Arena:
    """All contestants of a run, and the folder they share; a context manager that ends them.

    Args:
        folder: for the problems and the contestants' messages.
        interpreters: path of the Python of each contestant that does not run in the default one.
        default: path of the Python of all others.
        cpus: processors to use; a contestant of n threads gets the first n.
    """

    def __init__(self, folder: Path, interpreters: dict[str, str], default: str, cpus: list[int]) -> None:
        self.folder = folder
        self.cpus = cpus
        self._interpreters = interpreters
        self._default = default
        self._processes: dict[tuple[str, int], Process] = {}

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.close()

    def process(self, name: str, threads: int) -> Process:
        """The contestant's process, the same one every time."""
        key = (name, threads)
        if key not in self._processes:
            python = self._interpreters.get(KINDS[name].interpreter, self._default)
            log = self.folder / f"{name}-{threads}.log"
            log.touch()
            self._processes[key] = Process(name, python, threads, self.cpus[:threads], log)
        return self._processes[key]

    def facts(self) -> dict[str, dict[str, str]]:
        """What each contestant that started says of itself."""
        return {name: process.facts for (name, _), process in self._processes.items() if process.facts}
