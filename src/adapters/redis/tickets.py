"""RedisTickets: single-use credentials for streams."""

from datetime import UTC, datetime

from adapters.redis.server import RedisServer
from application.credentials import Claims
from application.errors import NotAuthenticated
from application.ports import NewToken
from domain.identifiers import UserId


class RedisTickets:
    """Stream tickets in Redis."""

    lifetime = 30

    def __init__(self, server: RedisServer, prefix: str, new_token: NewToken) -> None:
        self._server = server
        self._new_token = new_token
        self._prefix = prefix

    async def issue(self, claims: Claims) -> str:
        times = f"{claims.expires_at.timestamp()} {claims.issued_at.timestamp()}"
        value = f"{claims.user_id} {times} {claims.token_id}"

        async def store() -> str:
            # A new ticket at each attempt: if the first is stored late, it must not restore one that was
            # redeemed.
            ticket = self._new_token(24)
            await self._server.client.set(self._key(ticket), value, ex=self.lifetime)
            return ticket

        return await self._server.ask(store)

    async def redeem(self, ticket: str) -> Claims:
        # Not repeatable: if only the answer was lost, the ticket is used up and would be reported as unknown.
        value: bytes | None = await self._server.ask(
            lambda: self._server.client.getdel(self._key(ticket)),  # type: ignore[arg-type,return-value]
            repeatable=False,
        )
        if value is None:
            raise NotAuthenticated("This stream ticket is unknown, used or too old.")
        user, expires_at, issued_at, token_id = value.decode().split(" ")
        return Claims(
            UserId(user),
            expires_at=datetime.fromtimestamp(float(expires_at), UTC),
            issued_at=datetime.fromtimestamp(float(issued_at), UTC),
            token_id=token_id,
        )

    def _key(self, ticket: str) -> str:
        return f"{self._prefix}:ticket:{ticket}"
