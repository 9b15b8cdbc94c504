"""PostgresUsers."""

import secrets
from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import tables
from adapters.postgres.engine import transaction
from adapters.postgres.errors import Taken, retried
from domain.errors import UnknownUser, UserTaken
from domain.identifiers import UserId
from domain.user import User

_REMEMBERED_USERS = 200_000
_COLUMNS = [column for column in tables.users.c if column.name != "password_hash"]


class PostgresUsers:
    """Users in PostgreSQL; remembers which ids it has seen, so that publishing asks once a user."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._seen: set[UserId] = set()

    @retried
    async def add(self, user: User, password_hash: str | None) -> None:
        row = {
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "password_hash": password_hash,
            "created_at": user.created_at,
            "disabled_at": user.disabled_at,
        }
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(insert(tables.users).values(row))
                feed = {"user_id": user.id, "epoch": secrets.token_hex(4)}
                await connection.execute(insert(tables.feeds).values(feed))
        except Taken:
            raise UserTaken from None

    @retried
    async def get(self, user: UserId) -> User:
        async with transaction(self._engine) as connection:
            query = select(*_COLUMNS).where(tables.users.c.id == user)
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise UnknownUser
        return User(**row)

    async def known(self, users: Sequence[UserId]) -> frozenset[UserId]:
        asked = frozenset(users)
        seen = asked & self._seen
        new = asked - seen
        if not new:
            return seen
        found = await self._existing(new)
        if len(self._seen) > _REMEMBERED_USERS:
            self._seen.clear()
        self._seen |= found
        return seen | found

    @retried
    async def credentials(self, email: str) -> tuple[User, str] | None:
        async with transaction(self._engine) as connection:
            query = select(tables.users).where(tables.users.c.email == email)
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None or row["password_hash"] is None:
            return None
        fields = dict(row)
        password_hash: str = fields.pop("password_hash")
        return User(**fields), password_hash

    @retried
    async def _existing(self, users: frozenset[UserId]) -> set[UserId]:
        async with transaction(self._engine) as connection:
            query = select(tables.users.c.id).where(tables.users.c.id.in_(users))
            return {UserId(found) for found in await connection.scalars(query)}
