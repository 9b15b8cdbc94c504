"""The client."""

import json
import random as chance
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import quote, urlsplit

import httpx

from bellwire_client.events import Page
from bellwire_client.rest import Rest
from bellwire_client.selection import Ids, selections
from bellwire_client.stream import Stream
from bellwire_client.tokens import Token, Tokens
from bellwire_client.websocket import Open, open_socket

Status: TypeAlias = Literal["unread", "read", "all", "archived"]
View: TypeAlias = Literal["manual", "auto"]

_SOCKET_SCHEMES = {"http": "ws", "https": "wss"}


class Bellwire:
    """A Bellwire service, as one user (`token`), as a producer (`api_key`), or as both.

    `token` is a user's token, or an async function that returns a fresh one. It is called for each connection
    of a stream, before a token expires, and when one was refused. If it raises OSError, TimeoutError or
    httpx.TransportError it is called again later; other errors are passed on.

    Calls over HTTP need `async with Bellwire(…) as client`; a stream does not. A call that fails because a
    server is unavailable (a 503, a broken connection) is repeated for `patience` seconds.

    `transport`, `open_socket` and `random` are for tests. Time is the event loop's.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        api_key: str | None = None,
        patience: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        open_socket: Open = open_socket,
        random: Callable[[], float] = chance.random,
    ) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in _SOCKET_SCHEMES:
            raise ValueError(f"the URL of a Bellwire begins with http:// or https://, not {url!r}")
        self._url = url.rstrip("/")
        self._socket_url = _SOCKET_SCHEMES[scheme] + self._url.removeprefix(scheme)
        self._tokens = None if token is None else Tokens(token)
        self._api_key = api_key
        self._patience = patience
        self._transport = transport
        self._open_socket = open_socket
        self._random = random
        self._entered: Rest | None = None

    async def __aenter__(self) -> Self:
        self._entered = Rest(
            self._url, patience=self._patience, transport=self._transport, random=self._random
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        rest, self._entered = self._entered, None
        if rest is not None:
            await rest.close()

    # --- as a user ---

    def stream(self, user_id: str, *, cursor: str | None = None, view: View = "manual") -> Stream:
        """Follow a feed from after a cursor, or from now: `async with client.stream(…) as stream`.

        With `view="auto"` notifications that are delivered live are marked read.
        """
        return Stream(
            f"{self._socket_url}/ws/{_segment(user_id)}",
            self._user(),
            cursor=cursor,
            view=view,
            open_socket=self._open_socket,
            random=self._random,
        )

    async def notifications(
        self,
        user_id: str,
        *,
        status: Status = "unread",
        event: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page:
        """A page of a feed, newest first; `cursor` is the `next_cursor` of the previous page. `limit` is 1 to
        100. Raises Problem, Unreachable.
        """
        wanted = {"status": status, "event": event, "limit": limit, "cursor": cursor}
        given = {name: value for name, value in wanted.items() if value is not None}
        return Page.of(await self._rest("GET", _inbox(user_id), tokens=self._user(), params=given))

    async def mark_read(self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None) -> int:
        """Mark notifications read, by id or all up to a cursor. Return how many changed (perhaps fewer if the
        call was repeated). Raises Problem, Unreachable.
        """
        return await self._mark(user_id, "read", ids, up_to)

    async def mark_unread(self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None) -> int:
        """Mark notifications unread. As `mark_read`."""
        return await self._mark(user_id, "unread", ids, up_to)

    async def archive(self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None) -> int:
        """Move notifications to the archive. As `mark_read`."""
        return await self._mark(user_id, "archive", ids, up_to)

    async def unarchive(self, user_id: str, ids: Ids | None = None, *, up_to: str | None = None) -> int:
        """Move notifications out of the archive. As `mark_read`."""
        return await self._mark(user_id, "unarchive", ids, up_to)

    async def stream_ticket(self) -> str:
        """A ticket that opens one stream within 30 s, to give to a browser. Raises Problem, Unreachable."""
        answer = await self._rest("POST", "/v1/stream-tickets", tokens=self._user())
        return str(answer["ticket"])

    # --- as a producer ---

    async def publish(
        self,
        user_id: str,
        event: str,
        message: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        action_url: str | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish a notification and return its id.

        It is stored once even if the call is repeated: by this client, under a random key, or by the caller,
        with the same `idempotency_key` (1 to 255 characters) and the same content within 24 hours. Raises
        Problem, Unreachable; after Unreachable, and a Problem of the kind `unconfirmed`, the outcome is
        unknown. ValueError if `expires_at` has no time zone or a text contains half a surrogate pair.
        """
        if self._api_key is None:
            raise ValueError("publishing needs an api_key")
        if expires_at is not None and expires_at.tzinfo is None:
            raise ValueError("expires_at needs a time zone")
        body = {
            "user_id": user_id,
            "event": event,
            "message": message,
            "title": title,
            "metadata": metadata,
            "action_url": action_url,
            "expires_at": expires_at and expires_at.isoformat(),
        }
        headers = {
            "X-API-Key": self._api_key,
            "Idempotency-Key": secrets.token_hex(16) if idempotency_key is None else idempotency_key,
            "Content-Type": "application/json",
        }
        given = {name: value for name, value in body.items() if value is not None}
        content = json.dumps(given, ensure_ascii=False).encode()  # escapes would take more of the 16 KiB
        answer = await self._rest("POST", "/v1/notifications", headers=headers, content=content)
        return str(answer["id"])

    # ---

    async def _mark(self, user_id: str, path: str, ids: Ids | None, up_to: str | None) -> int:
        changed = 0
        for selection in selections(ids, up_to):
            answer = await self._rest(
                "POST", f"{_inbox(user_id)}/{path}", tokens=self._user(), json=selection
            )
            changed += answer["changed"]
        return changed

    @property
    def _rest(self) -> Rest:
        if self._entered is None:
            raise RuntimeError("enter the client first: async with Bellwire(…) as client")
        return self._entered

    def _user(self) -> Tokens:
        if self._tokens is None:
            raise ValueError("a user's feed needs a token")
        return self._tokens


def _inbox(user_id: str) -> str:
    return f"/v1/users/{_segment(user_id)}/notifications"


def _segment(user_id: str) -> str:
    return quote(user_id, safe=":@")
