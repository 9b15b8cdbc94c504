"""What the schema says is what the service does."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest

from entrypoints.app import create_app
from entrypoints.http.schemas import NewBatch, NewNotification, NewUser, Selection, read_item
from entrypoints.settings import Settings
from tests.whole import build
from tests.wiring import SECRET, Service

SCHEMA: dict[str, Any] = create_app(build(Settings(token_secret=SECRET))).openapi_schema.to_schema()
PROMISED = {
    ("post", "/createNotification"): "/v1/notifications",
    ("post", "/createUser"): "/v1/users",
    ("get", "/notifications/{user_id}"): "/v1/users/{user_id}/notifications",
    (
        "patch",
        "/notifications/{user_id}/{notification_id}/read",
    ): "/v1/users/{user_id}/notifications/{notification_id}/read",
}
OPERATIONS = sorted((method, path) for path, methods in SCHEMA["paths"].items() for method in methods)


def component(name: str) -> dict[str, Any]:
    return dict(SCHEMA["components"]["schemas"][name])


def examples(name: str) -> dict[str, Any]:
    """An object made of the examples of a schema's fields."""
    return {
        field: schema["examples"][0]
        for field, schema in component(name)["properties"].items()
        if schema.get("examples")
    }


@pytest.mark.parametrize(("method", "path"), PROMISED)
def test_the_promised_paths_are_described_like_their_twins(method: str, path: str) -> None:
    alias, twin = SCHEMA["paths"][path][method], SCHEMA["paths"][PROMISED[method, path]][method]

    def without_names(operation: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in operation.items() if key != "operationId"}

    assert without_names(alias) == without_names(twin)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_says_what_it_does_and_who_may(method: str, path: str) -> None:
    operation = SCHEMA["paths"][path][method]

    assert operation["summary"]
    assert operation["tags"]
    public = path in {"/v1/sessions", "/health/live", "/health/ready"}
    assert bool(operation.get("security")) is not public


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [SCHEMA["paths"][path][method]["operationId"] for method, path in OPERATIONS]

    assert len(names) == len(set(names))


def test_every_route_is_described() -> None:
    app = create_app(build(Settings(token_secret=SECRET)))
    routes = {
        re.sub(r":\w+\}", "}", route.path)
        for route in app.routes
        if not route.path.startswith(("/schema", "/ws/"))
    }

    assert routes == set(SCHEMA["paths"])


def test_every_reference_leads_somewhere() -> None:
    text = msgspec.json.encode(SCHEMA).decode()

    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in SCHEMA["components"]["schemas"]


def test_the_example_of_a_notification_keeps_the_rules() -> None:
    content = msgspec.json.decode(
        msgspec.json.encode(examples("NewNotification")), type=NewNotification
    ).content()

    assert content.expires_at is not None


def test_the_example_of_a_batch_keeps_the_rules() -> None:
    batch = msgspec.json.decode(msgspec.json.encode(examples("NewBatch")), type=NewBatch)

    for item in batch.items:
        read_item(item).content()


def test_the_example_of_a_selection_is_one() -> None:
    assert msgspec.convert(examples("Selection"), Selection).ids


async def test_the_examples_work_one_after_another() -> None:
    async with Service.run() as service:
        client = service.client
        user = msgspec.convert(examples("NewUser"), NewUser)
        created = await client.post("/v1/users", json=examples("NewUser"), headers=service.producer)
        session = await client.post("/v1/sessions", json=examples("Credentials"))
        await client.post("/v1/users", json={"name": "Demo", "id": "demo"}, headers=service.producer)
        accepted = await client.post(
            "/v1/notifications", json=examples("NewNotification"), headers=service.producer
        )
        batch = await client.post(
            "/v1/notifications/batch", json=examples("NewBatch"), headers=service.producer
        )
        bearer = {"Authorization": f"Bearer {session.json()['access_token']}"}
        marked = await client.post(
            f"/v1/users/{user.id}/notifications/read", json=examples("Selection"), headers=bearer
        )

    assert created.status_code == 201, created.text
    assert session.status_code == 200, session.text
    assert accepted.status_code == 202, accepted.text
    assert "id" in batch.json()["results"][0], batch.text
    assert marked.status_code == 200, marked.text


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json"])
async def test_the_schema_is_served(path: str) -> None:
    async with Service.run() as service:
        assert (await service.client.get(path)).status_code == 200


async def test_the_page_shows_all_of_it() -> None:
    async with Service.run() as service:
        page = (await service.client.get("/schema")).text

    for method, path in OPERATIONS:
        assert f"<h3>{method.upper()} {path}</h3>" in page
        for parameter in SCHEMA["paths"][path][method].get("parameters", ()):
            assert f"<td>{parameter['name']}" in page
    for name, schema in SCHEMA["components"]["schemas"].items():
        assert f'<section id="{name}">' in page
        for field in schema.get("properties", {}):
            assert f"<td>{field}" in page


async def test_the_page_needs_no_script_and_no_other_site() -> None:
    async with Service.run() as service:
        answer = await service.client.get("/schema")
        page, policy = answer.text, answer.headers["content-security-policy"]
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        own = [link for link in links if link.startswith(".")]
        found = {link: (await service.client.get(urljoin("/schema", link))).status_code for link in own}

    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert f"style-src '{_hash(style)}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|javascript:|\son\w+=|\sstyle=|@import|url\(", page)
    assert set(found.values()) == {200}
    assert len(found) >= 2
    for link in links:
        assert link == "data:," or link in found or f'<section id="{link.removeprefix("#")}">' in page, link


async def test_the_demo_page_runs_its_own_script_and_nothing_else() -> None:
    async with Service.run(demo=True) as service:
        answer = await service.client.get("/")

    page, policy = answer.text, answer.headers["content-security-policy"]
    (style,), (script,) = (
        re.findall(rf"<{element}[^>]*>(.*?)</{element}>", page, re.DOTALL) for element in ("style", "script")
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == f"'{_hash(style)}'"
    assert rules["script-src"] == f"'{_hash(script)}'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=\"|\sstyle=\"|http-equiv", page)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


@pytest.mark.parametrize(
    "path", ["/schema", "/schema/openapi.json", "/schema/stream", "/schema/asyncapi.json"]
)
async def test_the_descriptions_can_be_turned_off(path: str) -> None:
    async with Service.run(schema=False) as service:
        answer = await service.client.get(path)

    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is nothing at this path."


async def test_answers_have_the_fields_that_the_schema_says() -> None:
    from tests.build import ADA, drafts

    async with Service.run() as service:
        await service.add(ADA)
        await service.memory.feeds.append(drafts(1))
        page = (await service.client.get("/notifications/ada", headers=service.bearer())).json()
        count = (await service.client.get("/v1/users/ada/unread-count", headers=service.bearer())).json()

    assert set(page) == set(component("NotificationPage")["properties"])
    assert list(page["items"][0]) == list(component("NotificationBody")["properties"])
    assert set(count) == set(component("UnreadCount")["properties"])
