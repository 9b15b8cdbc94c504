"""Users: created just in time, kept up to date with PUT, listed and found."""

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from application.arriving import Arrive
from application.audit import Action
from application.credentials import Scope
from application.delivery import StoreNotifications
from application.errors import Unavailable
from domain.identifiers import UserId
from domain.user import User
from entrypoints.commands import finding
from entrypoints.commands.output import Output
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id
from tests.routes import a_key
from tests.wiring import Memory, Service

CID = UserId("cid")
MESSAGE = {"event": "comment.created", "message": "Ada replied to you"}
BOTH = "publish,token"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run() as service:
        yield service


@asynccontextmanager
async def creating(by: str) -> AsyncIterator[Service]:
    async with Service.run(live=True, create_users=by) as service:
        yield service


# --- by a notification ---


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def store(memory: Memory) -> StoreNotifications:
    return memory.container(create_users="publish").store()


async def test_whoever_is_notified_is_created_and_gets_everything_in_order(
    memory: Memory, store: StoreNotifications
) -> None:
    await memory.users.add(a_user(BOB), None)

    stored = await store([a_draft(1), a_draft(2, BOB), a_draft(3), a_draft(4, CID)])
    await store.announce(stored)

    assert stored.appended.unknown == ()
    assert await memory.users.get(ADA) == User(id=ADA, name=ADA, email=None, created_at=NOW)
    history = await memory.feeds.history(ADA, 0, 10)
    assert [(item.id, item.version) for item in history.notifications] == [(an_id(1), 1), (an_id(3), 2)]
    assert {change.feed.user_id for change in memory.announcer.announced} == {ADA, BOB, CID}


async def test_a_record_that_comes_again_is_stored_once(memory: Memory, store: StoreNotifications) -> None:
    await store([a_draft(1)])

    stored = await store([a_draft(1), a_draft(2)])

    assert len(stored.appended.present) == 1
    assert (await memory.feeds.feed(ADA)).version == 2


async def test_after_a_crash_behind_the_creation_the_records_find_their_users(memory: Memory) -> None:
    await memory.users.create([ADA], NOW)

    stored = await memory.container(create_users="publish").store()([a_draft(1)])

    assert len(stored.appended.added) == 1


async def test_of_new_users_only_what_is_refused_is_left_out(
    memory: Memory, store: StoreNotifications
) -> None:
    memory.feeds.refused = {an_id(2), an_id(5)}
    await memory.users.add(a_user(BOB), None)

    stored = await store([a_draft(1), a_draft(2), a_draft(3, CID), a_draft(4, BOB), a_draft(5, BOB)])

    assert sorted(draft.id for draft, _ in stored.refused) == [an_id(2), an_id(5)]
    assert [change.feed.user_id for change in stored.appended.added] == [BOB, ADA, CID]


async def test_a_record_that_is_dated_ahead_creates_nobody(memory: Memory, store: StoreNotifications) -> None:
    stored = await store([a_draft(1, at=NOW.replace(year=9000))])

    assert len(stored.refused) == 1
    assert memory.users.held == {}


async def test_an_erased_user_is_not_brought_back_by_a_record(
    memory: Memory, store: StoreNotifications
) -> None:
    await memory.users.add(a_user(ADA), None)
    memory.users.erase(ADA)

    stored = await store([a_draft(1), a_draft(2, CID)])

    assert [draft.id for draft in stored.appended.erased] == [an_id(1)]
    assert set(memory.users.held) == {CID}


async def test_who_is_erased_between_the_two_steps_stays_erased(memory: Memory) -> None:
    class Slow:
        async def create(self, *_: Any) -> frozenset[UserId]:
            memory.users.erased.add(ADA)
            return frozenset()

    store = StoreNotifications(
        feeds=memory.feeds, announcer=memory.announcer, clock=memory.clock, missing=Slow()
    )

    stored = await store([a_draft(1)])

    assert (stored.appended.unknown, len(stored.appended.erased)) == ((), 1)


async def test_with_the_store_away_the_batch_is_read_again(memory: Memory, store: StoreNotifications) -> None:
    memory.users.away = True

    with pytest.raises(Unavailable):
        await store([a_draft(1)])


@pytest.mark.parametrize("by", ["never", "token"])
async def test_unless_that_is_set_a_notification_creates_nobody(memory: Memory, by: str) -> None:
    stored = await memory.container(create_users=by).store()([a_draft(1)])

    assert len(stored.appended.unknown) == 1
    assert memory.users.held == {}


@pytest.mark.parametrize(("by", "status"), [("never", 404), ("token", 404), ("publish", 202), (BOTH, 202)])
async def test_publishing_for_nobody(by: str, status: int) -> None:
    async with creating(by) as service:
        one = {"user_id": "nobody", **MESSAGE}
        alone = await service.client.post("/v1/notifications", json=one, headers=service.producer)
        batch = await service.client.post(
            "/v1/notifications/batch", json={"items": [one]}, headers=service.producer
        )

        (result,) = batch.json()["results"]
        assert alone.status_code == result.get("error", {}).get("status", 202) == status
        assert len(service.memory.queue.held) == (2 if status == 202 else 0)


async def test_a_key_publishes_for_nobody_beyond_its_prefix() -> None:
    async with creating("publish") as service:
        key = await a_key(service, Scope.PUBLISH, user_prefix="acme:")

        response = await service.client.post(
            "/v1/notifications", json={"user_id": "nobody", **MESSAGE}, headers={"X-API-Key": key}
        )

        assert (response.status_code, service.memory.queue.held) == (403, [])


# --- by a token ---


@pytest.mark.parametrize("what", ["notifications", "notifications?status=all", "counts", "unread-count"])
@pytest.mark.parametrize(("by", "status"), [("never", 404), ("publish", 404), ("token", 200), (BOTH, 200)])
async def test_who_asks_with_a_token(by: str, status: int, what: str) -> None:
    async with creating(by) as service:
        response = await service.client.get(f"/v1/users/ada/{what}", headers=service.bearer())

        assert response.status_code == status
        assert set(service.memory.users.held) == ({ADA} if status == 200 else set())
        if status == 200:
            assert response.json()["unread_count"] == 0


async def test_who_opens_a_socket_with_a_token_or_a_ticket_is_created() -> None:
    async with creating("token") as service:
        async with service.socket(headers=service.bearer()) as socket:
            assert (await socket.frame())["type"] == "welcome"
        ticket = await service.client.post("/v1/stream-tickets", headers=service.bearer(BOB))
        query = f"ticket={ticket.json()['ticket']}"
        async with service.socket("/ws/bob", query=query) as socket:
            assert (await socket.frame())["type"] == "welcome"

        assert set(service.memory.users.held) == {ADA, BOB}


async def test_who_follows_events_with_a_token_is_created() -> None:
    async with creating("token") as service, service.events(headers=service.bearer()) as events:
        assert (await events.start())[0] == 200
        assert set(service.memory.users.held) == {ADA}


@pytest.mark.parametrize("by", ["never", "publish"])
async def test_otherwise_nobody_follows_a_feed_that_is_not_there(by: str) -> None:
    async with creating(by) as service:
        async with service.socket(headers=service.bearer()) as socket:
            assert (await socket.frame("bye"))["code"] == 4510
        async with service.events(headers=service.bearer()) as events:
            assert (await events.start())[0] == 404
        assert service.memory.users.held == {}


async def test_a_key_that_reads_creates_nobody() -> None:
    async with creating(BOTH) as service:
        headers = {"X-API-Key": await a_key(service, Scope.READ)}
        statuses = {
            (await service.client.get(f"/v1/users/ada/{what}", headers=headers)).status_code
            for what in ("notifications", "counts", "unread-count")
        }

        assert (statuses, service.memory.users.held) == ({404}, {})


async def test_a_token_creates_neither_another_nor_one_who_is_erased() -> None:
    async with creating(BOTH) as service:
        await service.add(ADA)
        mine, late = service.bearer(), service.bearer(BOB)
        service.memory.feeds.begin_erasure(ADA)
        other = await service.client.get("/v1/users/ada/notifications", headers=late)
        erased = await service.client.get("/v1/users/ada/notifications", headers=mine)
        async with service.socket(headers=mine) as socket:
            assert (await socket.frame("bye"))["code"] == 4510

        assert (other.status_code, erased.status_code) == (403, 404)
        assert service.memory.users.held == {}


async def test_marking_creates_nobody() -> None:
    async with creating(BOTH) as service:
        response = await service.client.post(
            "/v1/users/ada/notifications/read", json={"ids": []}, headers=service.bearer()
        )

        assert (response.status_code, service.memory.users.held) == (404, {})


async def test_of_two_who_arrive_at_once_both_find_the_user(memory: Memory) -> None:
    """Whoever of them creates it."""
    claims = memory.container().tokens().verify(memory.container().tokens().mint(ADA, NOW)[0], NOW)
    arrive = Arrive(missing=memory.users, clock=memory.clock)

    await asyncio.gather(arrive(claims), arrive(claims))

    assert set(memory.users.held) == {ADA}


# --- PUT ---


async def put(service: Service, user: str = "ada", **body: Any) -> httpx.Response:
    return await service.client.put(f"/v1/users/{user}", json=body, headers=service.producer)


async def test_a_put_creates_changes_and_then_does_nothing(service: Service) -> None:
    ada = {"name": "Ada", "email": "ADA@Example.com"}
    answers = [
        await put(service, **body) for body in (ada, ada, ada | {"name": "Augusta"}, {"name": "Augusta"})
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    assert answers[-1].json() == {
        "id": "ada",
        "name": "Augusta",
        "email": "ada@example.com",
        "created_at": "2026-03-14T09:26:53.589793Z",
        "disabled_at": None,
    }
    trail = [(entry.action, entry.target, entry.by.kind) for entry in service.memory.users.audited]
    assert trail == [(Action.USER_CREATED, ADA, "key"), (Action.USER_CHANGED, ADA, "key")]
    shown = await service.client.get("/v1/users/ada", headers=service.producer)
    assert shown.json() == answers[-1].json()


async def test_an_address_is_taken_away_with_null_unless_there_is_a_password(service: Service) -> None:
    await put(service, "bob", name="Bob", email="bob@example.com")
    await service.memory.users.add(a_user(email="ada@example.com"), "hash")

    gone = await put(service, "bob", name="Bob", email=None)
    kept = await put(service, "ada", name="Ada", email=None)

    assert (gone.status_code, gone.json()["email"]) == (200, None)
    assert (kept.status_code, kept.json()["errors"][0]["field"]) == (422, "email")


@pytest.mark.parametrize(
    ("user", "body", "fields"),
    [
        ("ada", {"name": ""}, ["name"]),
        ("ada", {"name": " "}, ["name"]),
        ("ada", {"name": "n" * 201}, ["name"]),
        ("ada", {"name": "a\x00"}, ["name"]),
        ("a%20b", {"name": "Ada"}, ["id"]),
        ("a" * 129, {"name": "Ada"}, ["id"]),
        ("ada", {"name": "Ada", "email": "nobody"}, ["email"]),
        ("ada", {"name": "", "email": "a b@c"}, ["email", "name"]),
        ("ada", {"name": "Ada", "password": "correct horse"}, ["password"]),
        ("ada", {"name": "Ada", "id": "bob"}, ["id"]),
        ("ada", {"email": "ada@example.com"}, ["name"]),
    ],
)
async def test_a_put_has_the_rules_of_creating_and_nothing_else(
    service: Service, user: str, body: dict[str, Any], fields: list[str]
) -> None:
    response = await put(service, user, **body)

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == fields
    assert service.memory.users.held == {}


@pytest.mark.parametrize("typed", ["bob@example.com", "BOB@example.com", "ｂｏｂ@example.com"])
async def test_an_address_of_another_is_taken_however_it_is_typed(service: Service, typed: str) -> None:
    await put(service, "bob", name="Bob", email="bob@example.com")

    assert (await put(service, name="Ada", email=typed)).status_code == 409
    assert ADA not in service.memory.users.held


async def test_an_address_from_before_the_canonical_forms_is_taken_by_all_but_its_user(
    service: Service,
) -> None:
    earlier = "zoe\u0301@example.com"
    await service.memory.users.add(a_user(BOB, email=earlier), "hash")

    other = await put(service, "ada", name="Ada", email=earlier)
    own = await put(service, "bob", name="Bob", email=earlier)

    assert (other.status_code, own.status_code) == (409, 200)
    assert own.json()["email"] == "zo\u00e9@example.com"


async def test_an_erased_id_is_refused_as_it_is_by_creating(service: Service) -> None:
    service.memory.users.erased.add(ADA)

    answers = [
        await put(service, name="Ada"),
        await service.client.post("/v1/users", json={"id": "ada", "name": "Ada"}, headers=service.producer),
    ]

    assert [answer.json()["type"] for answer in answers] == ["urn:bellwire:problem:user-taken"] * 2


async def test_open_sign_up_opens_neither_put_nor_lists() -> None:
    async with Service.run(open_signup=True) as service:
        answers = [
            await service.client.put("/v1/users/ada", json={"name": "Ada"}),
            await service.client.get("/v1/users/ada"),
            await service.client.get("/v1/users"),
        ]

        assert {answer.status_code for answer in answers} == {401}


# --- looked up ---


async def a_crowd(service: Service) -> None:
    for number in range(7):
        user = a_user(UserId(f"u{number}"), name=f"User {number}", email=f"u{number}@example.com")
        await service.memory.users.add(user, None)
    await service.memory.users.add(a_user(ADA, disabled_at=LATER), None)


async def listed(service: Service, query: str) -> Any:
    return (await service.client.get(f"/v1/users?{query}", headers=service.producer)).json()


async def test_users_are_listed_page_by_page(service: Service) -> None:
    await a_crowd(service)

    first = await listed(service, "limit=5")
    second = await listed(service, f"limit=5&cursor={first['next_cursor']}")

    assert [user["id"] for user in first["items"] + second["items"]] == [
        "ada",
        *(f"u{number}" for number in range(7)),
    ]
    assert first["items"][0]["disabled_at"] == "2026-03-14T09:27:53.589793Z"
    assert (first["next_cursor"], second["next_cursor"]) == ("u3", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("prefix=ad", ["ada"]),
        ("prefix=v", []),
        ("email=U3%40EXAMPLE.COM", ["u3"]),
        ("email=nobody@example.com", []),
        ("name=lovelace", ["ada"]),
        ("name=USER%206", ["u6"]),
        ("name=user&prefix=u1", ["u1"]),
        ("email=u3@example.com&name=ada", []),
    ],
)
async def test_users_are_found(service: Service, query: str, expected: list[str]) -> None:
    await a_crowd(service)

    assert [user["id"] for user in (await listed(service, query))["items"]] == expected


async def test_a_user_is_found_by_an_address_of_an_earlier_form(service: Service) -> None:
    earlier = "zoe\u0301@example.com"
    await service.memory.users.add(a_user(ADA, email=earlier), None)

    found = await service.client.get("/v1/users", params={"email": earlier}, headers=service.producer)

    assert [user["id"] for user in found.json()["items"]] == ["ada"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("prefix=", "prefix"),
        ("prefix=a%20b", "prefix"),
        ("prefix=%00", "prefix"),
        (f"prefix={'a' * 129}", "prefix"),
        ("email=nobody", "email"),
        ("name=", "name"),
        ("name=%00", "name"),
        (f"name={'n' * 201}", "name"),
        ("cursor=", "cursor"),
        ("cursor=a%00", "cursor"),
        ("cursor=..", "cursor"),
    ],
)
async def test_what_cannot_be_looked_for_is_refused(service: Service, query: str, field: str) -> None:
    problem = await listed(service, query)

    assert (problem["status"], problem["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("user", ["nobody", "a%20b", "%00"])
async def test_an_unknown_user_is_not_shown(service: Service, user: str) -> None:
    response = await service.client.get(f"/v1/users/{user}", headers=service.producer)

    assert response.status_code == 404


# --- commands ---


async def printed(
    service: Service, add: Callable[[ArgumentParser], None], *words: str, capsys: pytest.CaptureFixture[str]
) -> str:
    parser = ArgumentParser()
    add(parser)
    arguments = parser.parse_args(words)
    async for users in finding._found(service.container, arguments):
        finding.print_users(Output.of(arguments), users)
    return capsys.readouterr().out


async def test_the_commands_print_users(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_PAGE", 3)
    await a_crowd(service)

    everybody = await printed(service, finding.add_list, capsys=capsys)
    some = await printed(service, finding.add_list, "--prefix", "u1", "--json", capsys=capsys)
    found = await printed(service, finding.add_find, "--email", "U2@example.com", capsys=capsys)

    assert everybody.splitlines()[0] == "ada  2026-03-14  Ada Lovelace, disabled 2026-03-14"
    assert len(everybody.splitlines()) == 8
    assert json.loads(some) == {
        "id": "u1",
        "name": "User 1",
        "email": "u1@example.com",
        "created_at": "2026-03-14T09:26:53.589793+00:00",
        "disabled_at": None,
    }
    assert found == "u2  2026-03-14  User 2, u2@example.com\n"


async def test_a_name_does_nothing_to_the_terminal(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    await service.memory.users.add(a_user(name="Ada \x1b[2J\nroot"), None)

    out = await printed(service, finding.add_find, "--name", "ada", capsys=capsys)

    assert "\x1b" not in out
    assert out.count("\n") == 1
