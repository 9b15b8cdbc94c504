"""Follow the feed of a user in a terminal, with the Python client: see README.md beside this file.

It prints the unread notifications first, then every change as it happens, until it is stopped.
"""

import argparse
import asyncio
import sys
from contextlib import suppress

import httpx

from bellwire_client import (
    Bellwire,
    BellwireError,
    Connected,
    Disconnected,
    Event,
    Inbox,
    Notification,
    Notifications,
    Reset,
    Update,
)


async def follow(url: str, user: str, email: str, password: str) -> None:
    """Follow until cancelled. Raises BellwireError, httpx.HTTPStatusError."""

    async def log_in() -> str:
        async with httpx.AsyncClient(base_url=url) as http:
            session = await http.post("/v1/sessions", json={"email": email, "password": password})
            return str(session.raise_for_status().json()["access_token"])

    async with Bellwire(url, token=log_in) as client, client.inbox(user) as inbox:
        for item in reversed(inbox.select(unread=True)):
            say(line(item))
        async for event in inbox:
            tell(event, inbox)


def tell(event: Event, inbox: Inbox) -> None:
    """Print what happened."""
    match event:
        case Connected():
            say(f"✓ connected, {event.unread_count} unread")
        case Disconnected():
            say(f"✗ {event.reason}; trying again in {event.retry_in:.1f} s")
        case Notifications():
            for item in event.items:
                say(line(item))
        case Update() | Reset():
            say(f"· {inbox.unread_count} unread")


def line(item: Notification) -> str:
    return f"  {item.created_at:%H:%M:%S}  {item.event:<20}  {item.title or ''}  {item.message}"


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Run from the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where Bellwire is (%(default)s)")
    parser.add_argument("--user", default="demo", help="whose feed (%(default)s)")
    parser.add_argument("--email", default="demo@bellwire.local", help="to log in with (%(default)s)")
    parser.add_argument("--password", default="bellwire-demo", help="(%(default)s)")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(follow(options.url, options.user, options.email, options.password))
        except (BellwireError, httpx.HTTPStatusError) as error:
            print(f"✗ {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
