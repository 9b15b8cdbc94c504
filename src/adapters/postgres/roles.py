"""The rights of the role that the service uses: rows, but no tables.

The migrations run as another role, which owns everything. Granting again changes nothing.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import tables
from adapters.postgres.engine import transaction
from adapters.postgres.errors import retried
from common import postgres_address

_ROWS = "SELECT, INSERT, UPDATE, DELETE"
# Nobody who takes over the service can rewrite what it did.
_APPEND_ONLY = {tables.audit.name: "SELECT, INSERT"}
_LOOK = "SELECT"
_FUNCTIONS = ("bellwire_create_partition", "bellwire_store")


def service_role(service_url: str, owner_url: str) -> str | None:
    """The service's role if it is another than that of the migrations."""
    role = postgres_address.read(service_url).user
    return role if role and role != postgres_address.read(owner_url).user else None


@retried
async def grant(engine: AsyncEngine, role: str) -> None:
    """Give a role what the service needs, in one transaction."""
    async with transaction(engine) as connection:
        schema = await connection.scalar(text("SELECT quote_ident(current_schema())"))
        for statement in statements(connection.dialect.identifier_preparer.quote(role), schema):
            await connection.execute(text(statement))


def statements(role: str, schema: str) -> list[str]:
    """The grants for a role, and the schema of the tables; both quoted."""
    rights = {name: _APPEND_ONLY.get(name, _ROWS) for name in tables.metadata.tables}
    rights |= {"notifications_default": _LOOK, "alembic_version": _LOOK}
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        *(f"GRANT {granted} ON {table} TO {role}" for table, granted in rights.items()),
        *(f"GRANT EXECUTE ON FUNCTION {name} TO {role}" for name in _FUNCTIONS),
    ]
