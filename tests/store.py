"""What PostgreSQL keeps, for tests: connections to an empty database, and contracts of its adapters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import uniform

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import tables
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.categories import PostgresCategories
from adapters.postgres.engine import create_engine
from adapters.postgres.partitions import ensure_partitions
from adapters.postgres.pooling import Pooler
from tests import contracts
from tests.build import NOW


@asynccontextmanager
async def connected(url: str, pooler: Pooler = "none", pool_size: int = 10) -> AsyncIterator[AsyncEngine]:
    """Connections to this database, closed at the end."""
    engine = create_engine(url, pool_size=pool_size, application="tests", jitter=uniform, pooler=pooler)
    try:
        yield engine
    finally:
        await engine.dispose()


async def with_partitions(url: str) -> None:
    """Make those of the tests' month."""
    async with connected(url, pool_size=1) as engine:
        await ensure_partitions(engine, NOW)


async def empty(engine: AsyncEngine) -> None:
    """Delete everything but the tables."""
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(tables.metadata.tables)}"))


class ApiKeysInPostgres(contracts.ApiKeysContract):
    @pytest.fixture
    def keys(self, engine: AsyncEngine) -> PostgresApiKeys:
        return PostgresApiKeys(engine)


class CategoriesInPostgres(contracts.CategoriesContract):
    @pytest.fixture
    def categories(self, engine: AsyncEngine) -> PostgresCategories:
        return PostgresCategories(engine)
