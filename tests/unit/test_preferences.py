"""Categories and preferences, on ports in memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest

from application.audit import Action
from application.credentials import SCOPES, Scope
from application.errors import Unavailable
from application.preferences import ChoosePreferences, SetCategory, ShowPreferences
from domain.category import CATEGORIES, CHOICES, Category
from domain.errors import Invalid, TooManyCategories, UnknownUser
from domain.feed import Chosen, FeedChange, Settled
from domain.identifiers import UserId
from tests.build import ADA, BOB, a_draft, a_user, told_counts
from tests.memory import MemoryAnnouncer, MemoryCategories, MemoryFeeds, MemoryUsers
from tests.unit.test_http import broken, problem
from tests.wiring import Memory, Service

PATH = "/v1/users/ada/preferences"
REFINED = {
    "title": "Invoices",
    "description": "What you owe.",
    "mandatory": True,
    "default": "off",
    "expires_after": 604_800,
}


@pytest.fixture
async def memory() -> Memory:
    made = Memory()
    await made.users.add(a_user(ADA), None)
    return made


def choosing(memory: Memory) -> ChoosePreferences:
    return ChoosePreferences(
        preferences=memory.feeds, categories=memory.categories, announcer=memory.announcer
    )


def showing(memory: Memory) -> ShowPreferences:
    return ShowPreferences(preferences=memory.feeds, categories=memory.categories)


# --- choosing ---


async def test_a_choice_is_announced_as_a_change_of_the_feed(memory: Memory) -> None:
    chosen = await choosing(memory)(ADA, {"billing": False})

    assert memory.announcer.announced == [chosen]
    assert (chosen.prev, chosen.feed.version, chosen.feed.preferences_version) == (0, 1, 1)


async def test_a_choice_that_changes_nothing_is_announced_as_a_bare_position(memory: Memory) -> None:
    """So a client that repeats a request makes up for a process that died before it announced."""
    first = await choosing(memory)(ADA, {"billing": False})
    await choosing(memory)(ADA, {"billing": False})

    assert memory.announcer.announced == [first, Settled(first.feed)]


async def test_what_is_mandatory_cannot_be_switched_off_but_may_be_named(memory: Memory) -> None:
    await memory.categories.set(Category(id="security", mandatory=True))

    with pytest.raises(Invalid) as caught:
        await choosing(memory)(ADA, {"security": False, "billing": False})
    allowed = await choosing(memory)(ADA, {"security": True})
    await choosing(memory)(ADA, {"security": None})

    assert [error.field for error in caught.value.errors] == ["categories.security"]
    assert memory.announcer.announced[0] is allowed
    assert (await memory.feeds.choices(ADA))[1] == {}


@pytest.mark.parametrize(
    "choices",
    [
        dict.fromkeys([f"c{number}" for number in range(CATEGORIES + 1)], False),
        {"Billing": False},
        {"": True},
        {"b" * 65: None},
        {"a b": True},
    ],
)
async def test_wrong_choices_are_refused_and_change_nothing(
    memory: Memory, choices: dict[str, bool | None]
) -> None:
    with pytest.raises(Invalid) as caught:
        await choosing(memory)(ADA, choices)

    assert [error.field for error in caught.value.errors] == ["categories"]
    assert memory.announcer.announced == []
    assert (await memory.feeds.feed(ADA)).version == 0


async def test_the_most_choices_in_a_request_are_allowed_and_of_a_user_too(memory: Memory) -> None:
    for first in range(0, CHOICES, CATEGORIES):
        names = [f"c{number}" for number in range(first, first + CATEGORIES)]
        await choosing(memory)(ADA, dict.fromkeys(names, False))

    with pytest.raises(Invalid):
        await choosing(memory)(ADA, {"one": False})
    assert len((await memory.feeds.choices(ADA))[1]) == CHOICES


async def test_nobody_is_unknown_to_the_use_cases(memory: Memory) -> None:
    for ask in (choosing(memory)(BOB, {"billing": False}), showing(memory)(BOB)):
        with pytest.raises(UnknownUser):
            await ask


class Slow(MemoryAnnouncer):
    """Announces when it is told to."""

    def __init__(self) -> None:
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()
        self.announced: list[FeedChange] = []

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        self.begun.set()
        await self.goes_on.wait()
        self.announced += changes


async def test_a_caller_that_goes_away_leaves_no_choice_that_is_not_announced(memory: Memory) -> None:
    slow = Slow()
    choose = ChoosePreferences(preferences=memory.feeds, categories=memory.categories, announcer=slow)
    caller = asyncio.create_task(choose(ADA, {"billing": False}))
    await slow.begun.wait()
    (task,) = choose.tasks

    caller.cancel()
    await asyncio.wait([caller])
    slow.goes_on.set()
    await task

    assert [type(change) for change in slow.announced] == [Chosen]
    assert not choose.tasks


async def test_a_store_that_is_away_fails_the_choice(memory: Memory) -> None:
    memory.feeds.away = True

    with pytest.raises(Unavailable):
        await choosing(memory)(ADA, {"billing": False})
    assert memory.announcer.announced == []


# --- showing ---


async def test_every_category_is_shown_and_what_only_the_user_has_named(memory: Memory) -> None:
    await memory.categories.enter(["news", "comment"])
    await memory.categories.set(Category(id="security", mandatory=True, default_on=False))
    await memory.categories.set(Category(id="digest", default_on=False))
    await choosing(memory)(ADA, {"news": False, "later": False, "comment": None})

    feed, shown = await showing(memory)(ADA)

    assert feed.version == feed.preferences_version == 1
    assert [(item.category.id, item.chosen, item.enabled) for item in shown] == [
        ("comment", None, True),
        ("digest", None, False),
        ("later", False, False),
        ("news", False, False),
        ("security", None, True),
    ]


async def test_a_choice_against_what_becomes_mandatory_stays_without_effect(memory: Memory) -> None:
    await choosing(memory)(ADA, {"security": False})
    for mandatory in (True, False):
        await memory.categories.set(Category(id="security", mandatory=mandatory))

        _, (shown,) = await showing(memory)(ADA)

        assert (shown.chosen, shown.enabled) == (False, mandatory)


# --- categories ---


async def test_setting_a_category_is_audited() -> None:
    categories = MemoryCategories()

    await SetCategory(categories=categories)(Category(id="billing", expires_after=timedelta(days=7)))

    (entry,) = categories.audited
    assert (entry.action, entry.target) == (Action.CATEGORY_SET, "billing")
    assert entry.detail["expires_after"] == 604_800


async def test_there_are_no_more_categories_than_there_may_be() -> None:
    categories = MemoryCategories()
    await categories.enter([f"c{number}" for number in range(CATEGORIES)])

    with pytest.raises(TooManyCategories):
        await SetCategory(categories=categories)(Category(id="billing"))
    assert categories.audited == []


async def test_an_erased_user_leaves_no_choices() -> None:
    users = MemoryUsers()
    feeds = MemoryFeeds(users)
    await users.add(a_user(ADA), None)
    await feeds.choose(ADA, {"billing": False})

    feeds.begin_erasure(ADA)
    users.erased.discard(ADA)
    await users.add(a_user(ADA), None)

    assert (await feeds.choices(ADA))[1] == {}


# --- over HTTP ---


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        await service.add(ADA, BOB)
        yield service


async def key_for(service: Service, scopes: frozenset[str] = SCOPES, **limits: Any) -> dict[str, str]:
    """The header with a new key."""
    return {"X-API-Key": (await service.container.create_api_key()("made", scopes, **limits))[1]}


async def choose(service: Service, choices: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"categories": choices}
    return await service.client.put(PATH, json=body, headers=headers or service.bearer())


async def test_a_category_is_set_and_listed(service: Service) -> None:
    admin = await key_for(service, frozenset({Scope.ADMIN}))
    await service.memory.categories.enter(["comment"])

    made = await service.client.put("/v1/categories/billing", json=REFINED, headers=admin)
    listed = await service.client.get("/v1/categories", headers=admin)

    assert (made.status_code, made.json()) == (200, {"id": "billing", **REFINED})
    plain = dict.fromkeys(("title", "description", "expires_after")) | {"mandatory": False, "default": "on"}
    assert listed.json() == {"items": [made.json(), {"id": "comment", **plain}]}
    again = await service.client.put("/v1/categories/billing", json={}, headers=admin)
    assert again.json() == {"id": "billing", **plain}
    assert [entry.action for entry in service.memory.categories.audited] == ["category.set"] * 2


@pytest.mark.parametrize(
    ("category", "body", "field"),
    [
        ("Billing", {}, "id"),
        ("b" * 65, {}, "id"),
        ("billing", {"title": ""}, "title"),
        ("billing", {"description": "\x00"}, "description"),
        ("billing", {"expires_after": 0}, "expires_after"),
        ("billing", {"expires_after": 10**30}, "expires_after"),
        ("billing", {"default": "maybe"}, "default"),
        ("billing", {"mandatory": 1}, "mandatory"),
        ("billing", {"id": "other"}, "id"),
    ],
)
async def test_a_wrong_category_is_refused(service: Service, category: str, body: Any, field: str) -> None:
    admin = await key_for(service)

    response = await service.client.put(f"/v1/categories/{category}", json=body, headers=admin)

    assert broken(problem(response, 422, "invalid")) == [field]
    assert service.memory.categories.held == {}


async def test_one_category_too_many_is_a_conflict(service: Service) -> None:
    admin = await key_for(service)
    await service.memory.categories.enter([f"c{number}" for number in range(CATEGORIES)])

    problem(
        await service.client.put("/v1/categories/late", json={}, headers=admin), 409, "too-many-categories"
    )


@pytest.mark.parametrize("limits", [{"user_prefix": "acme:"}, {"event_prefix": "acme."}])
async def test_a_limited_key_neither_lists_nor_sets_what_all_share(
    service: Service, limits: dict[str, str]
) -> None:
    admin = await key_for(service, frozenset({Scope.ADMIN}), **limits)

    problem(await service.client.get("/v1/categories", headers=admin), 403, "not-allowed")
    problem(
        await service.client.put("/v1/categories/billing", json=REFINED, headers=admin), 403, "not-allowed"
    )
    assert service.memory.categories.held == {}


@pytest.mark.parametrize("who", ["owner", "key"])
async def test_preferences_are_chosen_and_shown(service: Service, who: str) -> None:
    headers = service.bearer() if who == "owner" else await key_for(service, frozenset({Scope.USERS}))
    await service.memory.categories.set(Category(id="comment", title="Replies"))
    (added,) = (await service.memory.feeds.append([a_draft(1)])).added

    chosen = await choose(service, {"billing": False, "comment": None}, headers)
    shown = await service.client.get(PATH, headers=headers)

    assert (chosen.status_code, shown.status_code) == (200, 200)
    assert (
        chosen.json()
        == shown.json()
        == {
            "cursor": f"{added.feed.epoch}.2",
            "preferences_version": 2,
            "categories": [
                {
                    "id": "billing",
                    "title": None,
                    "description": None,
                    "enabled": False,
                    "mandatory": False,
                    "chosen": False,
                },
                {
                    "id": "comment",
                    "title": "Replies",
                    "description": None,
                    "enabled": True,
                    "mandatory": False,
                    "chosen": None,
                },
            ],
        }
    )


@pytest.mark.parametrize("choices", [{"billing": "no"}, {"billing": 0}, None, [], {"BILLING": True}])
async def test_wrong_choices_over_http(service: Service, choices: Any) -> None:
    problem(await choose(service, choices), 422, "invalid")
    assert (await service.memory.feeds.feed(ADA)).version == 0


async def test_a_mandatory_category_is_named_in_the_refusal(service: Service) -> None:
    await service.memory.categories.set(Category(id="security", mandatory=True))

    response = await choose(service, {"security": False})

    assert broken(problem(response, 422, "invalid")) == ["categories.security"]


async def test_a_key_that_is_limited_to_events_has_no_say(service: Service) -> None:
    limited = await key_for(service, frozenset({Scope.USERS}), event_prefix="billing.")

    problem(await choose(service, {"comment": False}, limited), 403, "not-allowed")
    problem(await service.client.get(PATH, headers=limited), 403, "not-allowed")


async def test_choices_of_a_user_count_as_marks_and_those_of_keys_do_not() -> None:
    async with Service.run(limit_marks="2/60s") as service:
        await service.add(ADA)
        mine = [(await choose(service, {"billing": False})).status_code for _ in range(3)]
        by_key = [(await choose(service, {"billing": True}, service.producer)).status_code for _ in range(3)]

    assert (mine, by_key) == ([200, 200, 429], [200, 200, 200])


async def test_the_export_has_the_choices(service: Service) -> None:
    await choose(service, {"billing": False, "news": True})

    exported = await service.client.get("/v1/users/ada/export", headers=service.bearer())

    assert '"preferences":{"billing":false,"news":true}' in exported.text.splitlines()[0]


# --- on streams ---


async def test_both_devices_hear_of_a_choice_and_one_that_was_away_sees_its_version() -> None:
    async with Service.run(live=True) as service:
        await service.add(ADA)
        async with (
            service.socket(headers=service.bearer()) as phone,
            service.socket(headers=service.bearer()) as laptop,
        ):
            start = await phone.frame("welcome")
            await laptop.frame("welcome")
            appended = await service.memory.feeds.append([a_draft(1)])
            await service.memory.announcer.announce(appended.added)
            await choose(service, {"billing": False, "comment": None})
            heard = [await device.frame("update") for device in (phone, laptop)]
        epoch = start["cursor"].partition(".")[0]
        async with service.socket(headers=service.bearer(), query=f"cursor={epoch}.1") as away:
            welcome, replayed = await away.frame(), await away.frame()
        async with service.socket(headers=service.bearer(), query=f"cursor={epoch}.9") as lost:
            reset = await lost.frame("reset")

    assert start["preferences_version"] == 0
    assert heard[0] == heard[1]
    assert heard[0] == {
        "type": "update",
        "ids": [],
        "set": {},
        "preferences": {"billing": False, "comment": None},
        "prev": f"{epoch}.1",
        "cursor": f"{epoch}.2",
        **told_counts(1),
    }
    assert (welcome["type"], welcome["preferences_version"]) == ("welcome", 2)
    assert (replayed["type"], replayed["preferences_version"]) == ("replayed", 2)
    assert (replayed["cursor"], reset["preferences_version"]) == (f"{epoch}.2", 2)


async def test_the_index_goes_on_past_a_choice(service: Service) -> None:
    await service.memory.feeds.append([a_draft(1)])
    before = await service.client.get("/v1/users/ada/counts", headers=service.bearer())
    await choose(service, {"billing": False})

    found = await service.memory.index.page(UserId("ada"), 0, None)

    assert before.json()["cursor"].endswith(".1")
    assert getattr(found, "feed", None) == await service.memory.feeds.feed(ADA)
