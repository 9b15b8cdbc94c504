"""PostgresUsers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import case, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import tables
from adapters.postgres.audit import record
from adapters.postgres.engine import driver, driver_of, transaction
from adapters.postgres.erasures import take_id
from adapters.postgres.errors import Taken, retried
from application.audit import Entry
from application.credentials import LatestRevocations, Revocation
from application.ports import NewToken
from domain.errors import UnknownUser, UserTaken
from domain.identifiers import UserId, is_user_id
from domain.user import User

_REMEMBERED_USERS = 200_000
_FIELDS = ["id", "name", "email", "created_at", "disabled_at"]
_COLUMNS = [tables.users.c[name] for name in _FIELDS]
# Not now(): that is when the transaction began, before it waited for another change of the same user.
_NOW = func.clock_timestamp()

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# Read in pages, so that each query is bounded: there may be many the first time.
_REVOCATIONS_PAGE = 10_000
# The first condition is for the planner, which does not see that the second implies it.
_REVOCATIONS = """
    SELECT id, tokens_revoked_at, disabled_at IS NOT NULL
    FROM users
    WHERE tokens_revoked_at IS NOT NULL AND (tokens_revoked_at, id) > ($1, $2)
    ORDER BY tokens_revoked_at, id
    LIMIT $3
"""

_EXISTING = "SELECT id FROM users WHERE id = ANY($1::text[])"

_BEING_ERASED = """
    SELECT user_id, requested_at FROM erasures WHERE finished_at IS NULL AND user_id IS NOT NULL
"""
# Erasures are unfinished for 10 s at least, and callers ask with an overlap of 60 s.
_LONGEST_UNSEEN = timedelta(seconds=68)


class PostgresUsers:
    """Users in PostgreSQL. Remembers the ids that exist, so that publishing asks once per user."""

    def __init__(
        self,
        engine: AsyncEngine,
        new_token: NewToken,
        *,
        remembered_users: int = _REMEMBERED_USERS,
        revocations_page: int = _REVOCATIONS_PAGE,
    ) -> None:
        self._engine = engine
        self._new_token = new_token
        self._remembered_users = remembered_users
        self._revocations_page = revocations_page
        self._seen: set[UserId] = set()

    @retried
    async def add(self, user: User, password_hash: str | None, entry: Entry | None = None) -> None:
        row = {
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "password_hash": password_hash,
            "created_at": user.created_at,
            "disabled_at": user.disabled_at,
            "tokens_revoked_at": _NOW if user.disabled_at is not None else None,
        }
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(insert(tables.users).values(row))
                feed = {"user_id": user.id, "epoch": self._new_token(4)}
                await connection.execute(insert(tables.feeds).values(feed))
                raw = await driver_of(connection)
                await take_id(raw, self._engine, user.id)
                await record(raw, self._engine, entry)
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
        if asked <= self._seen:
            return asked
        seen = asked & self._seen
        new = asked - seen
        found = await self._existing(new)
        if len(self._seen) > self._remembered_users:
            self._seen.clear()
        self._seen |= found
        return seen | found

    @retried
    async def credentials(self, emails: Sequence[str]) -> tuple[User, str, datetime | None] | None:
        able = tables.users.c.email.in_(emails) & tables.users.c.password_hash.is_not(None)
        async with transaction(self._engine) as connection:
            more = tables.users.c.password_hash, tables.users.c.tokens_revoked_at
            query = select(*_COLUMNS, *more).where(able)
            rows = (await connection.execute(query)).mappings().all()
        if not rows:
            return None
        fields = dict(min(rows, key=lambda row: emails.index(row["email"])))
        password_hash: str = fields.pop("password_hash")
        revoked_at: datetime | None = fields.pop("tokens_revoked_at")
        return User(**fields), password_hash, revoked_at

    @retried
    async def renew(self, user: User, password_hash: str, email: str, new_hash: str) -> None:
        users = tables.users.c
        same = (users.id == user.id) & (users.email == user.email) & (users.password_hash == password_hash)
        try:
            async with transaction(self._engine) as connection:
                query = update(tables.users).where(same).values(email=email, password_hash=new_hash)
                await connection.execute(query)
        except Taken:
            raise UserTaken from None

    @retried
    async def has_address(self, email: str, besides: UserId | None = None) -> bool:
        async with transaction(self._engine) as connection:
            query = select(tables.users.c.id).where(tables.users.c.email == email)
            return (await connection.scalars(query)).one_or_none() not in {None, besides}

    @retried
    async def password(self, user: UserId) -> tuple[User, str | None]:
        if not is_user_id(user):
            raise UnknownUser
        async with transaction(self._engine) as connection:
            query = select(*_COLUMNS, tables.users.c.password_hash).where(tables.users.c.id == user)
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise UnknownUser
        fields = dict(row)
        password_hash: str | None = fields.pop("password_hash")
        return User(**fields), password_hash

    @retried
    async def set_password(
        self, user: UserId, held: str | None, new_hash: str, entry: Entry | None = None
    ) -> datetime | None:
        users = tables.users.c
        chosen = users.id == user if held is None else (users.id == user) & (users.password_hash == held)
        query = update(tables.users).where(chosen).values(password_hash=new_hash, tokens_revoked_at=_NOW)
        async with transaction(self._engine) as connection:
            at: datetime | None = await connection.scalar(query.returning(users.tokens_revoked_at))
            if at is not None:
                await record(await driver_of(connection), self._engine, entry)
        if at is None and held is None:
            raise UnknownUser
        return at

    async def disable(self, user: UserId, entry: Entry | None = None) -> None:
        since = func.coalesce(tables.users.c.disabled_at, _NOW)
        await self._change(user, entry, disabled_at=since, tokens_revoked_at=_NOW)

    async def enable(self, user: UserId, entry: Entry | None = None) -> None:
        disabled, revoked_at = tables.users.c.disabled_at.is_not(None), tables.users.c.tokens_revoked_at
        until_now = case((disabled, _NOW), else_=revoked_at)
        await self._change(user, entry, disabled_at=null(), tokens_revoked_at=until_now)

    async def revoke_tokens(self, user: UserId, entry: Entry | None = None) -> None:
        await self._change(user, entry, tokens_revoked_at=_NOW)

    async def revocations(self, since: datetime | None) -> LatestRevocations:
        as_of, page = await self._revocations(since or _LONG_AGO, "")
        found = list(page)
        while len(page) == self._revocations_page:
            _, page = await self._revocations(page[-1].at, page[-1].user_id)
            found += page
        erased = await self._erased()
        self._forget(since, as_of, [revocation.user_id for revocation in erased])
        return LatestRevocations(as_of, [*found, *erased])

    def _forget(self, since: datetime | None, as_of: datetime, erased: Sequence[UserId]) -> None:
        """Forget erased users. Erasures that were begun and finished since the last time are not seen: after
        too long, forget everybody.
        """
        self._seen.difference_update(erased)
        if since is not None and as_of - since > _LONGEST_UNSEEN:
            self._seen.clear()

    @retried
    async def _erased(self) -> Sequence[Revocation]:
        """Users who are being erased. Only their earlier tokens: the id may be used again."""
        async with driver(self._engine) as connection:
            rows = await connection.fetch(_BEING_ERASED)
        return [Revocation(UserId(found), at, disabled=False) for found, at in rows]

    @retried
    async def _existing(self, users: frozenset[UserId]) -> set[UserId]:
        async with driver(self._engine) as connection:
            return {UserId(found) for (found,) in await connection.fetch(_EXISTING, list(users))}

    @retried
    async def _change(self, user: UserId, entry: Entry | None, **values: Any) -> None:
        if not is_user_id(user):
            raise UnknownUser
        async with transaction(self._engine) as connection:
            query = update(tables.users).where(tables.users.c.id == user).values(values)
            if (await connection.execute(query)).rowcount == 0:
                raise UnknownUser
            await record(await driver_of(connection), self._engine, entry)

    @retried
    async def _revocations(self, after: datetime, user: str) -> tuple[datetime, Sequence[Revocation]]:
        """Return a page, and a time before it was read."""
        async with driver(self._engine) as connection:
            as_of: datetime = await connection.fetchval("SELECT now()")
            rows = await connection.fetch(_REVOCATIONS, after, user, self._revocations_page)
        return as_of, [Revocation(UserId(found), at, disabled) for found, at, disabled in rows]
