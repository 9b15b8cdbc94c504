"""The ports in memory keep the promises of the ports."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from adapters import clock as system
from adapters.websocket.hub import Hub
from application.ports import (
    Alarms,
    ApiKeys,
    Categories,
    Feeds,
    IdempotencyKeys,
    NotificationQueue,
    Passwords,
    Preferences,
    Retention,
    RevokedTokens,
    Stages,
    Tickets,
    Tokens,
    Users,
)
from common import wire
from domain.feed import FeedChange
from domain.notification import Draft
from tests import arrival_contracts, contracts
from tests.build import TestClock
from tests.memory import (
    MemoryAlarms,
    MemoryAnnouncer,
    MemoryApiKeys,
    MemoryCarrier,
    MemoryCategories,
    MemoryFeeds,
    MemoryIndex,
    MemoryKeys,
    MemoryPasswords,
    MemoryQueue,
    MemoryRevokedTokens,
    MemoryStages,
    MemoryTickets,
    MemoryTokens,
    MemoryUsers,
)
from tests.wiring import change_frame


@pytest.fixture
def users() -> MemoryUsers:
    return MemoryUsers()


class TestMemoryFeeds(contracts.FeedsContract):
    @pytest.fixture
    def feeds(self, users: MemoryUsers) -> Feeds:
        return MemoryFeeds(users)


class TestMemoryArrivals(arrival_contracts.ArrivalsContract):
    @pytest.fixture
    def feeds(self, users: MemoryUsers) -> MemoryFeeds:
        return MemoryFeeds(users)

    @pytest.fixture
    def preferences(self, feeds: MemoryFeeds) -> Preferences:
        return feeds

    @pytest.fixture
    def categories(self, feeds: MemoryFeeds) -> Categories:
        return feeds.categories

    @pytest.fixture
    def read_withheld(self, feeds: MemoryFeeds) -> arrival_contracts.ReadWithheld:
        async def read() -> arrival_contracts.Withheld:
            return {(one.user_id, one.id): (one.reason, one.event, one.category) for one in feeds.withheld}

        return read


class TestMemoryPreferences(contracts.PreferencesContract):
    @pytest.fixture
    def feeds(self, users: MemoryUsers) -> MemoryFeeds:
        return MemoryFeeds(users)

    @pytest.fixture
    def preferences(self, feeds: MemoryFeeds) -> Preferences:
        return feeds


class TestMemoryRetention(contracts.RetentionContract):
    @pytest.fixture
    def retention(self, feeds: MemoryFeeds) -> Retention:
        return feeds

    @pytest.fixture
    def feeds(self, users: MemoryUsers) -> MemoryFeeds:
        return MemoryFeeds(users)


class TestMemoryAlarms(contracts.AlarmsContract):
    @pytest.fixture
    def feeds(self, users: MemoryUsers) -> MemoryFeeds:
        return MemoryFeeds(users)

    @pytest.fixture
    def retention(self, feeds: MemoryFeeds) -> Retention:
        return feeds

    @pytest.fixture
    def alarms(self, feeds: MemoryFeeds) -> Alarms:
        return MemoryAlarms(feeds, TestClock())

    async def waiting(self, feeds: MemoryFeeds) -> int:
        return len(feeds.alarms)


class TestMemoryUsers(contracts.UsersContract):
    @pytest.fixture
    def users(self) -> Users:
        return MemoryUsers()


class TestMemoryDirectory(contracts.DirectoryContract):
    @pytest.fixture
    def feeds(self, users: MemoryUsers) -> Feeds:
        return MemoryFeeds(users)

    @pytest.fixture
    def directory(self, users: MemoryUsers) -> MemoryUsers:
        return users


class TestMemoryRevokedTokens(contracts.RevokedTokensContract):
    @pytest.fixture
    def revoked_tokens(self) -> RevokedTokens:
        return MemoryRevokedTokens()


@dataclass
class Applied:
    index: MemoryIndex

    async def apply(self, change: FeedChange) -> None:
        self.index.apply(change)


class TestMemoryIndex(contracts.UnreadIndexContract):
    @pytest.fixture
    def under_test(self) -> contracts.IndexUnderTest:
        return Applied(MemoryIndex(contracts.body, capacity=100))


@dataclass
class Carried:
    announcer: MemoryAnnouncer
    index: MemoryIndex
    live: Hub

    def cut(self) -> None:
        self.announcer.away = True

    async def restore(self) -> None:
        self.announcer.away = False
        await self.announcer.heal()


class TestMemoryAnnouncer(contracts.AnnouncerContract):
    @pytest.fixture
    def carrier(self) -> contracts.Carrier:
        index, live = MemoryIndex(wire.render), Hub(system.now, MemoryCarrier())
        return Carried(MemoryAnnouncer(index, live, change_frame), index, live)


class TestMemoryQueue(contracts.QueueContract):
    @pytest.fixture
    def held(self) -> MemoryQueue:
        return MemoryQueue()

    @pytest.fixture
    def queue(self, held: MemoryQueue) -> NotificationQueue:
        return held

    @pytest.fixture
    def arrived(self, held: MemoryQueue) -> Callable[[int], Awaitable[list[Draft]]]:
        async def read(count: int) -> list[Draft]:
            return held.held[:count]

        return read


class TestMemoryKeys(contracts.IdempotencyKeysContract):
    @pytest.fixture
    def keys(self) -> IdempotencyKeys:
        return MemoryKeys()


class TestMemoryStages(contracts.StagesContract):
    @pytest.fixture
    def stages(self) -> Stages:
        return MemoryStages()


class TestMemoryTickets(contracts.TicketsContract):
    @pytest.fixture
    def tickets(self) -> Tickets:
        return MemoryTickets()


class TestMemoryTokens(contracts.TokensContract):
    @pytest.fixture
    def tokens(self) -> Tokens:
        return MemoryTokens()


class TestMemoryPasswords(contracts.PasswordsContract):
    @pytest.fixture
    def passwords(self) -> Passwords:
        return MemoryPasswords()


class TestMemoryApiKeys(contracts.ApiKeysContract):
    @pytest.fixture
    def keys(self) -> ApiKeys:
        return MemoryApiKeys()


class TestMemoryCategories(contracts.CategoriesContract):
    @pytest.fixture
    def categories(self) -> Categories:
        return MemoryCategories()
