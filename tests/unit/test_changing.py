"""How a producer edits and takes back what was published."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from application.credentials import Scope
from domain.feed import Marked
from domain.notification import Draft
from domain.rich import Action, Actor, Rich
from tests.build import ADA, BOB, NOW, a_content, a_draft, an_id
from tests.routes import a_key
from tests.wiring import Service

BODY = {"event": "comment.created", "message": "Bob replied to you."}
RICH: dict[str, Any] = {
    "severity": "warning",
    "image_url": "/i/1.png",
    "icon": "reply",
    "actions": [
        {"id": "approve", "label": "Approve", "style": "primary"},
        {"id": "b", "label": "B", "url": "/b"},
    ],
    "actor": {"id": "bob", "name": "Bob", "avatar_url": "https://example.com/bob.png"},
    "collapse_key": "post:7",
    "collapse": "always",
    "category": "replies",
}
CONTENT = a_content(
    rich=Rich(
        severity="warning",
        image_url="/i/1.png",
        icon="reply",
        actions=(
            Action(id="approve", label="Approve", style="primary"),
            Action(id="b", label="B", url="/b"),
        ),
    ),
    actor=Actor(name="Bob", id="bob", avatar_url="https://example.com/bob.png"),
    collapse_key="post:7",
    collapse="always",
    category="replies",
)
AT = NOW.replace(microsecond=589_000)
"""What the id says, to the millisecond."""
MILLISECONDS = int(NOW.timestamp() * 1000)
OWN_KINDS: list[dict[str, Any]] = [{"own_only": True}, {"event_prefix": "comment."}]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        await service.add(ADA, BOB)
        yield service


def path(n: int = 1, user: str = "ada") -> str:
    return f"/v1/users/{user}/notifications/{an_id(n)}"


async def key_of(service: Service, **limits: Any) -> dict[str, str]:
    return {"X-API-Key": await a_key(service, Scope.PUBLISH, **limits)}


def key_id(headers: dict[str, str]) -> str:
    return headers["X-API-Key"].split("_")[2]


def broken(response: httpx.Response) -> set[str]:
    assert response.status_code == 422, response.text
    return {error["field"] for error in response.json()["errors"]}


# --- rich fields over HTTP ---


async def test_rich_fields_are_accepted_alone_and_in_a_batch(service: Service) -> None:
    body = {"user_id": "ada", **BODY, **RICH}

    alone = await service.client.post("/v1/notifications", json=body, headers=service.producer)
    batch = await service.client.post(
        "/v1/notifications/batch", json={"items": [body]}, headers=service.producer
    )

    assert (alone.status_code, batch.json()["results"][0].keys()) == (202, {"id"})
    assert [draft.content for draft in service.memory.queue.held] == [CONTENT, CONTENT]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"severity": "loud", "icon": "?"}, {"severity", "icon"}),
        (
            {"actions": [{"id": "a", "label": " "}, {"id": "a", "label": "A"}]},
            {"actions[0].label", "actions[1].id"},
        ),
        ({"actions": [{"id": "a", "label": "A"}, {"id": "a"}]}, {"actions[1].label"}),
        ({"actions": [{"id": "a", "label": "A", "href": "/"}]}, {"actions[0].href"}),
        ({"actions": {"id": "a"}}, {"actions"}),
        ({"actor": {"id": "a"}}, {"actor.name"}),
        ({"actor": {"name": "", "avatar_url": "http://a"}}, {"actor.name", "actor.avatar_url"}),
        ({"actor": {"name": 1}}, {"actor.name"}),
        ({"collapse_key": "", "collapse": "x"}, {"collapse_key", "collapse"}),
        ({"revision": 1}, {"revision"}),
        ({"unread": True}, {"unread"}),
    ],
)
async def test_a_rich_field_that_breaks_a_rule_is_named(
    service: Service, changes: dict[str, Any], named: set[str]
) -> None:
    body = {"user_id": "ada", **BODY, **changes}

    alone = await service.client.post("/v1/notifications", json=body, headers=service.producer)
    batch = await service.client.post(
        "/v1/notifications/batch", json={"items": [body]}, headers=service.producer
    )

    assert broken(alone) == named
    (result,) = batch.json()["results"]
    assert {error["field"] for error in result["error"]["errors"]} == named
    assert service.memory.queue.held == []


# --- edits ---


async def test_an_edit_is_in_the_queue_under_the_id_and_with_the_time_of_the_path(service: Service) -> None:
    key = await key_of(service)
    body = {**BODY, **RICH, "revision": 7, "unread": True}

    response = await service.client.put(path(), json=body, headers=key)

    assert (response.status_code, response.json()) == (202, {"id": str(an_id()), "status": "accepted"})
    assert service.memory.queue.held == [Draft(an_id(), AT, CONTENT, key_id(key), revision=7, unread=True)]


async def test_a_later_edit_without_a_revision_has_the_higher_one(service: Service) -> None:
    for _ in range(2):
        await service.client.put(path(), json=BODY, headers=service.producer)
        service.memory.clock.advance(seconds=1)

    assert [draft.revision for draft in service.memory.queue.held] == [MILLISECONDS, MILLISECONDS + 1000]


@pytest.mark.parametrize("revision", [-1, 2**53, 1.5, "1", True])
async def test_a_revision_that_is_none_is_refused(service: Service, revision: Any) -> None:
    response = await service.client.put(path(), json={**BODY, "revision": revision}, headers=service.producer)

    assert broken(response) == {"revision"}


@pytest.mark.parametrize("changes", [{"user_id": "ada"}, {"id": str(an_id())}, {"created_at": "x"}])
async def test_what_the_path_says_is_not_in_the_body(service: Service, changes: dict[str, str]) -> None:
    response = await service.client.put(path(), json=BODY | changes, headers=service.producer)

    assert broken(response) == set(changes)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_the_id_is_of_version_7_and_of_no_later_day(service: Service, method: str) -> None:
    tomorrow = an_id(1, NOW + timedelta(days=1))
    later = an_id(1, NOW + timedelta(days=1, seconds=1))
    body = BODY if method == "PUT" else None

    async def ask(identifier: UUID) -> httpx.Response:
        address = f"/v1/users/ada/notifications/{identifier}"
        return await service.client.request(method, address, json=body, headers=service.producer)

    assert (await ask(tomorrow)).is_success
    assert broken(await ask(later)) == {"id"}
    assert broken(await ask(UUID("0190e0a0-0000-4000-8000-000000000000"))) == {"id"}
    assert broken(await ask(UUID(int=(1 << 128) - 1))) == {"id"}


async def test_an_edit_keeps_the_rules_of_publishing(service: Service) -> None:
    past = await service.client.put(
        path(), json={**BODY, "expires_at": NOW.isoformat()}, headers=service.producer
    )
    stranger = await service.client.put(path(user="nobody"), json=BODY, headers=service.producer)
    no_user = await service.client.put(path(user="a b"), json=BODY, headers=service.producer)

    assert broken(past) == {"expires_at"}
    assert stranger.status_code == 404
    assert broken(no_user) == {"user_id"}
    assert service.memory.queue.held == []


async def test_an_edit_whose_outcome_is_unknown_says_so_with_its_id(service: Service) -> None:
    service.memory.queue.away = True

    response = await service.client.put(path(), json=BODY, headers=service.producer)

    assert (response.status_code, response.json()["id"]) == (503, str(an_id()))


async def test_a_key_edits_within_its_prefixes(service: Service) -> None:
    key = await key_of(service, user_prefix="ada", event_prefix="comment.")

    within = await service.client.put(path(), json=BODY, headers=key)
    other_event = await service.client.put(path(), json={**BODY, "event": "bill.paid"}, headers=key)
    other_user = await service.client.put(path(user="bob"), json=BODY, headers=key)

    assert [one.status_code for one in (within, other_event, other_user)] == [202, 403, 403]


@pytest.mark.parametrize("limits", OWN_KINDS)
async def test_the_edit_of_a_limited_key_says_that_it_may_change_only_its_own(
    service: Service, limits: dict[str, Any]
) -> None:
    """Of a key that is limited to events too: nobody knows the event of the notification behind an id."""
    for key in (await key_of(service, **limits), service.producer):
        await service.client.put(path(), json=BODY, headers=key)

    assert [draft.own_only for draft in service.memory.queue.held] == [True, False]


# --- retractions ---


async def test_what_is_taken_back_is_gone_and_announced(service: Service) -> None:
    await service.memory.feeds.append([a_draft()])

    response = await service.client.delete(path(), headers=service.producer)

    assert (response.status_code, response.json()) == (200, {"outcome": "retracted"})
    page = await service.client.get("/notifications/ada", headers=service.bearer())
    assert (page.json()["items"], page.json()["unread_count"]) == ([], 0)
    (change,) = service.memory.announcer.announced
    assert isinstance(change, Marked)
    assert [item.id for item in change.notifications or ()] == [an_id()]


async def test_taking_back_again_changes_nothing_and_announces_the_position(service: Service) -> None:
    await service.memory.feeds.append([a_draft()])

    outcomes = [await service.client.delete(path(), headers=service.producer) for _ in range(2)]

    assert [one.json() for one in outcomes] == [{"outcome": "retracted"}] * 2
    assert (await service.memory.feeds.feed(ADA)).version == 2
    assert len(service.memory.announcer.announced) == 2


async def test_what_is_taken_back_before_it_arrives_is_never_stored(service: Service) -> None:
    outcomes = [await service.client.delete(path(), headers=service.producer) for _ in range(2)]
    await service.memory.feeds.append([a_draft(), a_draft(2)])

    assert [one.json() for one in outcomes] == [{"outcome": "recorded"}] * 2
    assert [item.id for item in service.memory.feeds.everything(ADA)] == [an_id(2)]


@pytest.mark.parametrize("limits", OWN_KINDS)
async def test_a_limited_key_takes_back_only_what_it_sent(service: Service, limits: dict[str, Any]) -> None:
    key = await key_of(service, **limits)
    drafts = [
        Draft(an_id(n), NOW, a_content(), sender)
        for n, sender in enumerate([key_id(key), "another", None], 1)
    ]
    await service.memory.feeds.append(drafts)

    answers = [await service.client.delete(path(n), headers=key) for n in (1, 2, 3)]

    assert [one.status_code for one in answers] == [200, 403, 403]
    assert (await service.memory.feeds.feed(ADA)).unread_count == 2
    everybodys = await service.client.delete(path(2), headers=service.producer)
    assert everybodys.json() == {"outcome": "retracted"}


async def test_nothing_is_taken_back_from_strangers_or_beyond_the_prefix(service: Service) -> None:
    stranger = await service.client.delete(path(user="nobody"), headers=service.producer)
    key = await key_of(service, user_prefix="ada")
    beyond = await service.client.delete(path(user="bob"), headers=key)

    assert [stranger.status_code, beyond.status_code] == [404, 403]


async def test_with_the_store_away_nothing_is_taken_back(service: Service) -> None:
    service.memory.feeds.away = True

    assert (await service.client.delete(path(), headers=service.producer)).status_code == 503
