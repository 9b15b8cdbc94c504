"""The base of every container: settings and a clock."""

from typing import TypeVar

from dependency_injector import containers, providers

from adapters import clock as system
from application import ports
from entrypoints.settings import Settings


class Base(containers.DeclarativeContainer):
    """Settings and a clock."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)
    setting = settings.provided
    clock: providers.Provider[ports.Clock] = providers.Object(system.now)


C = TypeVar("C", bound=Base)


def build(kind: type[C], settings: Settings) -> C:
    """Make a container of this kind with these settings."""
    return kind(settings=providers.Object(settings))
