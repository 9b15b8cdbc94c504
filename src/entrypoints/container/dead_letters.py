"""The container of the commands that read and replay dead letters."""

from collections.abc import Awaitable, Callable
from functools import partial

from dependency_injector import providers

from adapters.kafka.dead_letter_box import KafkaDeadLetterBox
from application import ports
from application.audit import Entry
from application.dead_letters import ListDeadLetters, ReplayDeadLetters
from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.settings import Settings


def _dead_letter_box(adapter: KafkaDeadLetterBox) -> ports.DeadLetterBox:
    # The command also starts and stops it. Use cases see only the port.
    return adapter


async def _write_entry(settings: Settings, entry: Entry) -> None:
    """Write an entry of the audit trail."""
    # Here, because only a replay needs PostgreSQL.
    from entrypoints.container.parts.postgres import WithPostgres  # noqa: PLC0415

    container = build(WithPostgres, settings)
    try:
        await container.audit_trail().add(entry)
    finally:
        await container.maintenance().close()


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
    write_entry: providers.Provider[Callable[[Entry], Awaitable[None]]] = providers.Callable(
        partial, _write_entry, WithTopics.settings
    )
