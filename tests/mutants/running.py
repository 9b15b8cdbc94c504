"""Running pytest in a copy of the checkout."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Final, TextIO

import psutil

from tests.mutants.mutant import Suite

# Of one test; a bug may make it wait for something that never comes.
_TEST_SECONDS: Final = {Suite.UNIT: 30, Suite.MODEL: 120, Suite.SIMULATION: 900, Suite.INTEGRATION: 120}
# How much longer nothing may happen. A bug may also keep a test that has timed out from ending.
_GRACE_SECONDS = 60
# Without a bug every test ends, if late on a busy machine.
_TIMES_WITHOUT_A_BUG: Final = 4
_LOOK_SECONDS = 0.1
SCHEDULES = 400
"""How many schedules are simulated to catch one bug."""

_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_STARTED = re.compile(r"^(tests/\S+::.+?) *(?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|$)", re.MULTILINE)
_SHOWN_LINES = 30
_ALL_PASSED, _SOME_FAILED = 0, 1


class NotRun(Exception):
    """pytest ran no tests: a selection matches nothing, or a module cannot be imported."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of pytest found."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    """Node ids; those with an error in a fixture among them, and one that did not end."""
    seconds: float


class Runner:
    """Runs pytest, and ends what is running when it is told to."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False
        self.left_out: list[str] = []
        """Tests that are not run any more, by node id: they fail now and then without any bug."""

    def run(self, copy: Path, suite: Suite, tests: Sequence[str], *, first_only: bool) -> Ran:
        """Run tests of one suite; with `first_only` up to the first failure, as with a bug. Raises NotRun."""
        patience = _TEST_SECONDS[suite] * (1 if first_only else _TIMES_WITHOUT_A_BUG)
        command = [
            *(sys.executable, "-m", "pytest", "-v", "-rA", "--tb=no", "--no-header", "--color=no"),
            *("-p", "no:cacheprovider", "--timeout", str(patience)),
            *(["-x"] if first_only else []),
            *(["--schedules", str(SCHEDULES)] if suite is Suite.SIMULATION else []),
            *(f"--deselect={test}" for test in self.left_out),
            *tests,
        ]
        began = monotonic()
        with TemporaryFile("w+") as output:
            status = self._status(command, copy, output, patience + _GRACE_SECONDS)
            output.seek(0)
            said = output.read()
        found = _OUTCOME.findall(said)
        passed = tuple(test for outcome, test in found if outcome == "PASSED")
        failed = tuple(test for outcome, test in found if outcome != "PASSED")
        if status is None:
            failed = (f"{[*tests, *_STARTED.findall(said)][-1]} (does not end)",)
        elif status not in {_ALL_PASSED, _SOME_FAILED}:
            tail = "\n".join(said.splitlines()[-_SHOWN_LINES:])
            raise NotRun(f"pytest ended with status {status}: {' '.join(tests)}\n{tail}")
        return Ran(passed, failed, monotonic() - began)

    def stop(self) -> None:
        """End what is running."""
        self._stopped = True
        for process in tuple(self._running):
            _end(process)

    def _status(self, command: Sequence[str], copy: Path, output: TextIO, seconds: float) -> int | None:
        """The exit status; None if nothing was written for so long."""
        if self._stopped:
            raise NotRun("interrupted")
        environment = {**os.environ, "PYTHONPATH": _path(copy)}
        process = subprocess.Popen(
            command, cwd=copy, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        self._running.add(process)
        try:
            written, at = 0, monotonic()
            while process.poll() is None:
                sleep(_LOOK_SECONDS)
                if (size := os.fstat(output.fileno()).st_size) != written:
                    written, at = size, monotonic()
                elif monotonic() - at > seconds:
                    return None
            if self._stopped:  # and so ended with a signal, whatever its tests have found
                raise NotRun("interrupted")
            return process.returncode
        finally:
            _end(process)
            self._running.discard(process)


def _path(copy: Path) -> str:
    """For the processes that tests start: the copy's packages, whatever is installed."""
    return os.pathsep.join(map(str, (copy / "src", copy / "clients/python/src", copy)))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a run that has not ended, with the servers and processes that it started."""
    if process.poll() is not None:
        return
    with suppress(psutil.NoSuchProcess):  # it has just ended, and another thread has noticed
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for one in started:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()
