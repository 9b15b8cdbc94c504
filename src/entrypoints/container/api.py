"""The container of the API process."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial

from dependency_injector import providers

from adapters import clock as system
from adapters.kafka.producer import build_client
from adapters.kafka.queue import KafkaQueue
from adapters.redis.cluster_live import ClusterLiveFrames
from adapters.redis.idempotency import RedisIdempotencyKeys
from adapters.redis.live import RedisLiveFrames
from adapters.redis.tickets import RedisTickets
from adapters.telemetry.delivery import TracedDelivery
from adapters.telemetry.feeds import TracedMarks
from adapters.telemetry.marks import MarksInSpans
from adapters.telemetry.queue import TracedQueue
from adapters.telemetry.trail import Trail
from adapters.websocket.connect import connect as connect_socket
from adapters.websocket.events import EventsConnection
from adapters.websocket.hub import Hub
from application import ports
from application.accounts import (
    AuthenticateOperator,
    AuthenticateUser,
    IssueStreamTicket,
    LogIn,
)
from application.arriving import Arrive
from application.catching_up import CatchUps
from application.changing import EditNotification, RetractNotification
from application.failed_log_ins import FailedLogIns
from application.inbox import (
    ActOnNotification,
    CountUnread,
    FetchUnread,
    ListNotifications,
    MarkNotifications,
    MarkRead,
)
from application.keys import AuthenticateProducer, FindApiKey, ListApiKeys
from application.known_keys import KnownKeys
from application.limits import Limits
from application.log_ins import FAILED_LOG_INS, LimitedLogIn, LocalLogInAttempts
from application.marks import Marks
from application.noting import NotingQueue
from application.pace import Pace
from application.passwords import ChangePassword, ResetPassword
from application.preferences import ChoosePreferences, ShowPreferences
from application.publishing import PublishBatch, PublishNotification
from application.revoking import EndSession, Revocations
from application.streams import Frame
from common.tracing import Tracer
from domain.rates import Patience
from entrypoints.container.accounts import AccountsContainer
from entrypoints.container.parts import redis_live
from entrypoints.container.parts.kafka import WithKafka
from entrypoints.container.parts.postgres import traced_writer
from entrypoints.container.parts.redis import WithRedis
from entrypoints.container.parts.server import WithServer
from entrypoints.container.parts.signup import WithSignup
from entrypoints.container.sessions import SessionsContainer
from entrypoints.timing import Timing

# These adapters do more than their port: the process also runs or stops them. Use cases see only the port.


def _marks(
    feeds: ports.Feeds, announcer: ports.Announcer, tracer: Tracer | None, trail: Trail | None
) -> Marks:
    if tracer is None or trail is None:
        return Marks(feeds, announcer)
    return MarksInSpans(TracedMarks(feeds, tracer, trail), announcer, tracer, trail)


def _deliver(hub: Hub, tracer: Tracer | None, trail: Trail | None) -> Callable[[Sequence[Frame]], None]:
    if tracer is None or trail is None:
        return hub.deliver
    return TracedDelivery(hub.deliver, hub.count, tracer, trail)


def _live_feed(adapter: Hub) -> ports.LiveFeed:
    return adapter


def _traced_queue(adapter: KafkaQueue, tracer: Tracer | None, topic: str) -> ports.NotificationQueue:
    return adapter if tracer is None else TracedQueue(adapter, tracer, topic)


def _queue(
    queue: ports.NotificationQueue, demo: bool, stages: ports.Stages, clock: ports.Clock
) -> ports.NotificationQueue:
    return NotingQueue(queue, stages, clock) if demo else queue


def _pace(timing: Timing) -> Callable[[ports.Monotonic], Pace]:
    return partial(Pace, timing.commands_a_second, timing.commands_at_once)


class ApiContainer(AccountsContainer, SessionsContainer, WithSignup, WithRedis, WithKafka, WithServer):
    """For `bellwire api`."""

    clock, setting = AccountsContainer.clock, AccountsContainer.setting
    tracer, trail = AccountsContainer.tracer, AccountsContainer.trail
    users, feeds, api_keys = AccountsContainer.users, AccountsContainer.feeds, AccountsContainer.api_keys
    redis_server, index, announcer = WithRedis.redis_server, WithRedis.index, WithRedis.announcer
    passwords, forms, tokens = WithSignup.passwords, WithSignup.forms, SessionsContainer.tokens

    now, chance, new_token = AccountsContainer.now, AccountsContainer.chance, AccountsContainer.new_token
    new_id: providers.Provider[ports.NewId] = providers.Singleton(system.NotificationIds)

    writer: providers.Provider[ports.FeedWriter] = providers.Callable(traced_writer, feeds, tracer, trail)

    # --- Redis ---
    idempotency_keys: providers.Provider[ports.IdempotencyKeys] = providers.Singleton(
        RedisIdempotencyKeys, redis_server, setting.redis_prefix, WithRedis.macs, setting.idempotency_keys
    )
    tickets: providers.Provider[ports.Tickets] = providers.Singleton(
        RedisTickets,
        redis_server,
        setting.redis_prefix,
        WithRedis.macs,
        providers.Object(secrets.token_urlsafe),
    )

    # --- limits ---
    rates = WithRedis.rates
    limits: providers.Provider[Limits] = providers.Singleton(Limits, setting.limits, rates, now)
    patience: providers.Provider[Patience] = providers.Singleton(Patience, setting.limit_account_failures)
    failure_rate = setting.limits[FAILED_LOG_INS]
    local_log_in_attempts: providers.Provider[LocalLogInAttempts] = providers.Singleton(
        LocalLogInAttempts, patience, failure_rate, now
    )
    log_in_attempts: providers.Provider[ports.LogInAttempts] = providers.Singleton(
        redis_live.log_in_attempts,
        redis_server,
        setting.redis_prefix,
        rates.provider,
        patience,
        failure_rate,
        local_log_in_attempts,
    )

    # --- Kafka ---
    kafka_queue: providers.Provider[KafkaQueue] = providers.Singleton(
        KafkaQueue,
        setting.kafka_bootstrap,
        setting.kafka_topic,
        now,
        client=providers.Callable(partial, build_client, login=WithKafka.kafka_login),
    )
    traced_queue: providers.Provider[ports.NotificationQueue] = providers.Callable(
        _traced_queue, kafka_queue, tracer, setting.kafka_topic
    )
    queue: providers.Provider[ports.NotificationQueue] = providers.Callable(
        _queue, traced_queue, setting.demo, WithRedis.stages, clock
    )

    # --- live streams ---
    subscriptions: providers.Provider[ports.Carrier] = providers.Singleton(
        redis_live.subscriptions, redis_server, setting.redis_prefix, now
    )
    hub: providers.Provider[Hub] = providers.Singleton(Hub, clock, subscriptions)
    live_feed: providers.Provider[ports.LiveFeed] = providers.Callable(_live_feed, hub)
    live_frames: providers.Provider[RedisLiveFrames | ClusterLiveFrames] = providers.Singleton(
        redis_live.live_frames,
        redis_server,
        setting.redis_prefix,
        WithRedis.macs,
        subscriptions,
        deliver=providers.Callable(_deliver, hub, tracer, trail),
        lost=hub.provided.lost,
        now=now,
        new_token=new_token,
    )
    stream_timing: providers.Provider[Timing] = providers.Object(Timing())
    connect_socket: providers.Provider[Callable[..., ports.Connection]] = providers.Callable(
        partial, connect_socket, now=now, pace=providers.Callable(_pace, stream_timing)
    )
    connect_events: providers.Provider[Callable[..., ports.EventStream]] = providers.Callable(
        partial, EventsConnection, now=now
    )

    # --- use cases ---
    revocations: providers.Provider[Revocations] = providers.Singleton(
        Revocations, users=users, tokens=SessionsContainer.revoked_tokens
    )
    end_session: providers.Provider[EndSession] = providers.Singleton(
        EndSession, revoked_tokens=SessionsContainer.revoked_tokens, revocations=revocations
    )
    failed_log_ins: providers.Singleton[FailedLogIns] = providers.Singleton(
        FailedLogIns, AccountsContainer.audit_trail
    )
    log_in: providers.Provider[LogIn] = providers.Singleton(
        LogIn,
        users=users,
        passwords=passwords,
        forms=forms,
        tokens=tokens,
        clock=clock,
        failures=failed_log_ins,
    )
    change_password: providers.Provider[ChangePassword] = providers.Singleton(
        ChangePassword,
        users=users,
        passwords=passwords,
        forms=forms,
        tokens=tokens,
        clock=clock,
        attempts=log_in_attempts,
    )
    reset_password: providers.Provider[ResetPassword] = providers.Singleton(
        ResetPassword, users=users, passwords=passwords, forms=forms
    )
    limited_log_in: providers.Provider[LimitedLogIn] = providers.Singleton(
        LimitedLogIn,
        log_in=log_in,
        attempts=log_in_attempts,
        limiter=limits.provided.log_ins,
        forms=forms,
    )
    authenticate_user: providers.Provider[AuthenticateUser] = providers.Singleton(
        AuthenticateUser, tokens=tokens, tickets=tickets, revocations=revocations, clock=clock
    )
    authenticate_operator: providers.Provider[AuthenticateOperator] = providers.Singleton(
        AuthenticateOperator, tokens=SessionsContainer.operator_tokens, clock=clock
    )
    known_keys: providers.Provider[KnownKeys] = providers.Singleton(KnownKeys, api_keys, now)
    authenticate_producer: providers.Provider[AuthenticateProducer] = providers.Singleton(
        AuthenticateProducer, known=known_keys, clock=clock, environment=setting.environment
    )
    find_api_key: providers.Provider[FindApiKey] = providers.Singleton(FindApiKey, keys=api_keys)
    list_api_keys: providers.Provider[ListApiKeys] = providers.Singleton(ListApiKeys, keys=api_keys)
    issue_ticket: providers.Provider[IssueStreamTicket] = providers.Singleton(
        IssueStreamTicket, tickets=tickets
    )
    publish: providers.Provider[PublishNotification] = providers.Singleton(
        PublishNotification,
        users=users,
        queue=queue,
        keys=idempotency_keys,
        clock=clock,
        new_id=new_id,
        creates_users=setting.publishing_creates_users,
    )
    edit_notification: providers.Provider[EditNotification] = providers.Singleton(
        EditNotification, users=users, queue=queue, clock=clock
    )
    retract_notification: providers.Provider[RetractNotification] = providers.Singleton(
        RetractNotification, feeds=writer, announcer=announcer, clock=clock
    )
    publish_batch: providers.Provider[PublishBatch] = providers.Singleton(
        PublishBatch,
        users=users,
        queue=queue,
        keys=idempotency_keys,
        clock=clock,
        new_id=new_id,
        creates_users=setting.publishing_creates_users,
    )
    arrive: providers.Provider[Arrive] = providers.Singleton(
        Arrive, missing=AccountsContainer.created_by_token, clock=clock
    )
    fetch_unread: providers.Provider[FetchUnread] = providers.Singleton(FetchUnread, index=index, feeds=feeds)
    list_notifications: providers.Provider[ListNotifications] = providers.Singleton(
        ListNotifications, feeds=feeds, fetch_unread=fetch_unread
    )
    count_unread: providers.Provider[CountUnread] = providers.Singleton(
        CountUnread, fetch_unread=fetch_unread
    )
    marks: providers.Provider[Marks] = providers.Singleton(_marks, feeds, announcer, tracer, trail)
    mark_notifications: providers.Provider[MarkNotifications] = providers.Singleton(
        MarkNotifications, marks=marks, clock=clock
    )
    mark_read: providers.Provider[MarkRead] = providers.Singleton(
        MarkRead, mark_notifications=mark_notifications, feeds=feeds
    )
    act: providers.Provider[ActOnNotification] = providers.Singleton(
        ActOnNotification, marks=marks, feeds=feeds, clock=clock
    )
    show_preferences: providers.Provider[ShowPreferences] = providers.Singleton(
        ShowPreferences, preferences=AccountsContainer.preferences, categories=AccountsContainer.categories
    )
    choose_preferences: providers.Provider[ChoosePreferences] = providers.Singleton(
        ChoosePreferences,
        preferences=AccountsContainer.preferences,
        categories=AccountsContainer.categories,
        announcer=announcer,
    )
    catch_ups: providers.Singleton[CatchUps] = providers.Singleton(CatchUps, feeds, now)
