"""The parts of processes that use Kafka."""

from collections.abc import Awaitable, Callable
from functools import partial

from dependency_injector import providers

from adapters.kafka.login import Login, login
from adapters.kafka.topics import Topics, ensure_topics
from entrypoints.container.parts.base import Base


class WithKafka(Base):
    """How its clients log in."""

    kafka_login: providers.Provider[Login] = providers.Singleton(
        login,
        Base.setting.kafka_username,
        Base.setting.kafka_password,
        Base.setting.kafka_sasl_mechanism,
    )


class WithTopics(WithKafka):
    """The topics, and the adapter that creates them."""

    topics: providers.Provider[Topics] = providers.Singleton(
        Topics, Base.setting.kafka_topic, Base.setting.kafka_partitions, Base.setting.kafka_replication
    )
    ensure_topics: providers.Provider[Callable[..., Awaitable[None]]] = providers.Callable(
        partial, ensure_topics, login=WithKafka.kafka_login
    )
