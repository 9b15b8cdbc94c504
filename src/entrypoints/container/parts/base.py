"""The base of every container: settings, clocks and chance."""

import random
import secrets
import time
from typing import TypeVar

from dependency_injector import containers, providers

from adapters import clock as system
from application import ports
from entrypoints.settings import Settings


class Base(containers.DeclarativeContainer):
    """Settings, clocks and chance."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    setting = settings.provided
    clock: providers.Provider[ports.Clock] = providers.Object(system.now)
    now: providers.Provider[ports.Monotonic] = providers.Object(time.monotonic)
    chance: providers.Provider[ports.Chance] = providers.Singleton(random.Random)
    jitter: providers.Provider[ports.Jitter] = chance.provided.uniform
    new_token: providers.Provider[ports.NewToken] = providers.Object(secrets.token_hex)


C = TypeVar("C", bound=Base)


def build(kind: type[C], settings: Settings) -> C:
    """Make a container of this kind with these settings."""
    return kind(settings=providers.Object(settings))
