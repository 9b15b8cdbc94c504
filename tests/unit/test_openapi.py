"""What the schema says is what the service does."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.feed import Cursor
from domain.identifiers import is_user_id
from domain.notification import Content
from entrypoints.app import create_app
from entrypoints.http import contract
from entrypoints.http.contents import NewNotification
from entrypoints.http.schemas import NewBatch, NewUser, Selection, read_item
from entrypoints.settings import Settings
from entrypoints.web import rules
from tests.build import ADA
from tests.whole import build
from tests.wiring import SECRET, Service

APP = create_app(build(Settings(token_secret=SECRET)))
CANONICAL: dict[str, Any] = contract.document(APP)
SCHEMA: dict[str, Any] = contract.document(APP, aliases=True)
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

    for part in ("parameters", "requestBody", "responses", "security"):
        assert alias.get(part) == twin.get(part)
    assert alias["x-alias-of"] == twin["operationId"]
    assert alias["operationId"] == f"{twin['operationId']}Alias"
    assert path in twin["x-aliases"]


def test_what_clients_are_generated_from_has_every_operation_once() -> None:
    assert set(SCHEMA["paths"]) - set(CANONICAL["paths"]) == {path for _, path in PROMISED}
    assert "Alias" not in msgspec.json.encode(CANONICAL).decode()


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
    assert [name for name in names if not re.fullmatch("[a-z]+([A-Z][a-z]+)*", name)] == []


def test_no_body_takes_a_field_that_is_not_described() -> None:
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for item in SCHEMA["paths"].values()
        for operation in item.values()
        if "requestBody" in operation
    ]

    assert bodies
    assert {name for name in bodies if component(name)["additionalProperties"] is not False} == set()


def test_no_answer_is_one_that_the_framework_invents() -> None:
    for method, path in OPERATIONS:
        for status, answer in SCHEMA["paths"][path][method]["responses"].items():
            if int(status) >= 400 and "$ref" not in answer:
                assert (path, status) == ("/health/ready", "503")


# --- rules: the schema allows exactly what the domain allows ---


def allows(rule: dict[str, Any], text: str) -> bool:
    """Whether a text keeps a rule, read as JSON Schema reads it."""
    return (
        rule.get("minLength", 0) <= len(text) <= rule.get("maxLength", len(text))
        and re.search(rule.get("pattern", "").replace("$", r"\Z"), text) is not None
    )


def accepted(**fields: Any) -> bool:
    """Whether the domain accepts a notification with these fields."""
    try:
        Content(**{"user_id": ADA, "event": "e", "message": "m"} | fields)
    except Invalid:
        return False
    return True


@given(st.text("a.:@/\n\0é", max_size=5) | st.text("x", min_size=127, max_size=129))
@example(".")
@example("..")
@example("...")
@example("..a")
def test_the_rule_of_a_user_id(text: str) -> None:
    assert allows(rules.USER_ID, text) == is_user_id(text)


@given(st.text("a_.-A \n", max_size=4) | st.text("x", min_size=99, max_size=101))
def test_the_rule_of_an_event(text: str) -> None:
    assert allows(rules.EVENT_NAME, text) == accepted(event=text)


@pytest.mark.parametrize("text", ["", "m", "m" * 4000, "m" * 4001, "m\0", "m\n", "é" * 4000])
def test_the_rule_of_a_message(text: str) -> None:
    assert allows(rules.MESSAGE, text) == accepted(message=text)


@pytest.mark.parametrize("text", ["", "t", "t" * 200, "t" * 201, "t\0"])
def test_the_rule_of_a_title(text: str) -> None:
    assert allows(rules.TITLE, text) == accepted(title=text)


ADDRESSES = [
    "/",
    "//",
    "/a",
    "/\\",
    "https://a",
    "http:///",
    "http://a b",
    "ftp://a",
    "https://",
    "a",
    "",
    "/a\n",
]


@pytest.mark.parametrize("text", [*ADDRESSES, "/" + "a" * 2047, "/" + "a" * 2048])
def test_the_rule_of_an_action_url(text: str) -> None:
    assert allows(rules.ACTION_URL, text) == accepted(action_url=text)


@given(
    st.tuples(st.sampled_from(["", "http://", "https://", "/"]), st.text(max_size=4))
    .map("".join)
    .filter(lambda text: "\0" not in text)
)
def test_the_rule_of_any_action_url(text: str) -> None:
    assert allows(rules.ACTION_URL, text) == accepted(action_url=text)


@pytest.mark.parametrize(
    "text", ["0.0", "a1.12", ".1", "a.01", "a.", "a" * 16 + ".1", "a" * 17 + ".1", "A.1", "a.1\n"]
)
def test_the_rule_of_a_cursor(text: str) -> None:
    try:
        Cursor.parse(text)
    except Invalid:
        assert not allows(rules.CURSOR, text)
    else:
        assert allows(rules.CURSOR, text)


def test_every_route_is_described() -> None:
    routes = {
        re.sub(r":\w+\}", "}", route.path)
        for route in APP.routes
        if not route.path.startswith(("/schema", "/ws/", "/element"))
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
    assert (
        list(page["items"][0]) == list(component("NotificationBody")["properties"])[: len(page["items"][0])]
    )
    assert set(count) == set(component("Counts")["properties"])
