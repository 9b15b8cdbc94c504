"""`bellwire dev` and `bellwire soak`: the commands of a checkout."""

import argparse
import sys
from pathlib import Path

from entrypoints.commands.cli import Commands

COMMANDS: Commands = {
    "dev": ("run everything on embedded servers, to try it out or develop it", "workbench.cli:dev"),
    "soak": ("run everything under load and faults, and check what it promises", "workbench.cli:soak"),
}


def dev(parser: argparse.ArgumentParser) -> None:
    """Run the whole service until Ctrl-C."""
    parser.set_defaults(run=_dev)


def soak(parser: argparse.ArgumentParser) -> None:
    """Run the whole service, break it, and judge it."""
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the load lasts (5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults and the traffic (1)")
    parser.add_argument("--rate", type=float, default=150.0, help="notifications a second (150)")
    parser.add_argument("--servers", choices=["embedded", "kafka"], default="embedded", help="the broker")
    parser.add_argument("--out", type=Path, help="the folder for the results (soak-<seed>)")
    parser.add_argument("--plan", action="store_true", help="print the schedule of faults and exit")
    parser.set_defaults(run=_soak)


def _dev(_arguments: argparse.Namespace) -> int:
    from workbench import dev  # noqa: PLC0415 - needs the embedded servers

    return dev.run()


def _soak(arguments: argparse.Namespace) -> int:
    try:
        from workbench.soak import command  # noqa: PLC0415 - needs the clients of the soak
    except ImportError as error:
        print(f"bellwire: {error.name} is missing: pip install -e '.[soak]' in the checkout", file=sys.stderr)
        return 1
    return command.run(arguments)
