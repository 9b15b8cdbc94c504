"""The container of the commands that read and replay dead letters."""

from dependency_injector import providers

from adapters.kafka.dead_letter_box import KafkaDeadLetterBox
from application import ports
from application.dead_letters import ListDeadLetters, ReplayDeadLetters
from entrypoints.container.parts.kafka import WithTopics


def _dead_letter_box(adapter: KafkaDeadLetterBox) -> ports.DeadLetterBox:
    # The command also starts and stops it. Use cases see only the port.
    return adapter


class DeadLettersContainer(WithTopics):
    """For `bellwire dlq`."""

    kafka_dead_letter_box: providers.Provider[KafkaDeadLetterBox] = providers.Singleton(
        KafkaDeadLetterBox, WithTopics.setting.kafka_bootstrap, WithTopics.topics, WithTopics.kafka_login
    )
    dead_letter_box: providers.Provider[ports.DeadLetterBox] = providers.Callable(
        _dead_letter_box, kafka_dead_letter_box
    )
    list_dead_letters: providers.Provider[ListDeadLetters] = providers.Singleton(
        ListDeadLetters, box=dead_letter_box
    )
    replay_dead_letters: providers.Provider[ReplayDeadLetters] = providers.Singleton(
        ReplayDeadLetters, box=dead_letter_box
    )
