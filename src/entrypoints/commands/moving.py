"""`bellwire export-users` and `bellwire import-users`: move users to another installation."""

import argparse
import sys
from contextlib import aclosing
from pathlib import Path
from typing import IO

from application.lines import Unfit
from common import lines
from domain.identifiers import UserId
from entrypoints.commands.account import by_account
from entrypoints.commands.output import Output, add_json, status
from entrypoints.commands.running import on_postgres
from entrypoints.container.moving import MovingContainer


def export_users(parser: argparse.ArgumentParser) -> None:
    """Print users as JSON lines."""
    parser.add_argument("--prefix", default="", metavar="TEXT", help="only users whose ids begin with this")
    parser.add_argument("--after", metavar="ID", help="go on behind this user")
    parser.set_defaults(run=_export)


def import_users(parser: argparse.ArgumentParser) -> None:
    """Store the users of an export."""
    parser.add_argument("file", metavar="FILE", help="what export-users printed; - for standard input")
    add_json(parser)
    parser.set_defaults(run=_import)


def _export(arguments: argparse.Namespace) -> None:
    after = None if arguments.after is None else UserId(arguments.after)

    async def work(container: MovingContainer) -> None:
        try:
            async with aclosing(container.export_users()(by_account(), arguments.prefix, after)) as found:
                async for line in found:
                    sys.stdout.buffer.write(lines.write(line))
            sys.stdout.flush()
        finally:
            await container.patient_engine().dispose()

    on_postgres(MovingContainer, work)


def _import(arguments: argparse.Namespace) -> int:
    out = Output.of(arguments)

    async def work(container: MovingContainer) -> int:
        try:
            await container.redis_server().ping()
            with _open(arguments.file) as file:
                return await _store(container, file, out)
        finally:
            await container.redis_server().close()
            await container.patient_engine().dispose()

    return 1 if on_postgres(MovingContainer, work) else 0


def _open(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise Unfit(f"{name}: {error.strerror}") from error


async def _store(container: MovingContainer, file: IO[bytes], out: Output) -> int:
    """Import, and print it. Returns how many users were refused."""
    counts = {"imported": 0, "present": 0, "refused": 0}
    async for moved in container.import_users()(lines.read(file), by_account()):
        counts["refused" if moved.refused else moved.outcome] += 1
        if moved.refused:
            status(f"{moved.user} was not imported: {moved.outcome}")
        elif moved.outcome == "imported":
            out.progress(f"{moved.user} imported, with {moved.rows} rows")
    # Fails if Redis went away meanwhile: nobody else would drop what it holds of these users.
    await container.redis_announcer().heal()
    out.progress(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    out.result(counts)
    return counts["refused"]
