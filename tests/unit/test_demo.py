"""The demo: its user, its key and its page."""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest

from application.errors import Unavailable
from application.keys import new_key
from entrypoints.commands.demo import DEMO_USER
from entrypoints.commands.demo import demo_access_of as demo_access
from entrypoints.settings import InvalidSettings
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

    assert f"const KEY = '{KEY}';" in given
    assert "const KEY = '';" in without
