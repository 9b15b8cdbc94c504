"""What one device does, the others show; and PostgreSQL and Redis have it."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.device import Device, Sockets
from tests.browser.stage import PHONE, Scene
from tests.product import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_published_moves_the_badge_on_every_device(scene: Scene) -> None:
    desk, other, phone = await asyncio.gather(
        scene.device(), scene.device(), scene.device(options=PHONE, view="panel")
    )
    for device in (desk, other, phone):
        await device.shows(0)
    await expect(desk.bell).to_have_accessible_name("Notifications")
    await scene.publish("First")
    for device in (desk, other, phone):
        await device.shows(1)
    await expect(desk.bell).to_have_accessible_name("Notifications, 1 new")
    await expect(desk.announcer).to_contain_text("First")


async def test_one_opens_the_list_and_the_badge_goes_everywhere(scene: Scene) -> None:
    desk, phone = await asyncio.gather(scene.device(), scene.device(options=PHONE))
    ids = [await scene.publish(message) for message in ("First", "Second")]
    for device in (desk, phone):
        await device.shows(2)
    await phone.open()
    await phone.lists(*reversed(ids))
    for device in (desk, phone):
        await device.shows(0)
    for identifier in ids:
        await phone.unread(identifier)
    rows = await scene.rows()
    assert [(row.times["seen_at"] is not None, row.times["read_at"]) for row in rows] == [(True, None)] * 2


async def test_what_one_reads_is_read_everywhere(scene: Scene) -> None:
    desk, other = await asyncio.gather(scene.device(), scene.device())
    identifier = await scene.publish("Read me")
    stays = await scene.publish("Not yet")
    for device in (desk, other):
        await device.open()
        await device.lists(stays, identifier)
    await desk.row(identifier).get_by_role("button", name="Read me").click()
    for device in (desk, other):
        await device.unread(identifier, is_so=False)
        await device.unread(stays)

    async def stored() -> bool:
        return [row.id for row in await scene.rows() if row.times["read_at"]] == [identifier]

    await eventually(stored, "PostgreSQL has it")
    await eventually(scene.agrees, "Redis has it")


async def test_all_are_read_at_once(scene: Scene) -> None:
    desk, other = await asyncio.gather(scene.device(), scene.device())
    ids = [await scene.publish(str(number)) for number in range(3)]
    await other.open()
    await other.lists(*reversed(ids))
    await desk.open()
    await desk.lists(*reversed(ids))
    await desk.panel.get_by_role("button", name="Mark all as read").click()
    for device in (desk, other):
        for identifier in ids:
            await device.unread(identifier, is_so=False)


async def test_new_ones_wait_behind_a_button_while_the_list_is_read(scene: Scene) -> None:
    device = await scene.device()
    first = await scene.publish("First")
    await device.open()
    await device.lists(first)
    await device.row(first).hover()
    more = [await scene.publish(message) for message in ("Second", "Third")]
    await expect(device.pill).to_have_text("2 new")
    await device.lists(first)
    await device.pill.click()
    await device.lists(*reversed(more), first)
    await expect(device.pill).to_be_hidden()
    assert (await device.focus())["tag"] != "body"


async def test_new_ones_appear_at_once_where_they_disturb_nobody(scene: Scene) -> None:
    device = await scene.device()
    first = await scene.publish("First")
    await device.open()
    await device.lists(first)
    await device.page.mouse.move(1, 700)
    second = await scene.publish("Second")
    await device.lists(second, first)
    await expect(device.pill).to_be_hidden()


async def test_several_on_a_page_and_several_tabs_share_a_socket(scene: Scene) -> None:
    context = await scene.context()
    address = scene.stage.site.page(scene.inbox(), scene.inbox())
    tabs = [await scene.page(context) for _ in range(3)]
    sockets = Sockets(*(tab.page for tab in tabs))
    for tab in tabs:
        await tab.go(address)
    everywhere = [Device(tab.page, nth) for tab in tabs for nth in (0, 1)]
    await scene.publish()
    for device in everywhere:
        await device.shows(1)
    assert (sockets.open, sockets.most) == (1, 1)

    await tabs[0].page.close()
    await eventually(lambda: sockets.open == 1, "the next tab takes over")
    await tabs[1].open()
    for device in everywhere[2:]:
        await device.shows(0)
    await tabs[1].press("Escape")
    await scene.publish()
    await Device(tabs[2].page, 1).shows(1)
    assert sockets.open == 1


async def test_two_users_on_a_page_have_a_socket_each(scene: Scene) -> None:
    async with Scene.begun(scene.stage) as bob:
        context = await scene.context()
        device = await scene.page(context)
        sockets = Sockets(device.page)
        await device.go(scene.stage.site.page(scene.inbox(), bob.inbox()))
        await Device(device.page, 1).is_state("online")
        await bob.publish()
        await Device(device.page, 1).shows(1)
        await device.shows(0)
        assert (sockets.open, sockets.most) == (2, 2)
