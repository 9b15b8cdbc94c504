"""The container of the command that watches the queue."""

from dependency_injector import providers

from adapters.kafka.passing import KafkaPassing
from application import ports
from entrypoints.container.parts.kafka import WithTopics


class PassingContainer(WithTopics):
    """For `bellwire tail`."""

    passage: providers.Provider[ports.Passage] = providers.Singleton(
        KafkaPassing, WithTopics.setting.kafka_bootstrap, WithTopics.topics, WithTopics.kafka_login
    )
