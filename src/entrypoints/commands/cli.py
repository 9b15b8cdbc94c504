"""The `bellwire` command."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeAlias

from application.errors import ApplicationError, Unavailable
from domain.errors import DomainError
from entrypoints.commands.output import status as say
from entrypoints.environment import dev_file
from entrypoints.settings import InvalidSettings, Settings

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the number of the signal."""

Commands: TypeAlias = dict[str, tuple[str, str]]
"""By name: the help text, and the function (`module:name`) that adds the arguments and sets what to run."""

_COMMANDS = {
    "api": ("run the HTTP API and the live streams", "api:api"),
    "consumer": ("run the consumer, which stores notifications from Kafka", "consumer:consumer"),
    "publish": ("publish a notification, or those in a file", "publish:publish"),
    "listen": ("follow a user's feed, live", "listen:listen"),
    "inbox": ("list a user's notifications, or mark some", "inbox:inbox"),
    "tail": ("watch what flows through Kafka, with its rates", "tail:tail"),
    "drain": ("take an API process out of service, and wait for its streams to end", "draining:drain"),
    "migrate": ("bring the database and the topics up to date", "setup:migrate"),
    "prune": ("delete old notifications", "pruning:prune"),
    "export-users": ("print users with everything, for another installation", "moving:export_users"),
    "import-users": ("store users that another installation has exported", "moving:import_users"),
    "reset-feeds": ("after a restored backup: have every client reload", "restoring:reset_feeds"),
    "status": ("show on one screen how everything is", "status:status"),
    "health": ("exit with 0 if a process on this machine works, for health checks", "health:health"),
    "doctor": ("look at everything, and name each fault and its fix", "doctor:doctor"),
    "openapi": ("print the OpenAPI document", "openapi:openapi"),
    "asyncapi": ("print the AsyncAPI document of the live stream", "asyncapi:asyncapi"),
    "demo-access": ("create the demo user and an API key, and print them as JSON", "demo:demo_access"),
    "keys": ("create, list, rotate and revoke the API keys of producers", "keys:keys"),
    "categories": ("list categories, and set what they are", "categories:categories"),
    "create-key": ("the same as keys create", "keys:create_key"),
    "revoke-key": ("the same as keys revoke", "keys:revoke_key"),
    "dlq": ("list, show and replay dead letters", "dead_letters:dlq"),
    "disable-user": ("disable a user: no log-in, no valid token", "locking:disable_user"),
    "enable-user": ("enable a disabled user", "locking:enable_user"),
    "users": ("create, list, find, show, erase or export users", "users:users"),
    "revoke-tokens": ("sign a user out everywhere", "locking:revoke_tokens"),
    "revoke-token": ("revoke a single token", "sessions:revoke_token"),
    "audit": ("print the audit trail", "audit:audit"),
    "token": ("mint a token for a user", "token:token"),
    "completion": ("print what completes this command in a shell", "completion:completion"),
}
COMMANDS: Commands = {
    name: (about, f"entrypoints.commands.{function}") for name, (about, function) in _COMMANDS.items()
}
"""Those that every installation has."""


def main(argv: Sequence[str] | None = None, commands: Commands = COMMANDS) -> int:
    """Run a command. Returns the exit status: 0 done, 1 failed, 2 wrong setting or command, 130 after
    Ctrl-C.
    """
    try:
        arguments = parser(commands).parse_args(argv)
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`). The interpreter flushes once more before it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _run(arguments: argparse.Namespace) -> int:
    """Run what was parsed; print its errors. Returns the exit status."""
    try:
        for mistake in Settings.misspelt():
            say(mistake)
        return int(arguments.run(arguments) or 0)
    except InvalidSettings as error:
        say(str(error))
        return 2
    except (ApplicationError, DomainError) as error:
        say(str(error.detail))
        if isinstance(error, Unavailable) and (file := dev_file()):
            say(f"the settings are those of {file}, which `make dev` wrote; does it still run?")
        return 1


def parser(commands: Commands = COMMANDS) -> argparse.ArgumentParser:
    """The command line, without the modules of its commands: only the one that runs is imported."""
    made = argparse.ArgumentParser(prog="bellwire", description="Self-hosted real-time notifications.")
    made.set_defaults(commands=commands)
    made.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    below = made.add_subparsers(required=True, metavar="COMMAND", parser_class=_Command)
    for name, (about, function) in commands.items():
        below.add_parser(name, help=about, description=about, function=function)
    return made


def whole_parser(commands: Commands = COMMANDS) -> argparse.ArgumentParser:
    """The command line with the arguments of every command, for completion and documentation."""
    made = parser(commands)
    for action in made._actions:  # noqa: SLF001 - there is no other way to the commands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for command in action.choices.values():
                command.complete()
    return made


class _Command(argparse.ArgumentParser):
    """The parser of one command. When it is used, `function` (`module:name`) adds the arguments."""

    def __init__(self, *, function: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._function = function

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, as the base class does."""
        self.complete()
        return super().parse_known_args(args, namespace)

    def complete(self) -> None:
        """Add the arguments, unless that was done."""
        if self._function is not None:
            module, _, name = self._function.partition(":")
            self._function = None
            add_arguments: Callable[[argparse.ArgumentParser], None] = getattr(import_module(module), name)
            add_arguments(self)


class _Version(argparse.Action):
    """Prints the version and exits. argparse's own action would look it up for every command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from entrypoints.version import app_version  # noqa: PLC0415 - reads the metadata of the installation

        print(f"bellwire {app_version()}")
        parser.exit()
