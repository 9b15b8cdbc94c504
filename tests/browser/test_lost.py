"""Without the network, the API or a token the inbox says so, loses nothing and comes back by itself."""

import asyncio
import json

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.device import PATIENCE_MS
from tests.browser.stage import Scene
from tests.product import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_offline_is_said_and_what_came_meanwhile_is_caught_up_with(scene: Scene) -> None:
    device = await scene.device()
    first = await scene.publish("Before")
    await device.open()
    await device.lists(first)
    await device.page.context.set_offline(True)  # noqa: FBT003
    await expect(device.panel).to_contain_text("as of", timeout=PATIENCE_MS)
    second = await scene.publish("Meanwhile")
    await scene.producer.retract(scene.user, first)
    await device.page.context.set_offline(False)  # noqa: FBT003
    await device.lists(second)
    await expect(device.panel).not_to_contain_text("as of", timeout=PATIENCE_MS)


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


async def test_a_page_that_comes_before_the_service_gets_its_list(scene: Scene) -> None:
    first = await scene.publish("Before")
    context = await scene.context()
    device = await scene.page(context)
    await context.route("**/v1/users/**", lambda route: route.abort())
    await device.page.goto(scene.stage.site.page(scene.inbox()))
    await device.bell.click()
    await expect(device.panel.get_by_role("button", name="Try again")).to_be_visible(timeout=PATIENCE_MS)
    await context.unroute("**/v1/users/**")
    await device.panel.get_by_role("button", name="Try again").click()
    await device.lists(first)


async def test_an_expired_token_is_replaced_without_a_word(scene: Scene) -> None:
    stage = scene.stage
    device = await scene.device()
    assert stage.site.asked.count(scene.user) == 1
    await stage.product.revoke(scene.user)
