"""The container of the commands that look at everything: `bellwire status` and `bellwire doctor`."""

from dependency_injector import providers

from adapters.kafka.inspection import KafkaInspection
from adapters.postgres.inspection import PostgresInspection
from adapters.redis.inspection import RedisInspection
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.container.parts.redis import WithRedis
from entrypoints.container.parts.tokens import WithTokens


class InspectionContainer(WithPostgres, WithRedis, WithTopics, WithTokens):
    """The servers, and tokens to try."""

    store: providers.Provider[PostgresInspection] = providers.Singleton(
        PostgresInspection, WithPostgres.engine, WithPostgres.clock
    )
    cache: providers.Provider[RedisInspection] = providers.Singleton(
        RedisInspection,
        WithRedis.redis_server,
        WithRedis.setting.redis_prefix,
        WithRedis.macs,
        WithRedis.clock,
    )
    kafka: providers.Provider[KafkaInspection] = providers.Singleton(
        KafkaInspection,
        WithTopics.setting.kafka_bootstrap,
        WithTopics.topics,
        WithTopics.setting.kafka_group,
        WithTopics.kafka_login,
    )
