"""`bellwire publish`: one notification from arguments, or many from a file."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from application.errors import ApplicationError
from bellwire_client import Bellwire, Connected, Disconnected, Notifications, Problem, Stream, Unreachable
from entrypoints.commands import remote, times
from entrypoints.commands.output import Output, add_json, status
from entrypoints.commands.publishing import Item, Many, encoded, entries_in, published
from entrypoints.container.parts.base import Base, build
from entrypoints.settings import Settings

_EVENT = "message.sent"
_WAIT_SECONDS = 10.0
_PATIENCE = 30.0
_TEXTS = (
    "title",
    "message",
    "event",
    "category",
    "severity",
    "collapse_key",
    "action_url",
    "icon",
    "image_url",
)


# --- the arguments ------------------------------------------------------------------------------------


def publish(parser: argparse.ArgumentParser) -> None:
    """Publish a notification, or those in a file, of which these arguments are the defaults."""
    parser.add_argument("user", metavar="USER", nargs="?", help="for whom it is")
    _add_content(parser)
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="publish the items of a file, or - for standard input: a JSON list, or an object on each line, "
        "as the HTTP API takes them",
    )
    parser.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="publish only once within 24 hours, however often the same command runs",
    )
    parser.add_argument("--wait", action="store_true", help="until it was pushed to the user's streams")
    remote.add_url(parser)
    remote.add_token(parser)
    add_json(parser)
    parser.set_defaults(run=lambda arguments: _run(parser, arguments))


def _add_content(parser: argparse.ArgumentParser) -> None:
    """Add the fields of a notification."""
    parser.add_argument("--message", metavar="TEXT", help="what it says")
    parser.add_argument("--title", metavar="TEXT", help="what stands above the message")
    parser.add_argument("--event", metavar="NAME", help=f"what happened ({_EVENT})")
    parser.add_argument("--category", metavar="NAME", help="by default what EVENT has before its first dot")
    parser.add_argument(
        "--severity", choices=["info", "success", "warning", "critical"], help="how serious it is"
    )
    parser.add_argument("--actor", metavar="NAME", help="who did it")
    parser.add_argument("--collapse-key", metavar="KEY", help="notifications with the same key become one")
    parser.add_argument(
        "--action",
        action="append",
        type=_action,
        metavar="ID=LABEL[=URL]",
        dest="actions",
        help="a button, up to three; without a URL the answer comes back to the sender",
    )
    parser.add_argument("--action-url", metavar="URL", help="where the notification leads")
    parser.add_argument("--icon", metavar="NAME", help="an icon that the page knows")
    parser.add_argument("--image-url", metavar="URL", help="a picture")
    parser.add_argument("--metadata", type=_metadata, metavar="JSON", help="an object of your own")
    parser.add_argument("--expires", type=times.expiry, metavar="TIME", help="a span such as 2h, or a time")


def _action(text: str) -> dict[str, str]:
    identifier, given, rest = text.partition("=")
    label, _, url = rest.partition("=")
    if not (given and identifier and label):
        raise argparse.ArgumentTypeError("must be ID=LABEL or ID=LABEL=URL, such as approve=Approve")
    return {"id": identifier, "label": label} | ({"url": url} if url else {})


def _metadata(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be JSON: {error}") from None


def item_of(arguments: argparse.Namespace, now: datetime) -> Item:
    """What the arguments say, as the HTTP API takes it."""
    given: dict[str, Any] = {name: getattr(arguments, name) for name in _TEXTS}
    given |= {"user_id": arguments.user, "metadata": arguments.metadata, "actions": arguments.actions}
    given["actor"] = None if arguments.actor is None else {"name": arguments.actor}
    expires: datetime | None = times.after(now, arguments.expires)
    given["expires_at"] = expires and expires.isoformat()
    return {name: value for name, value in given.items() if value is not None}


# --- the work -----------------------------------------------------------------------------------------


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    parts = build(Base, Settings())
    item = {"event": _EVENT, **item_of(arguments, parts.clock()())}
    key = arguments.idempotency_key or parts.new_token()(16)
    if arguments.source is not None:
        if arguments.wait:
            parser.error("--wait is for a single notification, without --from")
        many = Many(Output.of(arguments), key, parts.now())
        return remote.run(arguments, lambda: _publish_many(arguments, item, many))
    if arguments.user is None or arguments.message is None:
        parser.error("USER and --message are needed, or --from FILE")
    return remote.run(arguments, lambda: _publish_one(arguments, item, key))


async def _publish_many(arguments: argparse.Namespace, defaults: Item, many: Many) -> int:
    with _opened(arguments.source) as file:
        async with remote.as_producer(arguments, patience=_PATIENCE) as client:
            return await many(client, entries_in(file, defaults))


async def _publish_one(arguments: argparse.Namespace, item: Item, key: str) -> int:
    out, follows = Output.of(arguments), arguments.user if arguments.wait else None
    async with (
        remote.as_producer(arguments, follows=follows) as client,
        _following(client, follows) as stream,
    ):
        (result,) = await published(client, [encoded(item)], key)
        if isinstance(result, Problem):
            raise result
        pushed = stream is not None and await _is_pushed(stream, result)
    what = "pushed" if pushed else "accepted"
    out.line([result, (what, "green")], {"id": result, "status": what})
    if pushed or stream is None:
        return 0
    status(
        f"it was not pushed within {_WAIT_SECONDS:.0f} s: it was published before, the user does not want "
        "its category, or no consumer runs"
    )
    return 1


@asynccontextmanager
async def _following(client: Bellwire, user: str | None) -> AsyncIterator[Stream | None]:
    """The user's stream, once it is connected. Raises Unreachable."""
    if user is None:
        yield None
        return
    async with client.stream(user) as stream:
        async for event in stream:
            if isinstance(event, Connected):
                break
            if isinstance(event, Disconnected):
                raise Unreachable(event.reason)
        yield stream


async def _is_pushed(stream: Stream, identifier: str) -> bool:
    """Whether the stream brings a notification in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_WAIT_SECONDS):
            async for event in stream:
                if isinstance(event, Notifications) and any(item.id == identifier for item in event.items):
                    return True
    return False


def _opened(source: str) -> AbstractContextManager[IO[bytes]]:
    """The file, or standard input for `-`. Raises ApplicationError."""
    if source == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise ApplicationError(f"{source}: {error.strerror}") from None
