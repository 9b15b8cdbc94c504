"""PostgresCategories."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.audit import record
from adapters.postgres.engine import driver, driver_transaction
from adapters.postgres.errors import retried
from application.audit import Entry
from common import metrics
from domain.category import CATEGORIES, OTHER, Category, newcomers

logger = logging.getLogger(__name__)

# Nobody else enters one meanwhile; whoever reads does not wait.
_LOCK = "LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE"
_IDS = "SELECT id FROM categories"
_ENTER = "INSERT INTO categories (id) SELECT unnest($1::text[])"
_FIELDS = tuple(Category.__dataclass_fields__)
_ALL = f'SELECT {", ".join(_FIELDS)} FROM categories ORDER BY id COLLATE "C"'  # noqa: S608 - ours
_SET = """
INSERT INTO categories (id, title, description, mandatory, default_on, expires_after)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET title = excluded.title,
    description = excluded.description, mandatory = excluded.mandatory, default_on = excluded.default_on,
    expires_after = excluded.expires_after
"""


class PostgresCategories:
    """Categories in PostgreSQL. Those that exist are remembered, so that hardly any batch asks for them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known: frozenset[str] = frozenset()
        self._warned = False

    async def enter(self, names: Collection[str]) -> Mapping[str, str]:
        if not self._full and not self._known.issuperset(names):
            self._known = await self._enter(names)
        stored = {name: name if name in self._known else OTHER for name in names}
        self._note(sum(name != category for name, category in stored.items()))
        return stored

    @property
    def _full(self) -> bool:
        """Whether all are entered that ever will be."""
        return len(self._known) > CATEGORIES

    @retried
    async def _enter(self, names: Collection[str]) -> frozenset[str]:
        """Enter new ones and return all."""
        async with driver_transaction(self._engine) as connection:
            await connection.execute(_LOCK)
            held = await _ids(connection)
            new = newcomers(names, held)
            if new:
                await connection.execute(_ENTER, new)
        return held.union(new)

    def _note(self, left_out: int) -> None:
        metrics.OTHER_CATEGORY.inc(left_out)
        if left_out and not self._warned:
            self._warned = True
            logger.warning(
                "there are %d categories: notifications of others are stored as %r", CATEGORIES, OTHER
            )

    @retried
    async def all(self) -> Sequence[Category]:
        async with driver(self._engine) as connection:
            return [Category(**row) for row in map(dict, await connection.fetch(_ALL))]

    @retried
    async def set(self, category: Category, entry: Entry | None = None) -> bool:
        async with driver_transaction(self._engine) as connection:
            await connection.execute(_LOCK)
            held = await _ids(connection)
            if category.id not in {*held, *newcomers([category.id], held)}:
                return False
            await connection.execute(_SET, *(getattr(category, name) for name in _FIELDS))
            await record(connection, self._engine, entry)
        return True


async def _ids(connection: Any) -> frozenset[str]:
    return frozenset(row["id"] for row in await connection.fetch(_IDS))
