"""Our processes, started by forking one that has imported everything already.

Importing takes a process 1.5 s of processor time, and the tests start hundreds of them. `Forking` keeps an
interpreter that has done it and, for each process, forks it: the child gets the environment, the log and the
session of its own that a new interpreter would have, and runs the same module. Processes that are to show how
they begin are started as in production: see `begins_cold`.

The parent speaks JSON lines: it is told of a process to start and says its number, and later how it ended.
"""

import gc
import itertools
import json
import os
import runpy
import select
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from workbench.processes import Process, popen

# What a process may run; also imported by nobody, so that each process has it anew.
MODULES: Final = frozenset({"bellwire", "tests.failpoints"})
IMPORTED: Final = (
    "entrypoints.app",
    "entrypoints.commands.api",
    "entrypoints.commands.cli",
    "entrypoints.commands.consumer",
    "entrypoints.consumer.process",
    "entrypoints.container.api",
    "entrypoints.container.consumer",
    "entrypoints.serving",
    "uvloop",
)


class Forked:
    """A started process, as `subprocess.Popen` would show it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._status = 0

    def poll(self) -> int | None:
        return self._status if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._status

    def ends(self, status: int) -> None:
        self._status = status
        self._ended.set()


class Forking:
    """The interpreter that is forked. It ends when its input does."""

    def __init__(self) -> None:
        self._parent: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._started = threading.Condition(self._lock)
        self._children: dict[int, Forked] = {}
        self._by_request: dict[int, Forked] = {}
        self._requests = itertools.count()

    def start(
        self, command: Sequence[str], log: IO[bytes], environment: Mapping[str, str] | None, **options: Any
    ) -> Any:
        """Start one of ours; anything else as it is always started."""
        if not _is_ours(command) or environment is None or any(options.values()):
            return popen(command, log, environment, **options)
        with self._lock:
            parent = self._parent = self._parent or self._begin()
            number = next(self._requests)
            request = {
                "number": number,
                "words": command[2:],
                "log": os.path.realpath(log.name),
                "environment": dict(environment),
            }
            assert parent.stdin
            parent.stdin.write(json.dumps(request) + "\n")
            parent.stdin.flush()
            if not self._started.wait_for(lambda: number in self._by_request, 60):
                raise RuntimeError("the forked interpreter does not answer")
            return self._by_request.pop(number)

    def stop(self) -> None:
        if self._parent and self._parent.stdin:
            self._parent.stdin.close()
            self._parent.wait(10)

    def _begin(self) -> "subprocess.Popen[str]":
        parent = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        threading.Thread(target=self._listen, args=(parent.stdout,), daemon=True).start()
        return parent

    def _listen(self, said: IO[str]) -> None:
        with said:
            for line in said:
                word = json.loads(line)
                with self._lock:
                    if "number" in word:
                        child = self._children[word["pid"]] = Forked(word["pid"])
                        self._by_request[word["number"]] = child
                        self._started.notify_all()
                    else:
                        self._children.pop(word["pid"]).ends(word["status"])


def _is_ours(command: Sequence[str]) -> bool:
    return hasattr(os, "pidfd_open") and command[:2] == [sys.executable, "-m"] and command[2] in MODULES


def begins_cold(process: Process) -> None:
    """Have a process start a new interpreter, as in production."""
    process.spawn = popen


# --- the interpreter that is forked -----------------------------------------------------------------------


def serve() -> Mapping[str, Any]:
    """Fork a child for every request. Returns in the child, with its request."""
    ends: dict[int, int] = {}  # by the descriptor that becomes readable when a process ends
    buffer = b""
    while True:
        readable, _, _ = select.select([0, *ends], [], [])
        for descriptor in set(readable) & ends.keys():
            pid = ends.pop(descriptor)
            os.close(descriptor)
            _, status = os.waitpid(pid, 0)
            _say(pid=pid, status=os.waitstatus_to_exitcode(status))
        if 0 not in readable:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            os._exit(0)
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            request: Mapping[str, Any] = json.loads(line)
            pid = os.fork()
            if pid == 0:
                for descriptor in ends:
                    os.close(descriptor)
                return request
            ends[os.pidfd_open(pid)] = pid
            _say(pid=pid, number=request["number"])


def _say(**word: int) -> None:
    os.write(1, json.dumps(word).encode() + b"\n")


def become(request: Mapping[str, Any]) -> None:
    """Be what was asked for, in this process."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(here, there)
    os.close(log)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(request["environment"])
    module, *words = request["words"]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    for module in IMPORTED:
        __import__(module)
    gc.collect()
    gc.freeze()
    become(serve())


if __name__ == "__main__":
    main()
