"""`bellwire status`: how everything is, on one screen."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from application.errors import Unavailable
from application.inspection import CacheState, QueueState, StoreState
from entrypoints.commands.asking import Health, health, own
from entrypoints.commands.output import Cell, Output, add_json, quiet
from entrypoints.container.inspection import InspectionContainer
from entrypoints.container.parts.base import build
from entrypoints.environment import variables
from entrypoints.settings import Settings
from entrypoints.version import app_version

T = TypeVar("T")

_WRONG = "bold red"


@dataclass(frozen=True, slots=True)
class Looked(Generic[T]):
    """What a server said, or why it did not."""

    state: T | None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How everything is."""

    store: Looked[StoreState]
    cache: Looked[CacheState]
    queue: Looked[QueueState]
    topics: tuple[str, str]
    """The names of the queue and of the dead letters."""
    api: Health
    consumer: Health

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        store, queue = self.store.state, self.queue.state
        return (
            store is not None
            and store.migrated
            and self.cache.state is not None
            and queue is not None
            and all(name in queue.topics for name in self.topics)
            and self.api.ready
            and self.consumer.ready
        )


def status(parser: argparse.ArgumentParser) -> None:
    """Show how everything is."""
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Print it. Returns 1 if something is wrong."""
    settings = Settings.from_env()
    with quiet():
        found = asyncio.run(look(build(InspectionContainer, settings), variables().get("BELLWIRE_URL")))
    Output.of(arguments).fields(fields(found), entry(found))
    return 0 if found.well else 1


async def look(container: InspectionContainer, url: str | None) -> Status:
    """Ask everyone at the same time."""
    settings = container.settings()
    try:
        store, cache, queue, api, consumer = await asyncio.gather(
            _looked(container.store().look, container.explained()),
            _looked(container.cache().look),
            _looked(container.kafka().look),
            asyncio.to_thread(health, url or own(settings)),
            asyncio.to_thread(health, own(settings, settings.consumer_port)),
        )
    finally:
        await container.redis_server().close()
        await container.maintenance().close()
    topics = container.topics()
    return Status(
        store=store,
        cache=cache,
        queue=queue,
        topics=(topics.name, topics.dead_letters),
        api=api,
        consumer=consumer,
    )


async def _looked(
    ask: Callable[[], Awaitable[T]],
    explained: Callable[[Unavailable], Unavailable] = lambda error: error,
) -> Looked[T]:
    try:
        return Looked(await ask())
    except Unavailable as error:
        return Looked(None, explained(error).detail)


# --- for people -------------------------------------------------------------------------------------------


def fields(found: Status) -> Mapping[str, Cell]:
    """The lines of the screen."""
    return {
        "Bellwire": app_version(),
        **_store(found.store),
        **_cache(found.cache),
        **_queue(found),
        "API": _process(found.api),
        "Consumer": _process(found.consumer),
    }


def _store(looked: Looked[StoreState]) -> Mapping[str, Cell]:
    state = looked.state
    if state is None:
        return {"PostgreSQL": (looked.error, _WRONG)}
    if not state.migrated:
        at = f"at {state.revision}" if state.revision else "not made"
        text = f"{at}, {state.newest} is needed: run `bellwire migrate`"
        return {"PostgreSQL": state.version, "Tables": (text, _WRONG)}
    return {
        "PostgreSQL": state.version,
        "Tables": f"at {state.revision}",
        "Users": f"{state.users:,}",
        "Unread": f"{state.unread:,}",
    }


def _cache(looked: Looked[CacheState]) -> Mapping[str, Cell]:
    state = looked.state
    if state is None:
        return {"Redis": (looked.error, _WRONG)}
    if state.used_bytes is None:
        return {"Redis": state.version or "answers"}
    most = f"of {_megabytes(state.most_bytes)}" if state.most_bytes else "without a limit"
    return {"Redis": f"{state.version}, {_megabytes(state.used_bytes)} used {most}"}


def _queue(found: Status) -> Mapping[str, Cell]:
    state = found.queue.state
    if state is None:
        return {"Kafka": (found.queue.error, _WRONG)}
    lines: dict[str, Cell] = {"Kafka": f"{state.brokers} broker{'s' * (state.brokers != 1)}"}
    for title, name in zip(("Queue", "Dead letters"), found.topics, strict=True):
        topic = state.topics.get(name)
        if topic is None:
            lines[title] = (f"there is no topic {name}: run `bellwire migrate`", _WRONG)
        elif title == "Queue":
            lag = "nothing read yet" if state.lag is None else f"{state.lag:,} not stored yet"
            lines[title] = f"{name}, {topic.partitions} partitions, {lag}"
        else:
            lines[title] = (f"{state.dead_letters:,}", "yellow" if state.dead_letters else "")
    return lines


def _process(found: Health) -> Cell:
    text = f"{found.url} {found.text}"
    return text if found.ready else (text, _WRONG)


def _megabytes(size: int | None) -> str:
    return f"{(size or 0) / 1024**2:,.1f} MB"


# --- as JSON ----------------------------------------------------------------------------------------------


def entry(found: Status) -> object:
    """The same, for programs."""
    return {
        "well": found.well,
        "version": app_version(),
        "postgres": _entry(found.store),
        "redis": _entry(found.cache),
        "kafka": _entry(found.queue),
        "api": _process_entry(found.api),
        "consumer": _process_entry(found.consumer),
    }


def _entry(looked: Looked[T]) -> object:
    if looked.state is None:
        return {"error": looked.error}
    values = msgspec.to_builtins(looked.state)
    if (ahead := getattr(looked.state, "ahead", None)) is not None:
        values["ahead"] = ahead.total_seconds()
    return values


def _process_entry(found: Health) -> object:
    return {"url": found.url, "ready": found.ready, "detail": found.text}
