"""The containers of all processes in one: for tests that play several of them or replace ports in all."""

from common.tracing import Tracer
from entrypoints.container.accounts import AccountsContainer
from entrypoints.container.api import ApiContainer
from entrypoints.container.consumer import ConsumerContainer
from entrypoints.container.dead_letters import DeadLettersContainer
from entrypoints.container.demo import DemoContainer
from entrypoints.container.moving import MovingContainer, RestoringContainer
from entrypoints.container.parts import base
from entrypoints.container.passing import PassingContainer
from entrypoints.container.pruning import PruningContainer
from entrypoints.container.sessions import SessionsContainer
from entrypoints.container.setup import SetupContainer
from entrypoints.settings import Settings

PROCESSES: list[type[base.Base]] = [
    AccountsContainer,
    ApiContainer,
    ConsumerContainer,
    DeadLettersContainer,
    DemoContainer,
    MovingContainer,
    PassingContainer,
    PruningContainer,
    RestoringContainer,
    SessionsContainer,
    SetupContainer,
]


class Container(
    ApiContainer, ConsumerContainer, DeadLettersContainer, DemoContainer, PruningContainer, SetupContainer
):
    """All there is."""


def build(settings: Settings, tracer: Tracer | None = None) -> Container:
    """Wire everything for these settings."""
    return base.build(Container, settings, tracer)
