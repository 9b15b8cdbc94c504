"""`bellwire dlq`: lists dead letters, and replays them once the cause is gone.

Results go to standard output, everything else to standard error.
"""

import argparse
import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import datetime, timedelta
from typing import TypeAlias

from application.audit import Action, Entry, audited
from application.dead_letters import Pace, Plan, ReplayDeadLetters, Selection, Skip
from application.letters import Position
from application.ports import Monotonic
from entrypoints.commands import times
from entrypoints.commands.account import by_account
from entrypoints.commands.letter_texts import Summary, cells, details, entry, summary_cells, whole_entry
from entrypoints.commands.output import Output, add_json, confirmed, quiet, status
from entrypoints.container.dead_letters import DeadLettersContainer
from entrypoints.container.parts.base import build
from entrypoints.settings import Settings

_RATE = 100.0
_MAX_ATTEMPTS = 5
_INTERRUPTED = 130
_QUIET_SECONDS = 2.0
_Work: TypeAlias = Callable[[DeadLettersContainer, argparse.Namespace], Awaitable[int]]


# --- the arguments ------------------------------------------------------------------------------------


def dlq(parser: argparse.ArgumentParser) -> None:
    """The commands below `bellwire dlq`, and what each takes."""
    parser.set_defaults(run=run)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, work: _Work, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.set_defaults(work=work)
        return made

    listing = command("list", _list, "one line per letter, by partition and offset")
    _add_filters(listing)
    listing.add_argument("--summary", action="store_true", help="count them by error code instead")
    add_json(listing)
    show = command("show", _show, "everything about one letter")
    show.add_argument("position", type=position, metavar="PARTITION:OFFSET")
    add_json(show)
    replay = command("replay", _replay, "write records to the queue again; stored ones do not change")
    replay.add_argument("positions", type=position, nargs="*", metavar="PARTITION:OFFSET", default=[])
    _add_filters(replay)
    replay.add_argument("--dry-run", action="store_true", help="only print what would be done")
    replay.add_argument("--yes", action="store_true", help="do not ask; required without a terminal")
    add_json(replay)
    replay.add_argument(
        "--rate", type=rate, default=_RATE, metavar="PER_SECOND", help="at most (%(default)g)"
    )
    replay.add_argument(
        "--max-attempts",
        type=at_least(1),
        default=_MAX_ATTEMPTS,
        metavar="N",
        help="leave alone records that have failed more often (%(default)s)",
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--error", action="append", default=[], help="an error code or class; may be repeated"
    )
    parser.add_argument("--since", type=moment, metavar="TIME", help="RFC 3339, or an age: 30m, 2h, 3d")
    parser.add_argument("--until", type=moment, metavar="TIME", help="the same; this moment is not included")
    parser.add_argument("--partition", type=at_least(0), metavar="N")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="only the first N")


def position(text: str) -> Position:
    """PARTITION:OFFSET. Raises ArgumentTypeError."""
    if re.fullmatch(r"[0-9]{1,10}:[0-9]{1,19}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError("must be PARTITION:OFFSET, such as 3:17")
    partition, offset = text.split(":")
    return Position(int(partition), int(offset))


def moment(text: str) -> datetime | timedelta:
    """A time, or an age. Raises ArgumentTypeError."""
    age = times.span(text)
    found = times.time(text) if age is None else age
    if found is None:
        raise argparse.ArgumentTypeError(
            "must be a time with a zone, such as 2026-11-22T10:00:00Z, or an age, such as 2h"
        )
    return found


def rate(text: str) -> float:
    """A number above 0. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 100_000:
        raise argparse.ArgumentTypeError("must be a number above 0, up to 100000")
    return number


def at_least(lowest: int) -> Callable[[str], int]:
    """A parser of integers from `lowest` on, which raises ArgumentTypeError."""

    def integer(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) is None or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be an integer from {lowest}")
        return int(text)

    return integer


def selection(arguments: argparse.Namespace, now: datetime) -> Selection:
    """The selection of the filters, with ages counted back from `now`."""

    def time(given: datetime | timedelta | None) -> datetime | None:
        return now - given if isinstance(given, timedelta) else given

    return Selection(
        errors=frozenset(arguments.error),
        since=time(arguments.since),
        until=time(arguments.until),
        partition=arguments.partition,
        positions=frozenset(getattr(arguments, "positions", ())),
        limit=arguments.limit,
    )


# --- the commands -------------------------------------------------------------------------------------


def run(arguments: argparse.Namespace) -> int:
    """Run a command. Returns the exit status; the caller prints errors."""
    settings = Settings.from_env()
    with quiet():
        return asyncio.run(execute(arguments, settings))


async def execute(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run a command in the running event loop. Returns the exit status."""
    container = build(DeadLettersContainer, settings)
    box = container.kafka_dead_letter_box()
    try:
        await box.start()
        return int(await arguments.work(container, arguments))
    finally:
        await box.stop()


async def _list(container: DeadLettersContainer, arguments: argparse.Namespace) -> int:
    chosen = selection(arguments, container.clock()())
    summary, out = Summary(), Output.of(arguments)
    async with aclosing(container.list_dead_letters()(chosen, _Progress("read", container.now()))) as letters:
        async for letter in letters:
            if arguments.summary:
                summary.add(letter)
            else:
                out.row(cells(letter), entry(letter) if out.as_json else None)
    for counted in summary.entries():
        out.row(summary_cells(counted), counted)
    return 0


async def _show(container: DeadLettersContainer, arguments: argparse.Namespace) -> int:
    letter = await container.dead_letter_box().get(arguments.position)
    out = Output.of(arguments)
    out.result(whole_entry(letter))
    for text in details(letter):
        out.progress(text)
    return 0


async def _replay(container: DeadLettersContainer, arguments: argparse.Namespace) -> int:
    chosen = selection(arguments, container.clock()())
    replay = container.replay_dead_letters()
    plan = await replay.plan(chosen, arguments.max_attempts, _Progress("read", container.now()))
    topic = container.dead_letter_box().replays_to
    if arguments.dry_run:
        _print_steps(plan, topic, Output.of(arguments))
    whole = _report_left_alone(plan, chosen)
    count = len(plan.replayed)
    if arguments.dry_run:
        status(f"{count:,} would be replayed")
        return 0 if whole else 1
    question = f"Replay {count:,} to {topic}, up to {arguments.rate:g}/s?"
    if count and not arguments.yes and not confirmed(question):
        status("nothing was replayed; confirm with --yes")
        return 1
    if count:
        # First, so that nothing is replayed that is not recorded.
        recorded = Entry(by_account(), Action.LETTERS_REPLAYED, topic, {"letters": count})
        await audited(recorded, container.write_entry())
    done, interrupted = await _send(replay, plan, arguments.rate, container.now())
    Output.of(arguments).result({"replayed": done, "selected": len(plan.steps)})
    if done < count:
        return _INTERRUPTED if interrupted else 1
    return 0 if whole else 1


def _print_steps(plan: Plan, topic: str, out: Output) -> None:
    for place, skip in plan.steps.items():
        what = f"left alone: {skip}" if skip else f"to {topic}"
        out.row([str(place), what], {"position": str(place), "left_alone": skip and str(skip)})


def _report_left_alone(plan: Plan, chosen: Selection) -> bool:
    """Print what is not replayed. Returns whether every selected letter is replayed or superseded."""
    for skip, count in plan.skipped.items():
        status(f"{count:,} left alone: {skip}")
    missing = sorted(chosen.positions - plan.steps.keys())
    for place in missing:
        status(f"{place} does not exist, or does not match the filters")
    return not missing and plan.skipped.keys() <= {Skip.SUPERSEDED}


async def _send(replay: ReplayDeadLetters, plan: Plan, per_second: float, now: Monotonic) -> tuple[int, bool]:
    """Replay until done or Ctrl-C, and print how far it got, even if it fails. Returns how many were
    replayed, and whether it was interrupted.
    """
    count, done, last = len(plan.replayed), 0, None
    pace, progress = Pace(per_second, now), _Progress("replayed", now)
    with _interrupts() as interrupted:
        try:
            async with aclosing(replay(plan)) as letters:
                async for letter in letters:
                    done, last = done + 1, letter.position
                    progress(done, count)
                    if done < count and await _set_within(interrupted, pace.pause()):
                        break
        finally:
            stopped_at = f"; the last was {last}" if last and done < count else ""
            status(f"{done:,} of {count:,} replayed{stopped_at}")
    return done, interrupted.is_set()


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C sets, instead of interrupting the work."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, event.set)
    try:
        yield event
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


class _Progress:
    """Prints the progress once a second, if the work takes long."""

    def __init__(self, verb: str, now: Monotonic) -> None:
        self._verb = verb
        self._now = now
        self._next = now() + _QUIET_SECONDS

    def __call__(self, done: int, total: int) -> None:
        if self._now() >= self._next:
            self._next = self._now() + 1
            status(f"{self._verb} {done:,} of {total:,}")
