"""The container of the command that makes tables, partitions and topics."""

from collections.abc import Awaitable, Callable
from functools import partial

from dependency_injector import providers

from adapters.postgres.migrations import upgrade
from adapters.postgres.roles import grant, service_role
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.container.parts.postgres import WithPostgres


class SetupContainer(WithPostgres, WithTopics):
    """For `bellwire migrate`."""

    migrate_database: providers.Provider[Callable[..., None]] = providers.Object(upgrade)
    service_role: providers.Provider[Callable[[str, str], str | None]] = providers.Object(service_role)
    grant: providers.Provider[Callable[[str], Awaitable[None]]] = providers.Factory(
        partial, providers.Object(grant), WithPostgres.engine
    )
