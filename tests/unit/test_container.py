"""The composition root."""

import pytest
from dependency_injector import providers

from adapters.kafka.queue import KafkaQueue
from application.delivery import StoreNotifications
from application.noting import NotingQueue, NotingStore
from entrypoints.container.parts.base import Base
from entrypoints.container.parts.base import build as build_process
from entrypoints.settings import Settings
from tests.memory import MemoryUsers
from tests.spans import recording
from tests.whole import PROCESSES, Container, build
from tests.wiring import OPERATOR_SECRET, SECRET

EVERYTHING = Settings(
    token_secret=SECRET,
    operator_secret=OPERATOR_SECRET,
    token_jwks="keys.json",
    create_users="publish,token",
    kafka_tls=True,
)
PROVIDERS = sorted(set(Container.providers) - {"settings", "__self__"})


@pytest.mark.parametrize("name", PROVIDERS)
async def test_every_provider_builds_without_connecting(name: str) -> None:
    container = build(EVERYTHING, recording()[0])

    assert getattr(container, name)() is not None


@pytest.mark.parametrize("process", PROCESSES)
async def test_each_process_has_what_its_providers_need(process: type[Base]) -> None:
    container = build_process(process, EVERYTHING, recording()[0])

    for name in set(process.providers) - {"__self__"}:
        assert getattr(container, name)() is not None


def test_what_has_a_connection_is_built_once() -> None:
    container = build(Settings(token_secret=SECRET))

    assert container.engine() is container.engine()
    assert container.announcer() is container.redis_announcer()
    assert container.live_feed() is container.hub()
    assert container.queue() is container.kafka_queue()


def test_only_the_demo_notes_the_stages_of_notifications() -> None:
    plain, demo = (build(Settings(token_secret=SECRET, demo=demo)) for demo in (False, True))

    assert type(plain.queue()) is KafkaQueue
    assert type(plain.store()) is StoreNotifications
    assert type(demo.queue()) is NotingQueue
    assert type(demo.store()) is NotingStore


def test_two_containers_share_nothing() -> None:
    first, second = build(Settings(token_secret=SECRET)), build(Settings(token_secret=SECRET))

    assert first.engine() is not second.engine()
    assert first.hub() is not second.hub()


def test_a_port_that_is_replaced_is_replaced_everywhere() -> None:
    container, users = build(Settings(token_secret=SECRET)), MemoryUsers()

    container.users.override(providers.Object(users))

    assert container.publish().users is users
    assert container.log_in().users is users


def test_settings_reach_what_they_are_about() -> None:
    container = build(Settings(token_secret=SECRET, index_capacity=123, kafka_topic="t", environment="dev"))

    assert container.index().capacity == 123
    assert container.topics().dead_letters == "t.dlq"
    assert container.create_api_key().environment == "dev"
