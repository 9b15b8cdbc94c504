"""`bellwire completion`: what completes the command line in a shell."""

import argparse

import shtab

from entrypoints.commands.cli import whole_parser

_SHELLS = ("bash", "zsh", "fish")
_USE = """in bash: eval "$(bellwire completion bash)", for good in ~/.bashrc.
In zsh: bellwire completion zsh > a folder of $fpath/_bellwire. In fish: bellwire completion fish >
~/.config/fish/completions/bellwire.fish."""


def completion(parser: argparse.ArgumentParser) -> None:
    """Print a script for a shell."""
    parser.epilog = _USE
    parser.add_argument("shell", choices=_SHELLS)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    print(shtab.complete(whole_parser(arguments.commands), arguments.shell))
