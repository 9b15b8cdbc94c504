"""`bellwire tail`: what flows through Kafka now, and at which rates."""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase

from application.errors import Unavailable
from application.letters import DeadLetter
from application.passing import Passed, Seen
from application.ports import Monotonic, Passage
from entrypoints.commands import times
from entrypoints.commands.live_line import LiveLine
from entrypoints.commands.output import Output, add_json, status
from entrypoints.commands.passing_texts import cells, entry, rate_cells, rates
from entrypoints.container.parts.base import build
from entrypoints.container.passing import PassingContainer
from entrypoints.settings import Settings

_TICK_SECONDS = 1.0
_WAIT_SECONDS = 0.25


def tail(parser: argparse.ArgumentParser) -> None:
    """Watch the queue until Ctrl-C, without a consumer group: nothing is disturbed or committed."""
    parser.add_argument("--user", metavar="ID", help="only what is for this user")
    parser.add_argument("--event", metavar="PATTERN", help="only such events, as in 'comment.*'")
    parser.add_argument("--rates", action="store_true", help="only the rates, once a second")
    parser.add_argument(
        "--for", dest="span", type=times.overlap, metavar="SPAN", help="end by itself, such as 30s"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    container = build(PassingContainer, Settings.from_env())
    # The client's log of every attempt would bury the one line that says what is wrong.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return asyncio.run(_tail(container, arguments))


async def _tail(container: PassingContainer, arguments: argparse.Namespace) -> int:
    now = container.now()
    async with _started(container.passage()) as passage:
        watching = Watching(arguments, now)
        end = None if arguments.span is None else now() + arguments.span.total_seconds()
        try:
            while end is None or now() < end:
                try:
                    watching(await passage.next(_WAIT_SECONDS))
                except Unavailable as error:
                    watching.say(error.detail)
                    await asyncio.sleep(_TICK_SECONDS)
        finally:
            watching.end()
    return 0


@asynccontextmanager
async def _started(passage: Passage) -> AsyncIterator[Passage]:
    try:
        await passage.start()
        yield passage
    finally:
        await passage.stop()


class Watching:
    """Prints what passes, and counts it."""

    def __init__(self, arguments: argparse.Namespace, now: Monotonic) -> None:
        self._out = Output.of(arguments)
        self._user: str | None = arguments.user
        self._event: str | None = arguments.event
        self._only_rates: bool = arguments.rates
        self._now = now
        self._line = LiveLine()
        self._began = self._ticked = now()
        self._all, self._latest = Passed(), Passed()
        self.say("watching from now on; Ctrl-C ends it")

    def __call__(self, seen: Sequence[Seen]) -> None:
        """What has passed since the last call; perhaps nothing."""
        wanted = [one for one in seen if self._is_wanted(one)]
        if wanted:
            self._line.clear()
        for one in wanted:
            self._all.add(one)
            self._latest.add(one)
            if isinstance(one, DeadLetter) or not self._only_rates:
                self._out.line(cells(one), entry(one))
        if self._now() - self._ticked >= _TICK_SECONDS:
            self._tick()

    def say(self, text: str) -> None:
        """Print what is no record."""
        self._line.clear()
        status(text)

    def end(self) -> None:
        """Print the totals."""
        self._line.clear()
        self._print_rates("total", self._all, self._now() - self._began)

    def _tick(self) -> None:
        now = self._now()
        latest, seconds = self._latest, now - self._ticked
        self._latest, self._ticked = Passed(), now
        if self._only_rates or (self._out.as_json and latest.records):
            self._print_rates("rates", latest, seconds)
        rate = "  ".join(text for text, _ in rate_cells("now", latest, seconds)[2:])
        self._line.show(f"{self._all.records:,} records so far; now {rate}")

    def _print_rates(self, what: str, passed: Passed, seconds: float) -> None:
        self._out.line(rate_cells(what, passed, seconds), {"type": what, **rates(passed, seconds)})

    def _is_wanted(self, seen: Seen) -> bool:
        if self._user is not None and seen.user != self._user:
            return False
        if self._event is None or isinstance(seen, DeadLetter):
            return True
        return fnmatchcase(seen.event, self._event)
