"""The composition root: which adapter stands behind which port. The only place that sees both sides.

Every provider is synchronous and nothing here connects: connections are opened and closed by lifespan.py.
Ports are annotated, so that the type checker compares each adapter with its port.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from dependency_injector import containers, providers
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters import clock as system
from adapters.kafka.dead_letter_box import KafkaDeadLetterBox
from adapters.kafka.dead_letters import KafkaDeadLetters
from adapters.kafka.probe import broker_answers
from adapters.kafka.queue import KafkaQueue
from adapters.kafka.reader import KafkaQueueReader
from adapters.kafka.topics import Topics, ensure_topics
from adapters.postgres.api_keys import PostgresApiKeys
from adapters.postgres.engine import create_engine
from adapters.postgres.feeds import PostgresFeeds
from adapters.postgres.maintenance import PostgresMaintenance
from adapters.postgres.migrations import upgrade
from adapters.postgres.retention import PostgresRetention
from adapters.postgres.users import PostgresUsers
from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.live import RedisLiveFrames
from adapters.redis.server import RedisServer, connect
from adapters.redis.tickets import RedisTickets
from adapters.security.forms import PrecisForms
from adapters.security.passwords import Argon2Passwords
from adapters.security.tokens import JwtTokens
from adapters.websocket.connect import connect as connect_socket
from adapters.websocket.events import EventsConnection
from adapters.websocket.http import HttpProtocol
from adapters.websocket.hub import Hub
from adapters.websocket.protocol import StreamProtocol
from application import ports
from application.accounts import (
    AuthenticateOperator,
    AuthenticateProducer,
    AuthenticateUser,
    CreateApiKey,
    CreateUser,
    IssueStreamTicket,
    LogIn,
)
from application.catching_up import CatchUps
from application.dead_letters import ListDeadLetters, ReplayDeadLetters
from application.delivery import RetractExpired, StoreNotifications
from application.inbox import (
    CountUnread,
    FetchUnread,
    ListNotifications,
    MarkNotifications,
    MarkRead,
)
from application.pruning import PruneFeeds
from application.publishing import PublishBatch, PublishNotification
from application.reconciling import ReconcileIndex
from application.revoking import DisableUser, EnableUser, Revocations, RevokeTokens
from common import wire
from entrypoints.loop import calm_collector
from entrypoints.settings import Settings
from entrypoints.version import app_version

# These adapters are more than their port: processes also run or stop them. Here they are only the port.


def _announcer(adapter: RedisAnnouncer) -> ports.Announcer:
    return adapter


def _live_feed(adapter: Hub) -> ports.LiveFeed:
    return adapter


def _dead_letter_box(adapter: KafkaDeadLetterBox) -> ports.DeadLetterBox:
    return adapter


def _queue(adapter: KafkaQueue) -> ports.NotificationQueue:
    return adapter


class Container(containers.DeclarativeContainer):
    """Everything that runs, for both entrypoints."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    _set = settings.provided

    clock: providers.Provider[ports.Clock] = providers.Object(system.now)
    monotonic: providers.Provider[ports.Monotonic] = providers.Object(time.monotonic)
    jitter: providers.Provider[ports.Jitter] = providers.Object(random.uniform)
    new_token: providers.Provider[ports.NewToken] = providers.Object(secrets.token_hex)
    new_id: providers.Provider[ports.NewId] = providers.Singleton(system.NotificationIds)
    tune_gc: providers.Provider[Callable[[], None]] = providers.Object(calm_collector)
    render: providers.Provider[ports.Render] = providers.Object(wire.render)

    # --- PostgreSQL ---
    engine: providers.Provider[AsyncEngine] = providers.Singleton(
        create_engine,
        _set.postgres_url,
        pool_size=_set.postgres_pool,
        application="bellwire",
        jitter=jitter,
    )
    feeds: providers.Provider[ports.Feeds] = providers.Singleton(PostgresFeeds, engine)
    retention: providers.Provider[ports.Retention] = providers.Singleton(PostgresRetention, engine)
    users: providers.Provider[ports.Users] = providers.Singleton(PostgresUsers, engine, new_token)
    api_keys: providers.Provider[ports.ApiKeys] = providers.Singleton(PostgresApiKeys, engine, clock)
    maintenance: providers.Provider[PostgresMaintenance] = providers.Singleton(
        PostgresMaintenance, engine, clock
    )

    migrate_database: providers.Provider[Callable[..., None]] = providers.Object(upgrade)

    # --- Redis ---
    redis: providers.Provider[Redis] = providers.Singleton(connect, _set.redis_url, now=monotonic)
    redis_server: providers.Provider[RedisServer] = providers.Singleton(RedisServer, redis, monotonic)
    index: providers.Provider[ports.UnreadIndex] = providers.Singleton(
        RedisUnreadIndex, redis_server, _set.redis_prefix, _set.index_capacity, jitter, new_token
    )
    redis_announcer: providers.Provider[RedisAnnouncer] = providers.Singleton(
        RedisAnnouncer, redis_server, _set.redis_prefix, _set.index_capacity, jitter
    )
    announcer: providers.Provider[ports.Announcer] = providers.Callable(_announcer, redis_announcer)
    idempotency_keys: providers.Provider[ports.IdempotencyKeys] = providers.Singleton(
        RedisIdempotencyKeys, redis_server, _set.redis_prefix
    )
    tickets: providers.Provider[ports.Tickets] = providers.Singleton(
        RedisTickets, redis_server, _set.redis_prefix, providers.Object(secrets.token_urlsafe)
    )

    # --- live streams ---
    hub: providers.Provider[Hub] = providers.Singleton(Hub)
    live_feed: providers.Provider[ports.LiveFeed] = providers.Callable(_live_feed, hub)
    live_frames: providers.Provider[RedisLiveFrames] = providers.Singleton(
        RedisLiveFrames,
        redis_server,
        _set.redis_prefix,
        deliver=hub.provided.deliver,
        lost=hub.provided.lost,
        now=monotonic,
        new_token=new_token,
    )

    connect_socket: providers.Provider[Callable[..., ports.Connection]] = providers.Object(connect_socket)
    connect_events: providers.Provider[Callable[..., ports.EventStream]] = providers.Object(EventsConnection)
    http_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(HttpProtocol)
    stream_protocol: providers.Provider[type[asyncio.Protocol]] = providers.Object(StreamProtocol)

    # --- Kafka ---
    topics: providers.Provider[Topics] = providers.Singleton(
        Topics, _set.kafka_topic, _set.kafka_partitions, _set.kafka_replication
    )
    ensure_topics: providers.Provider[Callable[..., Awaitable[None]]] = providers.Object(ensure_topics)
    kafka_queue: providers.Provider[KafkaQueue] = providers.Singleton(
        KafkaQueue, _set.kafka_bootstrap, _set.kafka_topic, monotonic
    )
    queue: providers.Provider[ports.NotificationQueue] = providers.Callable(_queue, kafka_queue)
    queue_reader: providers.Provider[ports.QueueReader] = providers.Singleton(
        KafkaQueueReader,
        _set.kafka_bootstrap,
        _set.kafka_topic,
        _set.kafka_group,
        session_seconds=_set.kafka_session_seconds,
        fetch_wait_ms=_set.kafka_fetch_wait_ms,
        batch_records=_set.batch_records,
        clock=clock,
        skipped=_set.skipped_batches,
    )
    dead_letters: providers.Provider[ports.DeadLetters] = providers.Singleton(
        KafkaDeadLetters,
        _set.kafka_bootstrap,
        topics.provided.dead_letters,
        _set.kafka_group,
        version=app_version(),
        clock=clock,
    )
    broker_answers: providers.Provider[Callable[[], Awaitable[bool]]] = providers.Callable(
        partial, broker_answers, _set.kafka_bootstrap
    )
    kafka_dead_letter_box: providers.Provider[KafkaDeadLetterBox] = providers.Singleton(
        KafkaDeadLetterBox, _set.kafka_bootstrap, topics
    )
    dead_letter_box: providers.Provider[ports.DeadLetterBox] = providers.Callable(
        _dead_letter_box, kafka_dead_letter_box
    )

    # --- credentials ---
    passwords: providers.Provider[ports.Passwords] = providers.Singleton(Argon2Passwords)
    forms: providers.Provider[ports.TextForms] = providers.Singleton(PrecisForms)
    tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        _set.token_secret,
        _set.token_audience,
        providers.Factory(timedelta, seconds=_set.token_seconds),
    )

    # Of an audience of its own, so that neither is good for the other's purpose.
    operator_tokens: providers.Provider[ports.Tokens] = providers.Singleton(
        JwtTokens,
        _set.token_secret,
        providers.Callable("{}:operator".format, _set.token_audience),
        providers.Object(timedelta(seconds=60)),
    )

    revocations: providers.Provider[Revocations] = providers.Singleton(Revocations, users=users)

    # --- use cases ---
    create_user: providers.Provider[CreateUser] = providers.Singleton(
        CreateUser,
        users=users,
        passwords=passwords,
        forms=forms,
        clock=clock,
        new_user_id=providers.Object(system.new_user_id),
    )
    log_in: providers.Provider[LogIn] = providers.Singleton(
        LogIn, users=users, passwords=passwords, forms=forms, tokens=tokens, clock=clock
    )
    authenticate_user: providers.Provider[AuthenticateUser] = providers.Singleton(
        AuthenticateUser, tokens=tokens, tickets=tickets, revocations=revocations, clock=clock
    )
    authenticate_operator: providers.Provider[AuthenticateOperator] = providers.Singleton(
        AuthenticateOperator, tokens=operator_tokens, clock=clock
    )
    disable_user: providers.Provider[DisableUser] = providers.Singleton(DisableUser, users=users)
    enable_user: providers.Provider[EnableUser] = providers.Singleton(EnableUser, users=users)
    revoke_tokens: providers.Provider[RevokeTokens] = providers.Singleton(RevokeTokens, users=users)
    issue_ticket: providers.Provider[IssueStreamTicket] = providers.Singleton(
        IssueStreamTicket, tickets=tickets
    )
    authenticate_producer: providers.Provider[AuthenticateProducer] = providers.Singleton(
        AuthenticateProducer, keys=api_keys, clock=clock
    )
    create_api_key: providers.Provider[CreateApiKey] = providers.Singleton(
        CreateApiKey, keys=api_keys, clock=clock, new_token=new_token, environment=_set.environment
    )
    publish: providers.Provider[PublishNotification] = providers.Singleton(
        PublishNotification, users=users, queue=queue, keys=idempotency_keys, clock=clock, new_id=new_id
    )
    publish_batch: providers.Provider[PublishBatch] = providers.Singleton(
        PublishBatch, users=users, queue=queue, keys=idempotency_keys, clock=clock, new_id=new_id
    )
    store: providers.Provider[StoreNotifications] = providers.Singleton(
        StoreNotifications, feeds=feeds, announcer=announcer, clock=clock
    )
    list_dead_letters: providers.Provider[ListDeadLetters] = providers.Singleton(
        ListDeadLetters, box=dead_letter_box
    )
    replay_dead_letters: providers.Provider[ReplayDeadLetters] = providers.Singleton(
        ReplayDeadLetters, box=dead_letter_box
    )
    retract_expired: providers.Provider[RetractExpired] = providers.Singleton(
        RetractExpired, feeds=feeds, announcer=announcer, clock=clock
    )
    prune: providers.Provider[PruneFeeds] = providers.Singleton(
        PruneFeeds, retention=retention, announcer=announcer, clock=clock
    )
    reconcile_index: providers.Provider[ReconcileIndex] = providers.Singleton(
        ReconcileIndex, index=index, feeds=feeds, announcer=announcer
    )
    fetch_unread: providers.Provider[FetchUnread] = providers.Singleton(
        FetchUnread, index=index, feeds=feeds, render=render
    )
    list_notifications: providers.Provider[ListNotifications] = providers.Singleton(
        ListNotifications, feeds=feeds, fetch_unread=fetch_unread, render=render
    )
    count_unread: providers.Provider[CountUnread] = providers.Singleton(
        CountUnread, fetch_unread=fetch_unread
    )
    mark: providers.Provider[MarkNotifications] = providers.Singleton(
        MarkNotifications, feeds=feeds, announcer=announcer, clock=clock
    )
    mark_read: providers.Provider[MarkRead] = providers.Singleton(MarkRead, mark=mark, feeds=feeds)
    catch_ups: providers.Singleton[CatchUps] = providers.Singleton(CatchUps, feeds)


def build(settings: Settings) -> Container:
    """Wire everything for these settings."""
    return Container(settings=providers.Object(settings))
