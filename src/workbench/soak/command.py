"""`bellwire soak`: some minutes of load and faults, then a verdict."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from entrypoints.loop import event_loop_factory
from workbench import data_folder
from workbench.apache_kafka import ApacheKafkaServer
from workbench.embedded import KafkaServer, TansuServer
from workbench.processes import ServerFailed
from workbench.programs import MissingServer
from workbench.soak import plot, report
from workbench.soak.run import Plan, Progress, Result, Soak
from workbench.soak.waiting import TooLate

KAFKA_HOME = "KAFKA_HOME"


def run(chosen: argparse.Namespace) -> int:
    """Run. Return 0 if every promise that was checked held, 1 if one did not or nothing started."""
    kind, broker = _broker(chosen.servers)
    plan = Plan(chosen.minutes * 60, chosen.seed, chosen.rate, broker, durable_broker=kind.durable)
    if chosen.plan:
        print("\n".join(map(str, plan.faults)))
        return 0
    folder = (chosen.out or Path(f"soak-{chosen.seed}")).resolve()
    data_folder.make(folder, "--out")
    (folder / "history.jsonl").unlink(missing_ok=True)
    # The clients' libraries complain about the faults that we cause.
    logging.basicConfig(
        filename=folder / "soak.log", filemode="w", format="%(asctime)s %(name)s: %(message)s"
    )
    try:
        with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
            result = runner.run(_soak(plan, folder))
    except (MissingServer, ServerFailed, TooLate) as failure:
        print(f"✗ {failure}", file=sys.stderr)
        return 1
    report.write(result, folder)
    plot.draw(result, folder / "run.svg")
    print(report.markdown(result))
    print(f"The results of this run are in {folder}")
    return 0 if report.passed(result) else 1


def _broker(servers: str) -> tuple[type[KafkaServer], Callable[..., KafkaServer]]:
    if servers == "embedded":
        return TansuServer, TansuServer
    home = Path(os.environ.get(KAFKA_HOME) or Path.cwd() / ".bellwire" / "kafka")
    return ApacheKafkaServer, partial(ApacheKafkaServer, home=home)


async def _soak(plan: Plan, folder: Path) -> Result:
    screen = _Screen()
    soak = Soak(plan, folder, screen.say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, soak.stop)
    showing = asyncio.create_task(screen.show(lambda: soak.progress))
    try:
        return await soak.run()
    finally:
        showing.cancel()
        screen.clear()


class _Screen:
    """One line that is updated on a terminal; elsewhere a new line from time to time."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        self.clear()
        print(f"{time.monotonic() - self._began:7.1f} s  {line}", flush=True)

    def clear(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", flush=True)

    async def show(self, progress: Callable[[], Progress]) -> None:
        while True:
            line = _line(progress())
            if self._live:
                print(f"\r\x1b[K{line}", end="", flush=True)
            else:
                self.say(line)
            await asyncio.sleep(1 if self._live else 15)


def _line(now: Progress) -> str:
    words = f"{_clock(now.elapsed)} of {_clock(now.seconds)}  {now.doing}"
    if now.totals is None:
        return words
    stored = now.totals.stored
    waiting = "?" if stored is None else max(0, now.totals.accepted - stored)
    return (
        f"{words}  accepted {now.totals.accepted}, stored {'?' if stored is None else stored}, "
        f"delivered {now.totals.delivered}, waiting {waiting}"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
