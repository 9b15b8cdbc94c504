"""The HTTP API and the live streams as one ASGI application."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide

from common import metrics
from domain.identifiers import UserId
from entrypoints import lifespan
from entrypoints.container.api import ApiContainer
from entrypoints.container.parts.base import build
from entrypoints.container.telemetry import tracer
from entrypoints.http import (
    accounts,
    audit,
    categories,
    inbox,
    keys,
    openapi,
    passwords,
    preferences,
    privacy,
    publishing,
    users,
)
from entrypoints.http.demo import demo_routes
from entrypoints.http.element import element, modules
from entrypoints.listening import api_place
from entrypoints.live import draining
from entrypoints.live import page as stream_page
from entrypoints.live.events import live_events
from entrypoints.live.sessions import Sessions
from entrypoints.live.socket import SocketPath, live_socket, no_socket
from entrypoints.live.state import Streams
from entrypoints.live.streaming import Streaming
from entrypoints.logs import configure
from entrypoints.settings import Settings
from entrypoints.version import app_version
from entrypoints.web import health, problems
from entrypoints.web.application import Application
from entrypoints.web.below import served_below
from entrypoints.web.fast_path import FastPath
from entrypoints.web.head import answering_head
from entrypoints.web.json_request import JsonRequest
from entrypoints.web.middleware import fronted
from entrypoints.web.state import Access, Checks, Scraping, application_state, part_of
from entrypoints.web.verbatim import VerbatimSchema
from entrypoints.web.workers import Workers

logger = logging.getLogger(__name__)


def create(workers: str = "") -> Litestar:
    """Build the application from the environment, for uvicorn. `workers` is the folder of the workers, if
    there are several.
    """
    settings = Settings.from_env()
    configure(settings.log_level, settings.log_format)
    container = build(ApiContainer, settings, tracer("api"))
    return create_app(container, Workers(Path(workers)) if workers else None)


def create_app(container: ApiContainer, workers: Workers | None = None) -> Litestar:
    """Build the application on a container."""
    settings = container.settings()
    handlers: list[Any] = [
        *accounts.HANDLERS,
        *users.HANDLERS,
        *passwords.HANDLERS,
        *privacy.HANDLERS,
        *audit.HANDLERS,
        *keys.HANDLERS,
        *categories.HANDLERS,
        *preferences.HANDLERS,
        *publishing.HANDLERS,
        *inbox.HANDLERS,
        *health.HANDLERS,
        *draining.HANDLERS,
        *element(modules()),
        live_socket,
        no_socket,
        live_events,
    ]
    if settings.schema:
        handlers += stream_page.described(settings.root_path)
    if settings.demo:
        handlers += demo_routes(settings.demo_key, partial(_demo_token, container), container.stages())
    app = Application(
        handlers,
        dependencies=_dependencies(container),
        exception_handlers=problems.HANDLERS,
        lifespan=[partial(_lifespan, container)],
        cors_config=_cors(settings.origins),
        openapi_config=openapi.config() if settings.schema else None,
        plugins=[VerbatimSchema()],
        request_class=JsonRequest,
        state=state(container, workers),
        logging_config=None,
    )
    app.asgi_handler = SocketPath(FastPath(app, app.asgi_handler))
    answering_head(_fronted(container, app))
    return served_below(app, settings.root_path) if settings.root_path else app


@asynccontextmanager
async def _lifespan(container: ApiContainer, app: Litestar) -> AsyncIterator[None]:
    settings = container.settings()
    streams, workers = part_of(app, Streams), part_of(app, Scraping).workers
    metrics.identify("api", app_version())
    metrics.SOCKETS_LIMIT.set(settings.sockets)
    async with (
        lifespan.api(container),
        nullcontext() if workers is None else workers.answering(),
        lifespan.background(lifespan.repeated(streams.sessions.run)),
        lifespan.drained_first(streams.drain),
    ):
        logger.info("serving on %s", api_place(container.settings()))
        yield


def _demo_token(container: ApiContainer, user: UserId) -> str:
    return container.tokens().mint(user, container.clock()())[0]


def state(container: ApiContainer, workers: Workers | None = None) -> State:
    """What the routes of a process need to find, with no stream open yet."""
    streams = _streams(container)
    required = {
        "postgres": container.maintenance().ping,
        "kafka": container.kafka_queue().ping,
        "streams": streams.sessions.check_serving,
    }
    access = Access(
        user=container.authenticate_user(),
        arrive=container.arrive(),
        producer=container.authenticate_producer(),
        operator=container.authenticate_operator(),
        open_signup=container.settings().open_signup,
    )
    checks = Checks(required, {"redis": container.redis_server().ping})
    settings = container.settings()
    limits, scraping = container.limits(), Scraping(settings.metrics_token, workers)
    return application_state(access, streams, checks, limits, settings.proxies, scraping)


def _streams(container: ApiContainer) -> Streams:
    settings, live_frames = container.settings(), container.live_frames()
    sessions = Sessions(
        _streaming(container),
        most=settings.sockets,
        per_user=settings.sockets_per_user,
        carried=lambda: live_frames.connected,
    )
    return Streams(
        sessions=sessions,
        authenticate=container.authenticate_user(),
        origins=settings.origins,
        connect=container.connect_socket(),
        connect_events=container.connect_events(),
        workers=settings.workers,
        drain_seconds=settings.drain_seconds,
        drain_delay_seconds=settings.drain_delay_seconds,
        audit=container.audit_trail(),
    )


def _streaming(container: ApiContainer) -> Streaming:
    return Streaming(
        authenticate=container.authenticate_user(),
        arrive=container.arrive(),
        live_feed=container.live_feed(),
        catch_ups=container.catch_ups(),
        mark_notifications=container.mark_notifications(),
        act=container.act(),
        revocations=container.revocations(),
        clock=container.clock(),
        now=container.now(),
        chance=container.chance(),
        new_session_id=partial(container.new_token(), 16),
        server=container.new_token()(4),
        timing=container.stream_timing(),
    )


def _fronted(container: ApiContainer, app: Litestar) -> Litestar:
    log, hosts = container.settings().access_log, container.settings().hosts
    now, chance = container.now(), container.chance()
    return fronted(app, log=log, hosts=hosts, now=now, chance=chance, tracer=container.tracer())


def _dependencies(container: ApiContainer) -> dict[str, Provide]:
    """The use cases that handlers ask for by name."""
    return {
        "create": dependency(container.create_user),
        "log_in": dependency(container.limited_log_in),
        "issue": dependency(container.issue_ticket),
        "put_one": dependency(container.put_user),
        "find_user": dependency(container.find_user),
        "listing_users": dependency(container.list_users),
        "disable": dependency(container.disable_user),
        "enable": dependency(container.enable_user),
        "revoke": dependency(container.revoke_tokens),
        "revoke_one": dependency(container.revoke_token),
        "end": dependency(container.end_session),
        "change_password": dependency(container.change_password),
        "reset_password": dependency(container.reset_password),
        "erase": dependency(container.erase_user),
        "find_erasure": dependency(container.find_erasure),
        "export": dependency(container.export_user),
        "listing_audit": dependency(container.list_audit),
        "create_key": dependency(container.create_api_key),
        "find_key": dependency(container.find_api_key),
        "list_keys": dependency(container.list_api_keys),
        "rotate_key": dependency(container.rotate_api_key),
        "revoke_key": dependency(container.revoke_api_key),
        "list_categories": dependency(container.list_categories),
        "set_category": dependency(container.set_category),
        "show_preferences": dependency(container.show_preferences),
        "choose_preferences": dependency(container.choose_preferences),
        "publish_one": dependency(container.publish),
        "publish_many": dependency(container.publish_batch),
        "edit": dependency(container.edit_notification),
        "retract": dependency(container.retract_notification),
        "listing": dependency(container.list_notifications),
        "count": dependency(container.count_unread),
        "mark_read": dependency(container.mark_read),
        "mark_notifications": dependency(container.mark_notifications),
        "act": dependency(container.act),
    }


def dependency(provider: Callable[[], object]) -> Provide:
    """Hand a provider to Litestar, which takes functions only."""

    def provided() -> Any:
        return provider()

    return Provide(provided, sync_to_thread=False)


def _cors(origins: Iterable[str]) -> CORSConfig | None:
    """Let pages of these origins call the API. Without any, browsers refuse pages of other origins."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=sorted(origins),
        allow_methods=["GET", "POST", "PATCH", "PUT"],
        allow_headers=["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-Request-Id"],
        expose_headers=["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
        max_age=3600,
    )
