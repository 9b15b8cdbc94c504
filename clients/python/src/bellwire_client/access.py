"""What the parts of a client share: whose they are, and how they call."""

import random as chance
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from bellwire_client.rest import Rest
from bellwire_client.tokens import Token, Tokens
from bellwire_client.websocket import Open, open_socket

_SOCKET_SCHEMES = {"http": "ws", "https": "wss"}


class Access:
    """A service, and the credentials to use it with."""

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

    async def _as_user(self, method: str, path: str, **options: Any) -> Any:
        return await self._rest(method, path, tokens=self._user(), **options)

    async def _as_producer(self, method: str, path: str, **options: Any) -> Any:
        return await self._rest(method, path, headers=self._key(), **options)

    async def _as_either(self, method: str, path: str, **options: Any) -> Any:
        """Call with the user's token, or with the API key if there is no token."""
        call = self._as_producer if self._tokens is None else self._as_user
        return await call(method, path, **options)

    @property
    def _rest(self) -> Rest:
        if self._entered is None:
            raise RuntimeError("enter the client first: async with Bellwire(…) as client")
        return self._entered

    def _user(self) -> Tokens:
        if self._tokens is None:
            raise ValueError("a user's feed needs a token")
        return self._tokens

    def _key(self) -> dict[str, str]:
        if self._api_key is None:
            raise ValueError("a producer needs an api_key")
        return {"X-API-Key": self._api_key}


def user_path(user_id: str) -> str:
    """The path of a user."""
    return f"/v1/users/{segment(user_id)}"


def segment(text: str) -> str:
    """A part of a path."""
    return quote(text, safe=":@")
