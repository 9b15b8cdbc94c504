"""`bellwire listen`: a user's feed, live in the terminal."""

import argparse

from bellwire_client import Connected, Disconnected, Unreachable
from entrypoints.commands import remote
from entrypoints.commands.event_texts import Telling, entry
from entrypoints.commands.output import Output, add_json, status
from entrypoints.container.parts.base import Base, build
from entrypoints.settings import Settings


def listen(parser: argparse.ArgumentParser) -> None:
    """Follow a feed until Ctrl-C, across broken connections and restarts of the service."""
    parser.add_argument("user", metavar="USER", help="whose feed")
    parser.add_argument(
        "--since", metavar="CURSOR", help="begin with what has changed since then; otherwise now"
    )
    remote.add_url(parser)
    remote.add_token(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    return remote.run(arguments, lambda: _listen(arguments))


async def _listen(arguments: argparse.Namespace) -> int:
    out, client = Output.of(arguments), remote.as_user(arguments, arguments.user)
    telling = Telling(build(Base, Settings()).clock())
    connected = False
    async with client.stream(arguments.user, cursor=arguments.since) as stream:
        try:
            async for event in stream:
                connected = connected or isinstance(event, Connected)
                if isinstance(event, Disconnected) and not connected:
                    raise Unreachable(event.reason)
                if out.as_json:
                    out.line((), entry(event))
                else:
                    for line in telling(event):
                        out.line(line, None)
        finally:
            if connected:
                status(f"to continue from here: bellwire listen {arguments.user} --since {stream.cursor}")
    return 0
