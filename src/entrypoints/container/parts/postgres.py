"""The part of processes that use PostgreSQL."""

from collections.abc import Callable

from dependency_injector import providers
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.audit import PostgresAuditTrail
from adapters.postgres.categories import PostgresCategories
from adapters.postgres.directory import PostgresDirectory
from adapters.postgres.engine import create_engine
from adapters.postgres.errors import explained
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.maintenance import PostgresMaintenance
from adapters.postgres.preferences import PostgresPreferences
from adapters.postgres.users import PostgresUsers
from adapters.security.hashes import keyed_user_hash
from adapters.telemetry.feeds import TracedWriter
from adapters.telemetry.trail import Trail
from application import ports
from application.errors import Unavailable
from common.tracing import Tracer
from entrypoints.container.parts.base import Base


def _if(wanted: bool, missing_users: ports.MissingUsers) -> ports.MissingUsers | None:
    return missing_users if wanted else None


def traced_writer(feeds: ports.FeedWriter, tracer: Tracer | None, trail: Trail | None) -> ports.FeedWriter:
    """What stores arrivals, in spans if tracing is on."""
    return feeds if tracer is None or trail is None else TracedWriter(feeds, tracer, trail)


class WithPostgres(Base):
    """PostgreSQL and its repositories."""

    engine: providers.Provider[AsyncEngine] = providers.Singleton(
        create_engine,
        Base.setting.postgres_url,
        pool_size=Base.setting.postgres_pool,
        application="bellwire",
        pooler=Base.setting.postgres_pooler,
        jitter=Base.jitter,
        user_hash=providers.Callable(keyed_user_hash, Base.setting.erasure_secret, Base.setting.token_secret),
    )
    feeds: providers.Provider[ports.Feeds] = providers.Singleton(PostgresFeeds, engine)
    users: providers.Provider[ports.Users] = providers.Singleton(PostgresUsers, engine, Base.new_token)
    categories: providers.Provider[ports.Categories] = providers.Singleton(PostgresCategories, engine)
    directory: providers.Provider[ports.UserDirectory] = providers.Singleton(
        PostgresDirectory, engine, Base.new_token
    )
    missing_users: providers.Provider[ports.MissingUsers] = providers.Singleton(
        PostgresDirectory, engine, Base.new_token
    )
    created_by_publishing: providers.Provider[ports.MissingUsers | None] = providers.Callable(
        _if, Base.setting.publishing_creates_users, missing_users
    )
    created_by_token: providers.Provider[ports.MissingUsers | None] = providers.Callable(
        _if, Base.setting.tokens_create_users, missing_users
    )
    preferences: providers.Provider[ports.Preferences] = providers.Singleton(PostgresPreferences, engine)
    api_keys: providers.Provider[ports.ApiKeys] = providers.Singleton(PostgresApiKeys, engine)
    audit_trail: providers.Provider[ports.AuditTrail] = providers.Singleton(PostgresAuditTrail, engine)
    maintenance: providers.Provider[PostgresMaintenance] = providers.Singleton(
        PostgresMaintenance, engine, Base.clock
    )
    explained: providers.Provider[Callable[[Unavailable], Unavailable]] = providers.Object(explained)
