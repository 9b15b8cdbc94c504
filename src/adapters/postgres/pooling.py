"""What a session begins with, and how to do without it behind a pooler (PgBouncer and the like)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import asyncpg

from adapters.postgres.hosts import Hosts
from common import postgres_address

Pooler = Literal["none", "session", "transaction"]
"""What a pooler gives a client a connection of the server for: its session, or each transaction."""

Connect = Callable[..., Awaitable["asyncpg.Connection[Any]"]]

# https://www.postgresql.org/docs/current/runtime-config-client.html and runtime-config-connection.html
SESSION = {
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
    # A statement that a client abandoned must not keep its locks.
    "client_connection_check_interval": "1s",
    # And a client that a network cut took away must be noticed within a minute, not after two hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
    # The statements are written for this (mark.py); the database may have another default.
    "default_transaction_isolation": "read committed",
    "jit": "off",
    # Planning over the partitions would cost more than execution: plan each statement once.
    "plan_cache_mode": "force_generic_plan",
}

_EACH_ANEW: Mapping[str, Any] = {
    # A statement that was prepared is on another connection of the server. Those without a name are prepared
    # and executed in one transaction.
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}
UNPREPARED: Mapping[Pooler, Mapping[str, Any]] = {"none": {}, "session": {}, "transaction": _EACH_ANEW}
"""Arguments of SQLAlchemy and asyncpg."""


def creator(url: str, pooler: Pooler) -> Connect:
    """A function that connects. Raises InvalidAddress."""
    connect = Hosts(postgres_address.read(url)).connect
    return connect if pooler == "none" else _without_settings(connect, pooler)


def _without_settings(connect: Connect, pooler: Pooler) -> Connect:
    """PgBouncer refuses settings at the start of a connection. In a session they can be made afterwards;
    for transactions the role must have them.
    """

    async def connected(*, server_settings: Mapping[str, str], **options: Any) -> "asyncpg.Connection[Any]":
        names = {name: value for name, value in server_settings.items() if name not in SESSION}
        connection = await connect(**options, server_settings=names)
        if pooler == "session":
            try:
                await connection.execute(_SET)
            except BaseException:
                connection.terminate()
                raise
        return connection

    return connected


_SET = "; ".join(f"SET {name} = '{value}'" for name, value in SESSION.items())
