"""The demo: its user, its key and its page."""

from collections.abc import AsyncIterator
from datetime import datetime
from secrets import token_hex

import pytest

from application.errors import Unavailable
from application.keys import new_key
from entrypoints.commands.demo import demo_access_of as demo_access
from entrypoints.demo_users import DEMO_USER, DEMO_USERS, OTHER_USER
from entrypoints.settings import InvalidSettings
from tests.build import ADA, NOW, an_id
from tests.wiring import Service

KEY = new_key("live", token_hex)


@pytest.fixture
async def demo() -> AsyncIterator[Service]:
    async with Service.run(demo=True, demo_key=KEY) as service:
        yield service


async def publish(service: Service, key: str) -> int:
    body = {"user_id": DEMO_USER, "event": "comment.created", "message": "Ada replied to you"}
    answer = await service.client.post("/v1/notifications", json=body, headers={"X-API-Key": key})
    return answer.status_code


async def test_the_key_that_is_given_is_made_once_and_stays(demo: Service) -> None:
    first = await demo_access(demo.container)
    second = await demo_access(demo.container)

    assert first["api_key"] == second["api_key"] == KEY
    assert await publish(demo, KEY) == 202


async def test_a_key_that_is_given_takes_the_place_of_one_that_was_drawn() -> None:
    async with Service.run(demo=True) as service:
        drawn = (await demo_access(service.container))["api_key"]
        again = (await demo_access(service.container))["api_key"]

        assert drawn != again
        assert [await publish(service, key) for key in (drawn, again)] == [401, 202]


async def test_a_key_that_was_revoked_is_not_taken_again(demo: Service) -> None:
    await demo_access(demo.container)
    await demo.container.api_keys().revoke(KEY.split("_")[2], demo.memory.clock())

    with pytest.raises(InvalidSettings, match=r"^BELLWIRE_DEMO_KEY: .*revoked"):
        await demo_access(demo.container)


async def test_the_demo_is_there_only_where_it_is_on() -> None:
    async with Service.run() as service:
        with pytest.raises(Unavailable):
            await demo_access(service.container)


async def test_the_cursor_is_where_the_feed_stands(demo: Service) -> None:
    access = await demo_access(demo.container)
    headers = {"Authorization": f"Bearer {access['token']}"}

    page = (await demo.client.get(f"/notifications/{DEMO_USER}", headers=headers)).json()

    assert page["cursor"] == access["cursor"]


async def test_the_page_has_the_key_that_is_given_and_no_other(demo: Service) -> None:
    async with Service.run(demo=True) as keyless:
        without = (await keyless.client.get("/")).text
    given = (await demo.client.get("/")).text

    assert f'<body data-key="{KEY}">' in given
    assert '<body data-key="">' in without


async def test_the_page_has_a_place_for_each_user_of_the_demo(demo: Service) -> None:
    page = (await demo.client.get("/")).text

    for user, name in DEMO_USERS.items():
        assert f'data-user="{user}">' in page
        assert f'<h2 id="of-{user}">{name}</h2>' in page
        assert f'value="{user}"' in page


async def test_the_page_gets_tokens_of_the_users_of_the_demo_and_of_nobody_else(demo: Service) -> None:
    await demo_access(demo.container)
    await demo.add(ADA)

    for user in DEMO_USERS:
        answer = await demo.client.get(f"/demo/tokens/{user}")
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await demo.client.get(f"/v1/users/{user}/counts", headers=headers)).status_code == 200
    assert (await demo.client.get(f"/demo/tokens/{ADA}")).status_code == 404


async def test_the_page_learns_when_a_notification_reached_its_stages(demo: Service) -> None:
    demo.memory.stages.note("accepted", [an_id(1)], NOW)

    answer = await demo.client.get(f"/demo/stages/{an_id(1)}")

    assert {stage: datetime.fromisoformat(at) for stage, at in answer.json().items()} == {"accepted": NOW}
    assert (await demo.client.get(f"/demo/stages/{an_id(2)}")).json() == {}


@pytest.mark.parametrize(
    "path", ["/", "/demo/page.js", f"/demo/tokens/{DEMO_USER}", f"/demo/stages/{an_id(1)}"]
)
async def test_nothing_of_the_page_exists_where_the_demo_is_off(demo: Service, path: str) -> None:
    async with Service.run() as off:
        assert (await off.client.get(path)).status_code == 404
    assert (await demo.client.get(path)).status_code == 200


async def test_only_the_files_of_the_page_are_served(demo: Service) -> None:
    for name in ("page.html", "..%2fdemo.py", "none.js"):
        assert (await demo.client.get(f"/demo/{name}")).status_code == 404
    for name, kind in (
        ("page.css", "text/css"),
        ("page.js", "text/javascript"),
        ("bell.svg", "image/svg+xml"),
    ):
        assert (await demo.client.get(f"/demo/{name}")).headers["Content-Type"].startswith(kind)


async def test_both_users_have_a_token(demo: Service) -> None:
    access = await demo_access(demo.container)

    for user, token in ((DEMO_USER, access["token"]), (OTHER_USER, access["other_token"])):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await demo.client.get(f"/notifications/{user}", headers=headers)).status_code == 200
