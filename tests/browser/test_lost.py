"""Without the network, the API or a token the inbox says so, loses nothing and comes back by itself."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import BrowserContext, WebSocketRoute, expect

from tests.browser.stage import Scene
from tests.product import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_offline_is_said_and_what_came_meanwhile_is_caught_up_with(scene: Scene) -> None:
    device = await scene.device()
    first = await scene.publish("Before")
    await device.open()
    await device.lists(first)
    await device.page.context.set_offline(True)
    await expect(device.panel).to_contain_text("as of", ignore_case=True)
    second = await scene.publish("Meanwhile")
    await scene.producer.retract(scene.user, first)
    await device.page.context.set_offline(False)
    await device.lists(second)
    await expect(device.panel).not_to_contain_text("as of", ignore_case=True)


async def test_the_api_dies_and_comes_back(scene: Scene) -> None:
    api = scene.stage.api.process
    device = await scene.device()
    first = await scene.publish("Before")
    await device.shows(1)
    try:
        await asyncio.to_thread(api.kill)
        await device.is_state("reconnecting")
    finally:
        await asyncio.to_thread(api.start)
        await api.healthy()
    second = await scene.publish("After")
    await device.shows(2)
    await device.open()
    await device.lists(second, first)
    await device.shows(0)


async def test_what_was_never_connected_has_lost_nothing(scene: Scene) -> None:
    first = await scene.publish("Before")
    context = await scene.context()
    connects = asyncio.Event()

    async def wait(socket: WebSocketRoute) -> None:
        await connects.wait()
        socket.connect_to_server()

    await context.route_web_socket("**/ws/**", wait)
    device = await scene.page(context)
    await device.page.goto(scene.stage.site.page(scene.inbox()))
    await device.open()
    await device.lists(first)
    await expect(device.panel.locator("[data-state]")).to_have_text("Connecting")
    await context.set_offline(True)
    await expect(device.panel.locator("[data-state]")).to_have_text("You are offline")
    await context.set_offline(False)
    await expect(device.panel.locator("[data-state]")).to_have_text("Connecting")
    assert await device.heard("state") == []
    connects.set()
    await device.is_state("online")
    await expect(device.panel.locator("[data-state]")).to_have_count(0)
    assert await device.heard("state") == ["online"]


async def test_a_page_that_comes_before_the_service_gets_its_list(scene: Scene) -> None:
    first = await scene.publish("Before")
    context = await scene.context()
    device = await scene.page(context)
    await context.route("**/v1/users/**", lambda route: route.fulfill(status=500))
    await device.page.goto(scene.stage.site.page(scene.inbox()))
    await device.bell.click()
    await expect(device.panel.get_by_role("button", name="Try again")).to_be_visible()
    await context.unroute("**/v1/users/**")
    await device.element.evaluate("inbox => inbox.refresh()")
    await device.lists(first)


async def test_a_token_is_replaced_before_it_expires(scene: Scene) -> None:
    scene.stage.site.lasting[scene.user] = [timedelta(seconds=3)]
    device = await scene.device()
    await eventually(lambda: scene.asked == 2, "another is asked for")
    await scene.publish()
    await device.shows(1)


async def test_an_expired_token_is_replaced_without_a_word(scene: Scene) -> None:
    scene.stage.site.lasting[scene.user] = [timedelta(seconds=-1)]
    device = await scene.device()
    assert scene.asked == 2
    await scene.publish()
    await device.shows(1)


async def test_whoever_signs_out_sees_no_more_and_whoever_signs_in_again_does(scene: Scene) -> None:
    site = scene.stage.site
    device = await scene.device()
    first = await scene.publish("Before")
    await device.open()
    await device.lists(first)

    site.signed_out.add(scene.user)
    await scene.revoke_tokens()
    await device.is_state("signed-out")
    await expect(device.panel).to_contain_text("You are signed out")
    await device.lists()
    second = await scene.publish("Meanwhile")

    site.signed_out.remove(scene.user)
    await device.panel.get_by_role("button", name="Sign in again").click()
    await device.lists(second, first)


async def test_what_the_service_refuses_is_taken_back(scene: Scene) -> None:
    context = await scene.context()
    sent = await refuse(context, "archive", "read")
    device = await scene.page(context)
    await device.go(scene.stage.site.page(scene.inbox()))
    first, second = [await scene.publish(message) for message in ("First", "Second")]
    await device.open()
    await device.lists(second, first)

    await device.focus_on(first)
    await device.press("e")
    await device.lists(second)
    sent["archive"].set_result(None)
    await device.lists(second, first)
    assert await device.heard("error")

    await device.focus_on(first)
    await device.press("r")
    await device.unread(first, is_so=False)
    sent["read"].set_result(None)
    await device.unread(first)
    assert [row.times["archived_at"] or row.times["read_at"] for row in await scene.rows()] == [None, None]


async def refuse(context: BrowserContext, *kinds: str) -> dict[str, asyncio.Future[None]]:
    """Have commands of these kinds answered with an error, each when its future has a result."""
    when = {kind: asyncio.get_running_loop().create_future() for kind in kinds}

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        async def answer(frame: dict[str, Any]) -> None:
            await when[frame["type"]]
            about = {"code": "refused", "detail": "Not today", "temporary": False, "ref": frame["ref"]}
            socket.send(json.dumps({"type": "error", **about}))

        async def pass_on(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame["type"] in when:
                await answer(frame)
            else:
                server.send(message)

        socket.on_message(pass_on)

    await context.route_web_socket("**/ws/**", between)
    return when
