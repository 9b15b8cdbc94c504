"""Running pytest in a copy of the checkout."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from tests.mutants.mutant import Suite

# Of one test; a bug may make it wait for something that never comes.
_TEST_SECONDS: Final = {Suite.UNIT: 30, Suite.MODEL: 120, Suite.SIMULATION: 900, Suite.INTEGRATION: 120}
_RUN_SECONDS = 1_800
_GOODBYE_SECONDS = 15
SCHEDULES = 400
"""How many schedules are simulated to catch one bug."""

_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_SHOWN_LINES = 30
_ALL_PASSED, _SOME_FAILED = 0, 1


class NotRun(Exception):
    """pytest ran no tests: a selection matches nothing, or a module cannot be imported."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of pytest found."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    """Node ids; those with an error in a fixture among them."""
    seconds: float


class Runner:
    """Runs pytest, and ends what is running when it is told to."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, copy: Path, suite: Suite, tests: Sequence[str], *, first_only: bool) -> Ran:
        """Run tests of one suite; with `first_only` up to the first failure. Raises NotRun."""
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "--no-header", "--color=no"),
            *("-p", "no:cacheprovider", "--timeout", str(_TEST_SECONDS[suite])),
            *(["-x"] if first_only else []),
            *(["--schedules", str(SCHEDULES)] if suite is Suite.SIMULATION else []),
            *tests,
        ]
        began = monotonic()
        status, said = self._wait(command, copy)
        if status not in {_ALL_PASSED, _SOME_FAILED}:
            tail = "\n".join(said.splitlines()[-_SHOWN_LINES:])
            raise NotRun(f"pytest ended with status {status}: {' '.join(tests)}\n{tail}")
        found = _OUTCOME.findall(said)
        return Ran(
            passed=tuple(test for outcome, test in found if outcome == "PASSED"),
            failed=tuple(test for outcome, test in found if outcome != "PASSED"),
            seconds=monotonic() - began,
        )

    def stop(self) -> None:
        """Interrupt what is running, so that it ends the servers that it started."""
        self._stopped = True
        for process in tuple(self._running):
            _end(process)

    def _wait(self, command: Sequence[str], copy: Path) -> tuple[int, str]:
        if self._stopped:
            raise NotRun("interrupted")
        process = subprocess.Popen(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": _path(copy)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            said, _ = process.communicate(timeout=_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NotRun(f"no end after {_RUN_SECONDS} s: {' '.join(command)}") from None
        finally:
            self._running.discard(process)
        return process.returncode, said


def _path(copy: Path) -> str:
    """For the processes that tests start: the copy's packages, whatever is installed."""
    return os.pathsep.join(map(str, (copy / "src", copy / "clients/python/src", copy)))


def _end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_GOODBYE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
