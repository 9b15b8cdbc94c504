"""Every route, stream and frame with every kind of wrong credential: the guard decides who comes in.

The cells are generated from the routes of the application. A route fails that has neither a guard known here
nor a place among the public ones.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args

import jwt
import pytest

from domain.states import Mark
from entrypoints.app import create_app
from entrypoints.live.asyncapi import tag
from entrypoints.live.frames import Act, ClientFrame, Marking, Pong, Refresh, Snooze, Unsnooze
from entrypoints.settings import Settings
from entrypoints.web import guards
from tests.build import ADA, BOB, NOW, a_draft, an_id
from tests.contracts import everything
from tests.routes import SCOPES, Route, a_key, routes
from tests.whole import build
from tests.wiring import OPERATOR_SECRET, SECRET, Service, Socket, operator_token

Headers = dict[str, str]

PUBLIC = {
    "POST /v1/sessions",
    "GET /health/live",
    "GET /health/ready",
    "GET /",  # the page of the demo
    "GET /element",
    "GET /element/{file:str}",
    "GET /ws/{user_id:str}",  # says that it is a WebSocket
    # What the API is.
    "GET /schema",
    "GET /schema/asyncapi.json",
    "GET /schema/openapi.json",
    "GET /schema/stream",
    "GET /schema/{path:str}",
}
# They check credentials themselves, because a browser needs another answer than a guard gives.
STREAMS = {"WS /ws/{user_id:str}", "GET /sse/{user_id:str}"}
EXPIRED = timedelta(hours=2)
ISSUER = "https://issuer.example"


@dataclass(frozen=True)
class Door:
    """What a guard lets in."""

    key: str | None = None
    """The scope of the keys that it takes, if it takes keys."""
    token: bool = False
    own: bool = False
    """Whether only the user in the path is let in."""
    operator: bool = False
    open: bool = False
    """Whether open sign-up opens it."""
    local: bool = False
    """Whether it takes clients on this machine, without credentials."""


DOORS = {
    "publisher": Door(key="publish"),
    "registrar": Door(key="users", open=True),
    "manager": Door(key="users"),
    "admin": Door(key="admin"),
    "user": Door(token=True),
    "owner": Door(token=True, own=True),
    "reader": Door(key="read", token=True, own=True),
    "owner_or_manager": Door(key="users", token=True, own=True),
    "operator": Door(operator=True),
    "scraper": Door(local=True),
}
# These come after one of the others, and count.
COUNTING = {"marking", "choosing", "ticket_buyer"}
EVERYTHING = build(Settings(token_secret=SECRET, operator_secret=OPERATOR_SECRET, demo=True))
ROUTES = routes(create_app(EVERYTHING))
GUARDED = [route for route in ROUTES if route.guards]


def names(route: Route) -> list[str]:
    """The guards that decide about a route."""
    return [guard.__name__ for guard in route.guards if guard.__name__ not in COUNTING]


def door(route: Route) -> Door:
    (name,) = names(route)
    assert getattr(guards, name) in route.guards
    return DOORS[name]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service.run(token_issuer=ISSUER) as service:
        await service.add(ADA, BOB)
        yield service


@pytest.fixture
async def live() -> AsyncIterator[Service]:
    async with Service.run(live=True, token_issuer=ISSUER) as service:
        await service.add(ADA, BOB)
        yield service


def test_every_route_has_a_known_guard_or_is_public() -> None:
    unknown = [
        str(route)
        for route in ROUTES
        if str(route) not in PUBLIC | STREAMS and (len(names(route)) != 1 or names(route)[0] not in DOORS)
    ]

    assert unknown == []


def test_what_is_listed_as_public_is_there_and_has_no_guard() -> None:
    assert {str(route) for route in ROUTES if not route.guards} == PUBLIC | STREAMS


def test_the_guard_and_the_document_say_the_same() -> None:
    for route in GUARDED:
        security = route.handler.resolve_security()  # type: ignore[attr-defined]
        named = {name for way in security for name in way}
        wanted = door(route)
        assert ("apiKey" in named) == (wanted.key is not None), route
        assert ("userToken" in named) == wanted.token, route
        assert ("operatorToken" in named) == wanted.operator, route
        assert ({} in security) == (wanted.open or wanted.local), route


# --- tokens and keys ---


CLAIMS = {"sub": ADA, "aud": "bellwire", "iss": ISSUER, "iat": NOW, "exp": NOW + timedelta(hours=1)}


def forged(**changes: Any) -> str:
    """A token with the right secret, and some claims changed, or left out if None."""
    claims = CLAIMS | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, SECRET, "HS256")


def unsigned() -> str:
    return jwt.encode(CLAIMS, "", "none")


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


WRONG_TOKENS: dict[str, Callable[[], str]] = {
    "none-alg": unsigned,
    "another secret": lambda: jwt.encode(CLAIMS, "x" * 32, "HS256"),
    "another algorithm": lambda: jwt.encode(CLAIMS, SECRET * 2, "HS512"),
    "expired": lambda: forged(iat=NOW - EXPIRED, exp=NOW - timedelta(seconds=1)),
    "another audience": lambda: forged(aud="other"),
    "another issuer": lambda: forged(iss="other"),
    "no issuer": lambda: forged(iss=None),
    "no audience": lambda: forged(aud=None),
    "no end": lambda: forged(exp=None),
    "no start": lambda: forged(iat=None),
    "from the future": lambda: forged(iat=NOW.replace(year=2100), exp=NOW.replace(year=2101)),
    "nobody": lambda: forged(sub=None),
    "no user id": lambda: forged(sub="a/b"),
    "an operator's": lambda: operator_token(EVERYTHING, NOW),
    "no token": lambda: "x",
}


def test_the_claims_that_the_cells_change_are_good_unchanged() -> None:
    build(Settings(token_secret=SECRET, token_issuer=ISSUER)).tokens().verify(forged(), NOW)


async def wrong_keys(service: Service) -> dict[str, str]:
    good = await a_key(service, *SCOPES)
    label, environment, key_id, secret = good.split("_")
    return {
        "unknown": f"{label}_{environment}_{'0' * len(key_id)}_{secret}",
        "another secret": f"{label}_{environment}_{key_id}_{'0' * len(secret)}",
        "no secret": f"{label}_{environment}_{key_id}_",
        "another label": f"xx_{environment}_{key_id}_{secret}",
        "another environment": f"{label}_test_{key_id}_{secret}",
        "cut": good[: len(good) // 2],
        "expired": await a_key(service, *SCOPES, expires_at=NOW - timedelta(seconds=1)),
        "revoked": await a_key(service, *SCOPES, revoked_at=NOW),
        "a token": service.token(),
    }


# --- routes ---

Cells = dict[str, tuple[Headers, int]]


async def cells(service: Service, route: Route) -> Cells:
    """What to send, and the status that it gets, by the name of the credential."""
    wanted, good_key = door(route), await a_key(service, *SCOPES)
    if wanted.local:
        return {"elsewhere": ({"X-Forwarded-For": "192.0.2.1"}, 403)}
    made: Cells = {
        "none": ({}, 401),
        "basic": ({"Authorization": "Basic YTpi"}, 401),
        "empty": ({"Authorization": "Bearer ", "X-API-Key": ""}, 401),
        "a key as a token": (bearer(good_key), 401),
    }
    if wanted.key is not None:
        made |= await key_cells(service, route, wanted.key)
    else:
        made["wrong type: a key"] = ({"X-API-Key": good_key}, 401)
    if wanted.token or wanted.operator:
        made |= {name: (bearer(wrong()), 401) for name, wrong in WRONG_TOKENS.items()}
    if wanted.operator:
        del made["an operator's"]
    if not wanted.token:
        made["wrong type: a user's token"] = (service.bearer(), 401)
    if wanted.own:
        made["other user"] = (service.bearer(BOB), 403)
    return made


async def key_cells(service: Service, route: Route, scope: str) -> Cells:
    made: Cells = {
        f"key: {name}": ({"X-API-Key": key}, 401) for name, key in (await wrong_keys(service)).items()
    }
    for other in set(SCOPES) - {scope}:
        made[f"missing scope, has {other}"] = ({"X-API-Key": await a_key(service, other)}, 403)
    made["missing scope, has none"] = ({"X-API-Key": await a_key(service)}, 403)
    if route.is_users:
        made["other prefix"] = ({"X-API-Key": await a_key(service, *SCOPES, user_prefix="other:")}, 403)
    return made


async def good(service: Service, route: Route) -> list[Headers]:
    """Every credential that a route takes."""
    wanted, at = door(route), service.memory.clock()
    made: list[Headers] = []
    if wanted.key is not None:
        made.append({"X-API-Key": await a_key(service, wanted.key)})
    if wanted.token:
        made.append(service.bearer())
    if wanted.operator:
        made.append(bearer(operator_token(service.container, at)))
    return made or [{}]


@pytest.mark.parametrize("route", GUARDED, ids=str)
async def test_a_route_refuses_every_wrong_credential(service: Service, route: Route) -> None:
    expected = await cells(service, route)

    answers = {
        name: (await service.client.request(route.method, route.path(), json={}, headers=headers)).status_code
        for name, (headers, _) in expected.items()
    }

    assert answers == {name: status for name, (_, status) in expected.items()}


@pytest.mark.parametrize("route", GUARDED, ids=str)
async def test_a_route_admits_the_right_credentials(live: Service, route: Route) -> None:
    for headers in await good(live, route):
        response = await live.client.request(route.method, route.path(), json={}, headers=headers)

        assert response.status_code not in {401, 403, 405, 500}, response.text


TOKEN_ROUTES = [route for route in GUARDED if door(route).token]


@pytest.mark.parametrize("route", TOKEN_ROUTES, ids=str)
@pytest.mark.parametrize("how", ["disable", "revoke-tokens"])
async def test_a_route_refuses_a_revoked_token(service: Service, route: Route, how: str) -> None:
    revoked = service.bearer()
    await revoke(service, how)

    response = await service.client.request(route.method, route.path(), json={}, headers=revoked)

    assert response.status_code == 401


async def revoke(service: Service, how: str) -> None:
    service.memory.clock.advance(seconds=1)
    done = await service.client.post(f"/v1/users/ada/{how}", headers=service.producer)
    assert done.status_code == 204
    await service.container.revocations().refresh()


async def test_open_sign_up_admits_those_without_a_key_and_nobody_with_a_wrong_one() -> None:
    async with Service.run(open_signup=True) as service:
        for route in GUARDED:
            if not door(route).open:
                continue
            without = await service.client.request(route.method, route.path(), json={})
            wrong = [
                await service.client.request(route.method, route.path(), json={}, headers={"X-API-Key": key})
                for key in (await wrong_keys(service)).values()
            ]
            assert without.status_code == 422
            assert {response.status_code for response in wrong} == {401}


# --- prefixes, where the user is not in the path ---

# What a key that is limited to users of `other:` and events of `other.` sends about ada, and what it gets. A
# route for keys without a user in its path needs a line here.
ABOUT_ADA = {"user_id": "ada", "event": "other.x", "message": "m"}
BEYOND: dict[str, tuple[Any, int]] = {
    "POST /v1/notifications": (ABOUT_ADA, 403),
    "POST /createNotification": (ABOUT_ADA, 403),
    "POST /v1/notifications/batch": ({"items": [ABOUT_ADA]}, 202),  # the item is refused
    "POST /v1/users": ({"id": "ada", "name": "x"}, 403),
    "POST /createUser": ({"id": "ada", "name": "x"}, 403),
    "GET /v1/users": (None, 200),  # lists those that it may touch
    "POST /v1/revoked-tokens": ({"user_id": "ada", "jti": "x"}, 403),
    "GET /v1/erasures/{erasure_id:uuid}": (None, 404),
    "GET /v1/audit": (None, 403),
    "GET /v1/categories": (None, 403),
    "PUT /v1/categories/{category_id:str}": ({}, 403),
    "POST /v1/keys": ({"name": "x", "scopes": ["publish"], "user_prefix": "wide:"}, 403),
    "GET /v1/keys": (None, 200),  # lists those that may do no more
    "GET /v1/keys/{key_id:str}": (None, 404),
    "POST /v1/keys/{key_id:str}/rotate": ({}, 404),
    "POST /v1/keys/{key_id:str}/revoke": (None, 404),
}
FOR_KEYS = [route for route in GUARDED if door(route).key is not None and not route.is_users]


def test_every_route_for_keys_says_what_a_prefix_keeps_from_it() -> None:
    assert set(map(str, FOR_KEYS)) == set(BEYOND)


@pytest.mark.parametrize("route", FOR_KEYS, ids=str)
async def test_a_prefix_keeps_other_users_from_a_key(service: Service, route: Route) -> None:
    body, expected = BEYOND[str(route)]
    wide = (await a_key(service, *SCOPES)).split("_")[2]
    narrow = await a_key(service, *SCOPES, user_prefix="other:", event_prefix="other.")

    response = await service.client.request(
        route.method, route.path(key_id=wide), json=body, headers={"X-API-Key": narrow}
    )

    assert response.status_code == expected, response.text
    assert wide not in response.text
    assert service.memory.queue.held == []


# --- streams ---


async def stream_cells(service: Service) -> dict[str, tuple[Mapping[str, Any], int, int]]:
    """How to connect, the close code, and the status over server-sent events."""
    key = await a_key(service, *SCOPES)
    used = await a_ticket(service)
    await service.memory.tickets.redeem(used)
    cells: dict[str, tuple[Mapping[str, Any], int, int]] = {
        "none": ({}, 4511, 401),
        "wrong type": ({"headers": {"X-API-Key": key}}, 4511, 401),
        "a key as a token": ({"headers": bearer(key)}, 4511, 401),
        "a key as a ticket": ({"query": f"ticket={key}"}, 4511, 401),
        "a token as a ticket": ({"query": f"ticket={service.token()}"}, 4511, 401),
        "no ticket": ({"query": "ticket="}, 4511, 401),
        "a used ticket": ({"query": f"ticket={used}"}, 4511, 401),
        "other user": ({"headers": service.bearer(BOB)}, 4515, 403),
        "other user's ticket": ({"query": f"ticket={await a_ticket(service, BOB)}"}, 4515, 403),
        "other origin": (
            {"headers": service.bearer() | {"Origin": "https://elsewhere.test"}},
            4515,
            403,
        ),
    }
    wrong = {name: ({"headers": bearer(token())}, 4511, 401) for name, token in WRONG_TOKENS.items()}
    return cells | wrong


async def a_ticket(service: Service, user: Any = ADA) -> str:
    return await service.memory.tickets.issue(service.container.tokens().verify(service.token(user), NOW))


async def test_a_socket_refuses_every_wrong_credential(live: Service) -> None:
    expected = await stream_cells(live)

    codes = {name: await close_code(live, how) for name, (how, _, _) in expected.items()}

    assert codes == {name: code for name, (_, code, _) in expected.items()}


async def test_an_event_stream_refuses_every_wrong_credential(live: Service) -> None:
    expected = await stream_cells(live)

    statuses = {name: await status(live, how) for name, (how, _, _) in expected.items()}

    assert statuses == {name: code for name, (_, _, code) in expected.items()}


@pytest.mark.parametrize("how", ["disable", "revoke-tokens"])
async def test_a_stream_refuses_what_was_revoked(live: Service, how: str) -> None:
    ways: list[Mapping[str, Any]] = [
        {"headers": live.bearer()},
        {"query": f"ticket={await a_ticket(live)}"},
    ]
    again: list[Mapping[str, Any]] = [{"query": f"ticket={await a_ticket(live)}"}, {"headers": live.bearer()}]
    await revoke(live, how)

    assert [await close_code(live, way) for way in ways] == [4513, 4513]
    assert [await status(live, way) for way in again] == [401, 401]


async def close_code(service: Service, how: Mapping[str, Any]) -> int:
    async with service.socket(**how) as socket:
        return await socket.closed()


async def status(service: Service, how: Mapping[str, Any]) -> int:
    async with service.events(**how) as events:
        return (await events.start())[0]


# --- frames ---

FRAMES = {tag(frame): frame for frame in get_args(ClientFrame)}
MARKS = [name for name, frame in FRAMES.items() if issubclass(frame, Marking)]


def test_every_frame_has_its_cells() -> None:
    assert set(FRAMES) == {*MARKS, tag(Snooze), tag(Unsnooze), tag(Act), tag(Refresh), tag(Pong)}


async def test_no_wrong_token_renews_a_session(live: Service) -> None:
    key = await a_key(live, *SCOPES)
    wrong = {name: token() for name, token in WRONG_TOKENS.items()}
    wrong |= {"other user": live.token(BOB), "a key": key, "a ticket": await a_ticket(live)}
    async with live.socket(headers=live.bearer()) as socket:
        await socket.frame("welcome")
        for name, token in wrong.items():
            socket.send(type="refresh", token=token, ref=name)
            answer = await socket.frame()
            assert (answer["type"], answer.get("code"), answer["ref"]) == ("error", "refused", name)
        socket.send(type="refresh", token=live.token(), ref="good")
        assert (await socket.frame())["type"] == "ok"


@pytest.mark.parametrize("command", MARKS)
async def test_a_mark_reaches_no_other_feed(live: Service, command: str) -> None:
    await live.memory.feeds.append([a_draft(1, BOB), a_draft(2, ADA)])
    before = await live.memory.feeds.get(BOB, an_id(1))
    cursors = {user: str((await live.memory.feeds.feed(user)).cursor) for user in (ADA, BOB)}
    async with live.socket(headers=live.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type=command, ids=[str(an_id(1))], ref="ids")
        named = await socket.frame()
        socket.send(type=command, up_to=cursors[BOB], ref="up_to")
        counted = await socket.frame()

    assert (named["type"], named["changed"]) == ("ok", 0)
    assert counted["ref"] == "up_to"
    assert await live.memory.feeds.get(BOB, an_id(1)) == before
    assert str((await live.memory.feeds.feed(BOB)).cursor) == cursors[BOB]


async def test_no_snooze_reaches_another_feed(live: Service) -> None:
    await live.memory.feeds.append([a_draft(1, BOB), a_draft(2, BOB)])
    until = NOW + timedelta(hours=1)
    await live.memory.feeds.mark(BOB, Mark.SNOOZED, [an_id(2)], until)
    before = await everything(live.memory.feeds, BOB)
    async with live.socket(headers=live.bearer()) as socket:
        await socket.frame("welcome")
        socket.send(type="snooze", ids=[str(an_id(1))], until=until.isoformat(), ref="snooze")
        away = await socket.frame()
        socket.send(type="unsnooze", ids=[str(an_id(2))], ref="unsnooze")
        back = await socket.frame()

    assert [(one["type"], one["changed"]) for one in (away, back)] == [("ok", 0)] * 2
    assert await everything(live.memory.feeds, BOB) == before


async def ended(service: Service) -> None:
    service.memory.clock.advance(hours=1)


async def locked_out(service: Service) -> None:
    await revoke(service, "revoke-tokens")


async def disabled(service: Service) -> None:
    await revoke(service, "disable")


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("loses", "code"), [(ended, 4004), (locked_out, 4513), (disabled, 4513)])
async def test_no_frame_keeps_a_session_that_has_lost_its_right(
    live: Service, frame: str, loses: Callable[[Service], Awaitable[None]], code: int
) -> None:
    token = live.token()
    async with live.socket(headers=bearer(token)) as socket:
        await socket.frame("welcome")
        await loses(live)
        send_one(socket, frame, token)
        await live.sessions._tick()

        assert await socket.closed() == code


def send_one(socket: Socket, frame: str, token: str) -> None:
    body: dict[str, Any] = {"ids": []} if frame in MARKS else {"token": token} if frame == "refresh" else {}
    socket.send(type=frame, **body)


# --- methods ---

# The page of the demo is not served here, and files know no other methods.
TEMPLATES = sorted(
    {route.template for route in ROUTES if not route.template.startswith("/schema/ui")} - {"/"}
)


@pytest.mark.parametrize("template", TEMPLATES)
async def test_a_path_names_its_methods(service: Service, template: str) -> None:
    of_path = [route for route in ROUTES if route.template == template and route.method != "WS"]
    path, methods = of_path[0].path(), {route.method for route in of_path}

    refused = await service.client.request("TRACE", path)
    options = await service.client.request("OPTIONS", path)

    assert refused.status_code == 405
    assert refused.json()["type"] == "urn:bellwire:problem:method-not-allowed"
    for response in (refused, options):
        named = set(response.headers["Allow"].split(", "))
        assert named == methods | {"OPTIONS"} | ({"HEAD"} & named)
        assert ("HEAD" in named) == ("GET" in methods and not template.startswith("/sse/"))
    assert (options.status_code, options.content) == (204, b"")
