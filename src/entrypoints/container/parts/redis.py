"""The part of processes that use Redis."""

from collections.abc import Callable

from dependency_injector import providers
from redis.asyncio import Redis

from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.cluster import RedisCluster
from adapters.redis.index import RedisUnreadIndex
from adapters.redis.limits import RedisRates
from adapters.redis.macs import Macs
from adapters.redis.nodes import Nodes
from adapters.redis.server import RedisServer, connect
from adapters.redis.stages import RedisStages
from adapters.redis.tls import Certificates
from adapters.telemetry.announcer import TracedAnnouncer
from adapters.telemetry.trail import Trail
from application import ports
from common import clusters
from common.tracing import Tracer
from entrypoints.container.parts.base import Base


def _announcer(adapter: RedisAnnouncer, tracer: Tracer | None, trail: Trail | None) -> ports.Announcer:
    # Processes also run and heal it. Use cases see only the port.
    return adapter if tracer is None or trail is None else TracedAnnouncer(adapter, tracer, trail)


def _redis_server(
    mode: str, server: Callable[[], Redis], url: str, now: ports.Monotonic, chance: ports.Chance
) -> Nodes:
    if mode != "cluster":
        return RedisServer(server(), now)
    found, shared = clusters.parse(url), Certificates()
    return RedisCluster(
        found.nodes, lambda address: connect(found.of(address), now=now, certificates=shared), now, chance
    )


class WithRedis(Base):
    """Redis, the unread index and the announcer."""

    redis: providers.Provider[Redis] = providers.Singleton(
        connect, Base.setting.redis_url, mode=Base.setting.redis_mode, now=Base.now
    )
    redis_server: providers.Provider[Nodes] = providers.Singleton(
        _redis_server, Base.setting.redis_mode, redis.provider, Base.setting.redis_url, Base.now, Base.chance
    )
    stages: providers.Provider[ports.Stages] = providers.Singleton(
        RedisStages, redis_server, Base.setting.redis_prefix
    )
    rates: providers.Provider[ports.Rates] = providers.Singleton(
        RedisRates, redis_server, Base.setting.redis_prefix
    )
    macs: providers.Provider[Macs] = providers.Singleton(
        Macs, Base.setting.index_secret, Base.setting.redis_prefix
    )
    index: providers.Provider[ports.UnreadIndex] = providers.Singleton(
        RedisUnreadIndex,
        redis_server,
        Base.setting.redis_prefix,
        macs,
        Base.setting.index_capacity,
        Base.jitter,
        Base.new_token,
    )
    redis_announcer: providers.Provider[RedisAnnouncer] = providers.Singleton(
        RedisAnnouncer,
        redis_server,
        Base.setting.redis_prefix,
        macs,
        Base.setting.index_capacity,
        Base.jitter,
        clock=Base.clock,
        trail=Base.trail,
    )
    announcer: providers.Provider[ports.Announcer] = providers.Callable(
        _announcer, redis_announcer, Base.tracer, Base.trail
    )
