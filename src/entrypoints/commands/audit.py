"""`bellwire audit`: prints the audit trail."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime

from application.audit import Recorded, Search
from common import wire
from entrypoints.commands.output import Cell, Output, add_json
from entrypoints.commands.running import on_postgres
from entrypoints.container.accounts import AccountsContainer

_PAGE = 1_000
_COLUMNS = ("Time", "Action", "Of", "By", "From", "Detail")
_FIELDS = ("at", "actor_kind", "actor", "action", "target", "address", "request_id", "detail", "id")


def audit(parser: argparse.ArgumentParser) -> None:
    """Print entries, the newest first."""
    parser.add_argument("--actor", help="only by this key, user or account")
    parser.add_argument("--action", help="only of this action, such as user.erased")
    parser.add_argument("--target", help="only about this key or user")
    parser.add_argument("--since", type=_time, help="only from this time on, such as 2026-11-01T00:00:00Z")
    parser.add_argument("--limit", type=int, default=100, help="at most this many (default: 100)")
    form = parser.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--csv", action="store_true", help="comma-separated values with a header")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    search = Search(
        actor=arguments.actor, action=arguments.action, target=arguments.target, since=arguments.since
    )

    async def read(container: AccountsContainer) -> Sequence[Recorded]:
        found: list[Recorded] = []
        more = True
        while more and len(found) < arguments.limit:
            page, more = await container.list_audit()(
                search, min(_PAGE, arguments.limit - len(found)), found[-1].id if found else None
            )
            found += page
        return found

    entries = on_postgres(AccountsContainer, read)
    if arguments.csv:
        _print_csv(entries)
    else:
        Output.of(arguments).table(entries, columns=_COLUMNS, cells=_cells, entry=_entry)


def _print_csv(entries: Sequence[Recorded]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(_FIELDS)
    for entry in entries:
        fields = {name: getattr(entry, name) for name in _FIELDS}
        fields |= {"at": entry.at.isoformat(), "detail": wire.text(entry.detail)}
        writer.writerow([_harmless(str(fields[name] or "")) for name in _FIELDS])


def _harmless(text: str) -> str:
    """A value that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _cells(entry: Recorded) -> Sequence[Cell]:
    actor = f"{entry.actor_kind} {entry.actor or '-'}"
    detail = wire.text(entry.detail) if entry.detail else ""
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}Z"
    return at, (entry.action, "bold"), entry.target or "-", actor, entry.address or "-", detail


def _entry(entry: Recorded) -> object:
    return json.loads(wire.text(entry))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a time, such as 2026-11-01T00:00:00Z") from None
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError("must have a time zone, such as Z")
    return time
