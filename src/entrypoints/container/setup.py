"""The container of the command that makes tables, partitions and topics."""

from collections.abc import Callable

from dependency_injector import providers

from adapters.postgres.migrations import upgrade
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.container.parts.postgres import WithPostgres


class SetupContainer(WithPostgres, WithTopics):
    """For `bellwire migrate`."""

    migrate_database: providers.Provider[Callable[..., None]] = providers.Object(upgrade)
