"""Calls over HTTP, repeated while that can help."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from bellwire_client.backoff import Backoff
from bellwire_client.errors import Problem, Unreachable
from bellwire_client.numbers import whole
from bellwire_client.proxies import may_proxy
from bellwire_client.tokens import Tokens

_CALL_SECONDS = 15.0
# The service says that it is unavailable, or a proxy in front of it does.
_AWAY = frozenset({502, 503, 504})


class Rest:
    """Makes calls that may be repeated without harm: each changes nothing, changes nothing the second time,
    or has an Idempotency-Key.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: float,
        transport: httpx.AsyncBaseTransport | None,
        random: Callable[[], float],
    ) -> None:
        if transport is None and not may_proxy(url):
            transport = httpx.AsyncHTTPTransport()
        self._http = httpx.AsyncClient(base_url=url, timeout=_CALL_SECONDS, transport=transport)
        self._patience = patience
        self._random = random

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        tokens: Tokens | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """Make a call, with a user's token or with headers that authenticate it, and return the body.

        While a server is unavailable (a 502, 503 or 504, a broken connection) the call is repeated, after
        `Retry-After` and a random pause, as long as the pause ends within `patience` seconds. Raises Problem,
        Unreachable.
        """
        now = asyncio.get_running_loop().time
        give_up = now() + self._patience
        backoff = Backoff(self._random)
        while True:
            try:
                return await self._once(method, path, tokens, headers=headers, **options)
            except (Problem, Unreachable) as failure:
                if isinstance(failure, Problem) and failure.status not in _AWAY:
                    raise
                pause = backoff.next(failure.retry_after)
                if now() + pause > give_up:
                    raise
            await asyncio.sleep(pause)

    async def _once(self, method: str, path: str, tokens: Tokens | None, **options: Any) -> Any:
        """Make the call once; or twice, if its token is refused and another is available."""
        answer = await self._send(method, path, None if tokens is None else await tokens.last(), **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED and tokens is not None and tokens.renewable:
            answer = await self._send(method, path, await tokens.fresh(), **options)
        if answer.is_success:
            return answer.json(parse_int=whole)
        raise _problem(answer)

    async def _send(
        self, method: str, path: str, token: str | None, headers: Mapping[str, str] | None, **options: Any
    ) -> httpx.Response:
        who = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            return await self._http.request(method, path, headers={**(headers or {}), **who}, **options)
        except httpx.TransportError as error:
            raise Unreachable(f"{method} {path}: {str(error) or type(error).__name__}") from error


def _problem(answer: httpx.Response) -> Problem:
    """Make a Problem of a response, even if it comes from a proxy and has no problem details."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    retry_after = answer.headers.get("Retry-After", "")
    return Problem(
        answer.status_code,
        body if isinstance(body, dict) else {},
        retry_after=float(retry_after) if retry_after.isdecimal() else 0.0,
    )
