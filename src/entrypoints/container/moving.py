"""The containers of the commands that restore an installation, and move users to another."""

from dependency_injector import providers
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import Limits, create_engine
from adapters.postgres.epochs import PostgresEpochs
from adapters.postgres.moving import PostgresMoving
from adapters.security.hashes import keyed_user_hash
from application.moving import ExportUsers, ImportUsers
from application.restoring import ResetFeeds
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.container.parts.redis import WithRedis

_A_USER_SECONDS = 3_600.0


class RestoringContainer(WithPostgres, WithRedis):
    """For `bellwire reset-feeds`."""

    reset_feeds: providers.Provider[ResetFeeds] = providers.Singleton(
        ResetFeeds,
        epochs=providers.Singleton(PostgresEpochs, WithPostgres.engine),
        audit=WithPostgres.audit_trail,
    )


class MovingContainer(WithPostgres, WithRedis):
    """For `bellwire export-users` and `bellwire import-users`."""

    patient_engine: providers.Provider[AsyncEngine] = providers.Singleton(
        create_engine,
        WithPostgres.setting.postgres_url,
        pool_size=2,
        application="bellwire moving",
        jitter=WithPostgres.jitter,
        user_hash=providers.Callable(
            keyed_user_hash, WithPostgres.setting.erasure_secret, WithPostgres.setting.token_secret
        ),
        limits=Limits(in_use=_A_USER_SECONDS),
    )
    moving: providers.Provider[PostgresMoving] = providers.Singleton(
        PostgresMoving, patient_engine, WithPostgres.new_token
    )
    export_users: providers.Provider[ExportUsers] = providers.Singleton(
        ExportUsers, store=moving, audit=WithPostgres.audit_trail
    )
    import_users: providers.Provider[ImportUsers] = providers.Singleton(
        ImportUsers, store=moving, announcer=WithRedis.announcer
    )
