"""The base of every container: settings, clocks and chance."""

import random
import secrets
import time
from typing import TypeVar

from dependency_injector import containers, providers

from adapters import clock as system
from adapters.telemetry.trail import Trail
from application import ports
from common.tracing import Tracer
from entrypoints.settings import Settings


def _trail(tracer: Tracer | None) -> Trail | None:
    return None if tracer is None else Trail()


class Base(containers.DeclarativeContainer):
    """Settings, clocks, chance, and how work is traced."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    setting = settings.provided
    clock: providers.Provider[ports.Clock] = providers.Object(system.now)
    now: providers.Provider[ports.Monotonic] = providers.Object(time.monotonic)
    chance: providers.Provider[ports.Chance] = providers.Singleton(random.Random)
    jitter: providers.Provider[ports.Jitter] = chance.provided.uniform
    new_token: providers.Provider[ports.NewToken] = providers.Object(secrets.token_hex)
    tracer: providers.Provider[Tracer | None] = providers.Object(None)
    """None where tracing is off."""
    trail: providers.Provider[Trail | None] = providers.Singleton(_trail, tracer)


C = TypeVar("C", bound=Base)


def build(kind: type[C], settings: Settings, tracer: Tracer | None = None) -> C:
    """Make a container of this kind with these settings."""
    return kind(settings=providers.Object(settings), tracer=providers.Object(tracer))
