"""RedisTickets: single-use credentials for streams."""

from datetime import UTC, datetime

import msgspec
from redis.asyncio import Redis

from adapters.redis import scripts
from adapters.redis.evaluating import Script
from adapters.redis.macs import Macs
from adapters.redis.names import TICKET_TAG, ticket_key, ticket_tag, tickets_key
from adapters.redis.nodes import Nodes
from application.credentials import Claims
from application.errors import Limited, NotAuthenticated
from application.ports import NewToken
from common import metrics
from domain.identifiers import UserId

TICKETS_PER_USER = 1_000
"""How many tickets a user can get within their lifetime. Each of 100 streams may need several."""
_LIMIT = "user-tickets"

# user, expires at, issued at (Unix seconds), id of the token
_Stored = tuple[str, float, float, str]
_write = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(_Stored).decode


class RedisTickets:
    """Stream tickets in Redis, which does not hold the tickets themselves."""

    lifetime = 30

    def __init__(self, server: Nodes, prefix: str, macs: Macs, new_token: NewToken) -> None:
        self._server = server
        self._new_token = new_token
        self._prefix = prefix
        self._macs = macs
        self._store = Script(scripts.CLAIM)
        self._take = Script(scripts.TAKE)

    async def issue(self, claims: Claims) -> str:
        expires, issued = claims.expires_at.timestamp(), claims.issued_at.timestamp()
        value = _write((claims.user_id, expires, issued, claims.token_id))
        tag = ticket_tag(claims.user_id) if self._server.clustered else ""
        counter = tickets_key(self._prefix, tag, claims.user_id)

        async def store(client: Redis) -> tuple[str, object]:
            # A new ticket at each attempt: if the first is stored late, it must not restore one that was
            # redeemed.
            ticket = tag + self._new_token(24)
            name = self._key(ticket)
            stored = self._macs.value(name, value)
            words: list[bytes | int] = [stored, self.lifetime * 1000, TICKETS_PER_USER, b""]
            return ticket, await self._store(client, keys=[name, counter], args=words)

        ticket, stored = await self._server.on(counter, store)
        if isinstance(stored, int):
            metrics.LIMITED.labels(_LIMIT).inc()
            raise Limited(_LIMIT, stored / 1000)
        return ticket

    async def redeem(self, ticket: str) -> Claims:
        name = self._key(ticket)
        # Not repeatable: if only the answer was lost, the ticket is used up and would be reported as unknown.
        stored: bytes | None = await self._server.on(
            name, lambda client: self._take(client, keys=[name]), repeatable=False
        )
        value = None if stored is None else self._macs.opened(name, stored)
        if value is None:
            if stored is not None:
                metrics.REDIS_REFUSED.labels("ticket").inc()
            raise NotAuthenticated("This stream ticket is unknown, used or too old.")
        user, expires_at, issued_at, token_id = _read(value)
        return Claims(
            UserId(user),
            expires_at=datetime.fromtimestamp(expires_at, UTC),
            issued_at=datetime.fromtimestamp(issued_at, UTC),
            token_id=token_id,
        )

    def _key(self, ticket: str) -> str:
        tag = ticket[:TICKET_TAG] if self._server.clustered else ""
        return ticket_key(self._prefix, tag, self._macs.hidden("ticket", ticket))
