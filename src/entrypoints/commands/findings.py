"""What `bellwire doctor` finds: each finding names a fault and what to do about it."""

import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from application.inspection import CacheState, QueueState, StoreState
from entrypoints.addresses import is_loopback
from entrypoints.settings import Settings

_OFF_SECONDS, _FAR_OFF_SECONDS = 1.0, 10.0
_MIGRATE = "run `bellwire migrate`"
_SYNC = "synchronise the clocks of all machines, for instance with chrony"
_EVICTING = {"volatile-ttl", "noeviction"}
_NEARLY_FULL = 0.9
_DESCRIPTORS = 200
"""Descriptors that a process needs besides one for each stream."""
_FREE_BYTES = 1024**3


class Mark(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    mark: Mark
    text: str
    fix: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Mark.OK, text)


def warn(check: str, text: str, fix: str) -> Finding:
    """It works, but not as it should."""
    return Finding(check, Mark.WARN, text, fix)


def fail(check: str, text: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check, Mark.FAIL, text, fix)


# --- the servers ------------------------------------------------------------------------------------------


def of_store(state: StoreState) -> Iterator[Finding]:
    """What is to be said of PostgreSQL."""
    yield ok("postgres", f"PostgreSQL {state.version}")
    if state.revision is None:
        yield fail("migrations", "the database is not migrated", _MIGRATE)
        return
    if not state.migrated:
        text = f"the database is at {state.revision}, and this release needs {state.newest}"
        yield fail("migrations", text, _MIGRATE)
        return
    if state.revision > state.newest:
        text = f"the database is at {state.revision}, of a later release than this one ({state.newest})"
        yield warn("migrations", text, "update this installation")
    else:
        yield ok("migrations", f"at {state.revision}, the newest")
    yield from _of_partitions(state)


def _of_partitions(state: StoreState) -> Iterator[Finding]:
    if state.missing_months:
        missing = ", ".join(state.missing_months)
        yield warn("partitions", f"missing: {missing}", f"start a consumer, which makes them, or {_MIGRATE}")
    elif state.strays:
        text = f"{state.strays} notifications are in the DEFAULT partition"
        yield warn("partitions", text, "see docs/operations.md, Retention")
    else:
        yield ok("partitions", "those of this month and the next exist")


def of_cache(state: CacheState) -> Iterator[Finding]:
    """What is to be said of Redis."""
    yield ok("redis", f"Redis {state.version}" if state.version else "Redis answers")
    if state.policy and state.policy not in _EVICTING and state.most_bytes:
        text = f"maxmemory-policy is {state.policy}, which evicts idempotency keys"
        yield warn("redis", text, "set it to volatile-ttl")
    yield from _of_memory(state)
    if state.foreign:
        text = f"{state.foreign} of {state.entries} entries of the index were written with another secret"
        fix = "set the same BELLWIRE_REDIS_SECRET, or without it BELLWIRE_TOKEN_SECRET, in every process"
        yield (fail if state.foreign == state.entries else warn)("index secret", text, fix)
    elif state.entries:
        yield ok("index secret", f"{state.entries} entries of the index verify")


def _of_memory(state: CacheState) -> Iterator[Finding]:
    fix = "raise maxmemory (docs/operations.md, Redis)"
    if state.evicted:
        yield warn("redis", f"{state.evicted} keys were evicted since it started", fix)
    used, most = state.used_bytes or 0, state.most_bytes or 0
    if most and state.policy == "noeviction" and used >= _NEARLY_FULL * most:
        text = f"it uses {used / most:.0%} of maxmemory, and then refuses what needs memory (noeviction)"
        yield (fail if used >= most else warn)("redis", text, f"{fix}, or set the policy to volatile-ttl")


def of_queue(state: QueueState, settings: Settings) -> Iterator[Finding]:
    """What is to be said of Kafka."""
    yield ok("kafka", f"{state.brokers} broker{'s' * (state.brokers != 1)}")
    for name in (settings.kafka_topic, f"{settings.kafka_topic}.dlq"):
        topic = state.topics.get(name)
        if topic is None:
            yield fail("topics", f"the topic {name} does not exist", _MIGRATE)
        elif topic.without_leader:
            text = f"{topic.without_leader} partitions of {name} have no leader"
            yield fail("topics", text, "start the brokers that hold them")
        elif topic.partitions < settings.kafka_partitions:
            wanted = settings.kafka_partitions
            text = f"{name} has {topic.partitions} partitions, BELLWIRE_KAFKA_PARTITIONS is {wanted}"
            yield warn("topics", text, "add partitions (docs/scaling.md), or correct the setting")
        elif topic.replication < min(2, state.brokers):
            text = f"{name} has one replica on {state.brokers} brokers"
            yield warn("topics", text, "raise its replication: a broker that is lost takes records with it")
        else:
            yield ok("topics", f"{name}: {topic.partitions} partitions, replication {topic.replication}")


def of_clock(server: str, ahead: timedelta) -> Finding:
    """What is to be said of a server's clock."""
    off = ahead.total_seconds()
    if abs(off) < _OFF_SECONDS:
        return ok("clock", f"that of {server} agrees with this machine's")
    text = f"that of {server} is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    return (fail if abs(off) >= _FAR_OFF_SECONDS else warn)("clock", text, _SYNC)


# --- settings and this machine ----------------------------------------------------------------------------


def of_wrong_setting(message: str) -> Finding:
    """What is to be said of a setting that cannot be used; the message begins with its name."""
    name, _, text = message.partition(": ")
    check = "secrets" if name.endswith("SECRET") else "origins" if name.endswith("ORIGINS") else "settings"
    return fail(check, f"{name}: {text}", f"correct {name}")


def of_origins(settings: Settings) -> Iterator[Finding]:
    """What is to be said of the origins whose pages may open streams."""
    wrong = False
    for origin in sorted(settings.origins):
        if origin == "null":
            wrong = True
            text = "null is sent by every sandboxed frame and local file"
            yield warn("origins", text, "remove null from BELLWIRE_ALLOWED_ORIGINS")
        elif origin.startswith("http://") and not is_loopback(urlsplit(origin).hostname or ""):
            wrong = True
            text = f"{origin} is not encrypted: anyone on the way can read tokens"
            yield warn("origins", text, f"write https://{origin.removeprefix('http://')}")
    if not wrong:
        listed = ", ".join(sorted(settings.origins)) or "none but the service's own"
        yield ok("origins", listed)


def of_descriptors(settings: Settings, limit: int | None = None) -> Finding:
    """Whether there are enough file descriptors for the streams of one process."""
    found = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    needed = settings.sockets + _DESCRIPTORS
    if found in {resource.RLIM_INFINITY, -1} or found >= needed:
        return ok("descriptors", f"{found} for up to {settings.sockets} streams")
    text = f"{found} file descriptors are too few for {settings.sockets} streams (BELLWIRE_SOCKETS)"
    return warn("descriptors", text, f"ulimit -n {needed}, or LimitNOFILE={needed} of systemd")


def of_folder(folder: Path, free: int | None = None) -> Finding:
    """Whether a folder can be written, and has room."""
    try:
        probe = folder / ".bellwire-doctor"
        probe.touch()
        probe.unlink()
        left = shutil.disk_usage(folder).free if free is None else free
    except OSError as error:
        return fail("disk", f"{folder} cannot be written: {error.strerror}", "change its owner or mode")
    if left < _FREE_BYTES:
        return warn("disk", f"{folder} has {left // 1024**2} MB left", "make room")
    return ok("disk", f"{folder} has {left // 1024**3} GB left")
