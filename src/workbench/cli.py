"""`bellwire dev` and `bellwire soak`: the commands of a checkout."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from entrypoints.settings import InvalidSettings, Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Return the exit status: 2 for a wrong setting or command, 1 for a failure."""
    arguments = _parser().parse_args(argv)
    for mistake in Settings.misspelt():
        print(f"bellwire: {mistake}", file=sys.stderr)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130
    except InvalidSettings as error:
        print(f"bellwire: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"bellwire: {error.name} is missing: pip install -e '.[soak]' in the checkout", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bellwire")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "run everything on embedded servers, to try it out or develop it"
    dev = commands.add_parser("dev", help=about, description=about)
    dev.set_defaults(run=_dev)
    about = "run everything under load and faults, and check what it promises"
    soak = commands.add_parser("soak", help=about, description=about)
    soak.set_defaults(run=_soak)
    soak.add_argument("--minutes", type=float, default=5.0, help="how long the load lasts (5)")
    soak.add_argument("--seed", type=int, default=1, help="seed of the faults and the traffic (1)")
    soak.add_argument("--rate", type=float, default=150.0, help="notifications a second (150)")
    soak.add_argument("--servers", choices=["embedded", "kafka"], default="embedded", help="the broker")
    soak.add_argument("--out", type=Path, help="the folder for the results (soak-<seed>)")
    soak.add_argument("--plan", action="store_true", help="print the schedule of faults and exit")
    return parser


def _dev(_arguments: argparse.Namespace) -> int:
    from workbench import dev  # noqa: PLC0415 - needs the embedded servers

    return dev.run()


def _soak(arguments: argparse.Namespace) -> int:
    from workbench.soak import command  # noqa: PLC0415 - needs the clients of the soak

    return command.run(arguments)
