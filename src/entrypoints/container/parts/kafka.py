"""The part of processes that use Kafka topics."""

from collections.abc import Awaitable, Callable

from dependency_injector import providers

from adapters.kafka.topics import Topics, ensure_topics
from entrypoints.container.parts.base import Base


class WithTopics(Base):
    """The topics, and the adapter that creates them."""

    topics: providers.Provider[Topics] = providers.Singleton(
        Topics, Base.setting.kafka_topic, Base.setting.kafka_partitions, Base.setting.kafka_replication
    )
    ensure_topics: providers.Provider[Callable[..., Awaitable[None]]] = providers.Object(ensure_topics)
