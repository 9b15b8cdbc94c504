"""`make mutants`: plant each bug of the list in a copy of the checkout, and see which test notices.

The table goes to standard output, progress to standard error. The exit status is 1 if a bug is not caught,
is stale (its text is no longer in the file exactly once), or keeps its tests from running at all; 2 if tests
fail without any bug: then nothing that they catch means anything.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.bugs import PLANTED
from tests.mutants.copies import copied, planted
from tests.mutants.mutant import Mutant, Stale, Suite
from tests.mutants.running import NotRun, Runner

WEAKENED = "tests/simulation/test_simulation.py::test_the_simulation_notices_when"
"""Bugs that are planted for good, in tests/simulation/weakened.py: the test passes if one is noticed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    outcome: str
    """The suite that caught it, or what is wrong, in capitals."""
    detail: str = ""
    seconds: float | None = None
    caught: bool = False


class Report:
    """Says what was found as it is found."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)
        detail = row.detail.partition("\n")[0]
        _say(f"[{len(self.rows):3}/{self.expected}] {row.name}: {row.outcome} {detail}{_seconds(row)}")

    def table(self) -> str:
        """All rows, by name."""
        width = max((len(row.name) for row in self.rows), default=0)
        lines = [
            f"{row.name:{width}}  {row.outcome:11}  {row.detail}{_seconds(row)}"
            for row in sorted(self.rows, key=lambda row: row.name)
        ]
        caught = sum(row.caught for row in self.rows)
        return "\n".join([*lines, f"{caught} of {len(self.rows)} planted bugs are caught"])


def main() -> int:
    """Returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends what it started then, too
    arguments = _arguments()
    chosen = [mutant for mutant in PLANTED if _is_chosen(mutant, arguments)]
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name}: {mutant.breaks}\n    {mutant.file}; {', '.join(mutant.suites)}")
        return 0
    if not chosen:
        _say("no planted bug has that name, or tests in that suite")
        return 2
    return _run(chosen, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this bug (may be given again)")
    parser.add_argument("--suite", type=Suite, choices=list(Suite), help="only what this suite is to catch")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many bugs at a time")
    parser.add_argument("--every-suite", action="store_true", help="go on when a suite has caught a bug")
    parser.add_argument("--list", action="store_true", help="say what is planted, and run nothing")
    return parser.parse_args()


def _is_chosen(mutant: Mutant, arguments: argparse.Namespace) -> bool:
    named = not arguments.only or mutant.name in arguments.only
    return named and (arguments.suite is None or arguments.suite in mutant.suites)


def _run(chosen: Sequence[Mutant], arguments: argparse.Namespace) -> int:
    suites = list(Suite) if arguments.suite is None else [arguments.suite]
    report, runner = Report(len(chosen)), Runner()
    with ExitStack() as stack:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(max(1, arguments.jobs)):
            copies.put(stack.enter_context(copied()))

        def examine(mutant: Mutant) -> None:
            with _borrowed(copies) as copy:
                for row in _examined(mutant, runner, copy, suites, every=arguments.every_suite):
                    report.add(row)

        with ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
            try:
                with _borrowed(copies) as copy:
                    failing = _failing(chosen, runner, copy, suites)
                if failing:
                    _say("these fail without any bug planted:", *failing)
                    return 2
                if not arguments.only and Suite.SIMULATION in suites:
                    with _borrowed(copies) as copy:
                        _planted_for_good(runner, copy, report)
                list(pool.map(examine, chosen))
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                runner.stop()
                _say("interrupted")
                return 130
    print(report.table())
    return 0 if all(row.caught for row in report.rows) else 1


def _failing(chosen: Sequence[Mutant], runner: Runner, copy: Path, suites: Sequence[Suite]) -> Sequence[str]:
    """What fails as it is, or cannot be run. What fails once of two times is left out from then on."""
    failing: list[str] = []
    for suite in suites:
        tests = sorted({test for mutant in chosen for test in mutant.of(suite)})
        if tests:
            _say(f"without a bug: {len(tests)} selections of {suite}")
            try:
                once = runner.run(copy, suite, tests, first_only=False).failed
                twice = runner.run(copy, suite, once, first_only=False).failed if once else ()
            except NotRun as error:
                failing.append(str(error))
            else:
                failing += twice
                runner.left_out += set(once) - set(twice)
    if runner.left_out:
        _say("left out, as these fail now and then without a bug:", *runner.left_out)
    return failing


def _planted_for_good(runner: Runner, copy: Path, report: Report) -> None:
    try:
        ran = runner.run(copy, Suite.SIMULATION, [WEAKENED], first_only=False)
    except NotRun as error:
        report.expected += 1
        report.add(Row("the simulation's own", "DOES NOT RUN", str(error)))
        return
    report.expected += len(ran.passed) + len(ran.failed)
    for test in ran.passed:
        report.add(Row(_bug_of(test), Suite.SIMULATION, "weakened.py", caught=True))
    for test in ran.failed:
        report.add(Row(_bug_of(test), "NOT CAUGHT", "weakened.py"))


def _bug_of(test: str) -> str:
    return test.partition("[")[2].removesuffix("]")


def _examined(
    mutant: Mutant, runner: Runner, copy: Path, suites: Sequence[Suite], *, every: bool
) -> Iterator[Row]:
    """Plant a bug and run its tests, suite by suite, until one fails (or all suites, with `every`)."""
    try:
        with planted(mutant, copy):
            found = False
            for suite in suites:
                tests = mutant.of(suite)
                if not tests or (found and not every):
                    continue
                ran = runner.run(copy, suite, tests, first_only=True)
                if ran.failed:
                    test = ran.failed[0].removeprefix(f"tests/{suite}/")
                    yield Row(mutant.name, suite, test, ran.seconds, caught=True)
                    found = True
                elif every:
                    yield Row(mutant.name, "NOT CAUGHT", f"by {suite}", ran.seconds)
            if not found and not every:
                yield Row(mutant.name, "NOT CAUGHT", mutant.breaks)
    except Stale as error:
        yield Row(mutant.name, "STALE", str(error))
    except NotRun as error:
        yield Row(mutant.name, "DOES NOT RUN", str(error))


@contextmanager
def _borrowed(copies: "SimpleQueue[Path]") -> Iterator[Path]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _seconds(row: Row) -> str:
    return "" if row.seconds is None else f"  ({row.seconds:.1f} s)"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
