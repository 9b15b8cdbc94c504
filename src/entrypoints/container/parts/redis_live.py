"""What differs between one Redis server and a cluster in a process that has streams."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from adapters.redis.cluster import RedisCluster
from adapters.redis.cluster_live import ClusterLiveFrames, ClusterSubscriptions
from adapters.redis.cluster_log_ins import ClusterLogInAttempts
from adapters.redis.limits import RedisLogInAttempts, RedisRates
from adapters.redis.live import RedisLiveFrames
from adapters.redis.macs import Macs
from adapters.redis.nodes import Nodes
from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Subscriptions
from application import ports
from application.log_ins import LocalLogInAttempts
from application.streams import Frame
from domain.identifiers import UserId
from domain.rates import Patience, Rate


def subscriptions(server: Nodes, prefix: str, now: ports.Monotonic) -> ports.Carrier:
    """The carrier."""
    if isinstance(server, RedisCluster):
        return ClusterSubscriptions(server, prefix, now)
    return Subscriptions(now)


def live_frames(
    server: Nodes,
    prefix: str,
    macs: Macs,
    carrier: ports.Carrier,
    *,
    deliver: Callable[[Sequence[Frame]], None],
    lost: Callable[[UserId | None], None],
    now: ports.Monotonic,
    new_token: ports.NewToken,
) -> RedisLiveFrames | ClusterLiveFrames:
    """What receives the frames."""
    made = partial(RedisLiveFrames, prefix=prefix, macs=macs, deliver=deliver, now=now, new_token=new_token)
    if isinstance(server, RedisCluster) and isinstance(carrier, ClusterSubscriptions):
        return ClusterLiveFrames(server, carrier, made, lost=lost, now=now)
    return made(cast(RedisServer, server), subscriptions=cast(Subscriptions, carrier), lost=lost)


def log_in_attempts(  # noqa: PLR0917 - as RedisLogInAttempts
    server: Nodes,
    prefix: str,
    rates: Callable[[], RedisRates],
    patience: Patience,
    rate: Rate | None,
    local: LocalLogInAttempts,
) -> ports.LogInAttempts:
    """Failed log-ins."""
    if not server.clustered:
        return RedisLogInAttempts(server, prefix, patience, rate, local)
    of_accounts = RedisLogInAttempts(server, prefix, patience, None, local)
    return ClusterLogInAttempts(of_accounts, rates(), rate, local)
