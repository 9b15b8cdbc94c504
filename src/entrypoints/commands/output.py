"""How commands print: for people on a terminal, plain in a pipe, or as JSON.

Results go to standard output, everything else to standard error. Text from elsewhere is escaped, so that no
terminal interprets it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import msgspec

from application.printing import printable

T = TypeVar("T")
Cell: TypeAlias = str | tuple[str, str]
"""A text, or a text and its style in rich's words, such as `bold red`."""

_BETWEEN = "  "
_TALKATIVE = ("adapters", "aiokafka", "asyncio")


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`, which means the same behind a command and behind a command of that command."""
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        default=argparse.SUPPRESS,
        help="print JSON, one object on each line",
    )


class Output:
    """Prints results in the form that was asked for."""

    def __init__(self, *, as_json: bool, terminal: bool | None = None) -> None:
        """`terminal` is whether a person reads it; by default, whether standard output is a terminal."""
        self.as_json = as_json
        self._terminal = sys.stdout.isatty() if terminal is None else terminal
        self._console: Any = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Output":
        """As the arguments of a command with `add_json` say."""
        return cls(as_json=getattr(arguments, "as_json", False))

    def table(
        self,
        things: Iterable[T],
        *,
        columns: Sequence[str],
        cells: Callable[[T], Sequence[Cell]],
        entry: Callable[[T], object],
    ) -> None:
        """Print things: on a terminal a table, in a pipe the same cells, a line each and without a header; as
        JSON the entry of each, on a line.
        """
        if self._terminal and not self.as_json:
            self._draw(columns, [cells(thing) for thing in things])
        else:
            for thing in things:
                self.row(cells(thing), entry(thing) if self.as_json else None)

    def row(self, cells: Sequence[Cell], entry: object) -> None:
        """Print one line of many, of which nobody knows how wide the others are; as JSON the entry."""
        if self.as_json:
            print(as_json(entry))
        elif self._terminal:
            self._rich().print(_text(cells), soft_wrap=True)
        else:
            print(_BETWEEN.join(_plain(cell) for cell in cells).rstrip())

    def line(self, cells: Sequence[Cell], entry: object) -> None:
        """Print one line of a stream, at once; as JSON the entry."""
        self.row(cells, entry)
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """Print how far it got, at once; nothing as JSON, where only the result counts."""
        if not self.as_json:
            print(text, flush=True)

    def result(self, entry: object) -> None:
        """Print the entry as JSON; nothing otherwise, where the lines before said it."""
        if self.as_json:
            print(as_json(entry))

    def fields(self, fields: Mapping[str, Cell], entry: object) -> None:
        """Print one thing, its fields below each other; as JSON the entry."""
        if self.as_json:
            print(as_json(entry))
            return
        width = max(map(len, fields), default=0)
        for name, value in fields.items():
            self.row([(f"{name:{width}}", "dim"), value], None)

    def value(self, text: str, entry: object) -> None:
        """Print a single text alone, such as a token for `$(…)`; as JSON the entry."""
        print(as_json(entry) if self.as_json else text)

    def _draw(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        from rich import box  # noqa: PLC0415 - takes long to import
        from rich.table import Table  # noqa: PLC0415

        if not rows:
            return
        table = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
        for row in rows:
            table.add_row(*(_text([cell]) for cell in row))
        self._rich().print(table)

    def _rich(self) -> Any:
        """The console. rich knows NO_COLOR, and which colours the terminal has."""
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415 - takes long to import

            self._console = Console(highlight=False, markup=False, emoji=False)
        return self._console


def as_json(entry: object) -> str:
    """JSON on one line, in ASCII: what is not would be a terminal's to interpret."""
    return json.dumps(msgspec.to_builtins(entry))


def status(message: str) -> None:
    """Print what is no result: progress, warnings and errors."""
    print(f"bellwire: {printable(message)}", file=sys.stderr, flush=True)


def confirmed(question: str) -> bool:
    """Ask for confirmation at a terminal. Without one the answer is no: scripts say --yes."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the logs of adapters: the one line that says what is wrong is the command's own."""
    import logging  # noqa: PLC0415 - takes long to import

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _plain(cell: Cell) -> str:
    return printable(cell if isinstance(cell, str) else cell[0])


def _text(cells: Sequence[Cell]) -> Any:
    from rich.text import Text  # noqa: PLC0415 - takes long to import

    text = Text()
    for number, cell in enumerate(cells):
        text.append(_BETWEEN if number else "")
        text.append(_plain(cell), style=None if isinstance(cell, str) else cell[1])
    return text
