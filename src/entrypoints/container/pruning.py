"""The container of the command that deletes old months."""

from dependency_injector import providers

from adapters.postgres.retention import PostgresRetention
from application import ports
from application.pruning import PruneAudit, PruneFeeds, PruneWithheld
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.container.parts.redis import WithRedis


class PruningContainer(WithPostgres, WithRedis):
    """For `bellwire prune`."""

    retention: providers.Provider[ports.Retention] = providers.Singleton(
        PostgresRetention, WithPostgres.engine
    )
    prune: providers.Provider[PruneFeeds] = providers.Singleton(
        PruneFeeds, retention=retention, announcer=WithRedis.announcer, clock=WithPostgres.clock
    )
    prune_audit: providers.Provider[PruneAudit] = providers.Singleton(
        PruneAudit, retention=retention, clock=WithPostgres.clock
    )
    prune_withheld: providers.Provider[PruneWithheld] = providers.Singleton(
        PruneWithheld, retention=retention, clock=WithPostgres.clock
    )
