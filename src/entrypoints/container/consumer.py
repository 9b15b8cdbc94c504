"""The container of the consumer process."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from dependency_injector import providers

from adapters.kafka.dead_letters import KafkaDeadLetters, build_producer
from adapters.kafka.probe import broker_answers
from adapters.kafka.reader import KafkaQueueReader, build_consumer
from adapters.kafka.topics import longest_retention
from adapters.postgres.alarms import PostgresAlarms
from adapters.postgres.erasures import PostgresErasures
from adapters.telemetry.batches import BatchTraces
from application import ports
from application.alarms import RingAlarms
from application.delivery import MarkDue, StoreNotifications
from application.erasing import ContinueErasures
from application.limits import REFUSED
from application.noting import NotingStore
from application.reconciling import ReconcileIndex
from application.refused import ChargeRefused
from common.tracing import Tracer
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.container.parts.postgres import WithPostgres, traced_writer
from entrypoints.container.parts.redis import WithRedis
from entrypoints.container.parts.server import WithServer
from entrypoints.version import app_version


def _store(demo: bool, stages: ports.Stages, **parts: Any) -> StoreNotifications:
    return NotingStore(stages=stages, **parts) if demo else StoreNotifications(**parts)


def _batch_traces(tracer: Tracer | None, topic: str, group: str) -> BatchTraces | None:
    return None if tracer is None else BatchTraces(tracer, topic, group)


class ConsumerContainer(WithPostgres, WithRedis, WithTopics, WithServer):
    """For `bellwire consumer`."""

    clock, setting = WithPostgres.clock, WithPostgres.setting
    feeds, announcer = WithPostgres.feeds, WithRedis.announcer

    # --- Kafka ---
    queue_reader: providers.Provider[ports.QueueReader] = providers.Singleton(
        KafkaQueueReader,
        setting.kafka_bootstrap,
        setting.kafka_topic,
        setting.kafka_group,
        session_seconds=setting.kafka_session_seconds,
        fetch_wait_ms=setting.kafka_fetch_wait_ms,
        batch_records=setting.batch_records,
        clock=clock,
        skipped=setting.skipped_batches,
        consumer=providers.Callable(partial, build_consumer, login=WithTopics.kafka_login),
    )
    dead_letters: providers.Provider[ports.DeadLetters] = providers.Singleton(
        KafkaDeadLetters,
        setting.kafka_bootstrap,
        WithTopics.topics.provided.dead_letters,
        setting.kafka_group,
        version=app_version(),
        clock=clock,
        producer=providers.Callable(partial, build_producer, login=WithTopics.kafka_login),
    )
    broker_answers: providers.Provider[Callable[[], Awaitable[bool]]] = providers.Callable(
        partial, broker_answers, setting.kafka_bootstrap, WithTopics.kafka_login
    )

    # --- use cases ---
    store: providers.Provider[StoreNotifications] = providers.Singleton(
        _store,
        setting.demo,
        WithRedis.stages,
        feeds=providers.Callable(traced_writer, feeds, WithPostgres.tracer, WithPostgres.trail),
        announcer=announcer,
        clock=clock,
        categories=WithPostgres.categories,
        missing=WithPostgres.created_by_publishing,
    )
    batch_traces: providers.Provider[BatchTraces | None] = providers.Singleton(
        _batch_traces, WithPostgres.tracer, setting.kafka_topic, setting.kafka_group
    )
    charge_refused: providers.Provider[ChargeRefused] = providers.Singleton(
        ChargeRefused,
        setting.limits[REFUSED],
        WithRedis.rates,
    )
    mark_due: providers.Provider[MarkDue] = providers.Singleton(
        MarkDue, feeds=feeds, announcer=announcer, clock=clock
    )
    alarms: providers.Provider[ports.Alarms] = providers.Singleton(PostgresAlarms, WithPostgres.engine)
    ring_alarms: providers.Provider[RingAlarms] = providers.Singleton(
        RingAlarms, alarms=alarms, announcer=announcer
    )
    reconcile_index: providers.Provider[ReconcileIndex] = providers.Singleton(
        ReconcileIndex, index=WithRedis.index, feeds=feeds, announcer=announcer
    )
    erasures: providers.Provider[ports.Erasures] = providers.Singleton(PostgresErasures, WithPostgres.engine)
    continue_erasures: providers.Provider[ContinueErasures] = providers.Singleton(
        ContinueErasures,
        erasures=erasures,
        index=WithRedis.index,
        kafka_keeps=providers.Callable(
            partial, longest_retention, setting.kafka_bootstrap, WithTopics.topics, WithTopics.kafka_login
        ),
    )
