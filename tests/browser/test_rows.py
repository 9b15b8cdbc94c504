"""What is done with a notification, by its reader and by its producer."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Locator, expect

from bellwire_client import Action, Actor
from tests.browser.device import Device
from tests.browser.stage import Scene
from tests.product import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
MOST_ROWS = 100


async def test_notifications_with_a_key_become_one_row(scene: Scene) -> None:
    device = await scene.device()
    await device.open()
    for name in ("Ada", "Grace", "Edsger"):
        await scene.publish(
            "liked your post", event="post.liked", collapse_key="post:7", actor=Actor(name=name)
        )
    await expect(device.rows).to_have_count(1)
    await expect(device.rows).to_contain_text("Edsger and 2 others liked your post")


async def test_an_action_is_answered_once_and_shown_on_every_device(scene: Scene) -> None:
    desk, other = await asyncio.gather(scene.device(), scene.device())
    actions = [Action(id="yes", label="Approve", style="primary"), Action(id="no", label="Refuse")]
    asked = await scene.publish("Leave for Grace", event="leave.asked", actions=actions)
    for device in (desk, other):
        await device.open()
        await expect(device.row(asked).get_by_role("button", name="Approve")).to_be_visible()
    await desk.row(asked).get_by_role("button", name="Approve").click()
    for device in (desk, other):
        await expect(device.row(asked).get_by_role("button", name="Refuse")).to_have_count(0)
        await expect(device.row(asked).locator("[part~=action]")).to_have_text("Approve")
        await device.unread(asked, is_so=False)
    await eventually(lambda: scene.column("action", ["yes"]), "it is stored")


async def test_what_is_snoozed_goes_and_comes_back_unread(scene: Scene) -> None:
    desk, other = await asyncio.gather(scene.device(), scene.device())
    later, stays = await scene.publish("Later"), await scene.publish("Now")
    for device in (desk, other):
        await device.open()
        await device.lists(stays, later)
    await desk.row(later).hover()
    await desk.row(later).get_by_role("button", name="Snooze").click()
    await desk.element.get_by_role("menuitem", name="In an hour").click()
    for device in (desk, other):
        await device.lists(stays)
    (row, _) = await scene.rows()
    until = row.times["snoozed_until"]
    assert until is not None
    assert timedelta(minutes=59) < until - datetime.now(UTC) < timedelta(minutes=61)

    for device in (desk, other):
        await device.press("Escape")
        await device.shows(0)
    await scene.producer.unsnooze(scene.user, later)
    for device in (desk, other):
        await device.shows(1)
    for device in (desk, other):
        await device.open()
        await device.unread(later)


async def test_an_edit_changes_a_row_in_its_place_and_keeps_its_focus(scene: Scene) -> None:
    device = await scene.device()
    first, second = await scene.publish("First"), await scene.publish("Second")
    await device.open()
    await device.lists(second, first)
    await device.focus_on(first)
    await scene.producer.edit(scene.user, first, "comment.new", "It was edited")
    await expect(device.row(first)).to_contain_text("It was edited")
    await device.lists(second, first)
    assert (await device.focus())["row"] == first
    assert [one["id"] for told in await device.heard("arrived") for one in told] == [first, second]


async def test_what_is_taken_back_under_the_focus_gives_it_to_the_next(scene: Scene) -> None:
    device = await scene.device()
    ids = [await scene.publish(str(number)) for number in range(3)]
    await device.open()
    await device.lists(*reversed(ids))
    await device.focus_on(ids[1])
    await scene.producer.retract(scene.user, ids[1])
    await device.lists(ids[2], ids[0])
    await device.focus_is(row=ids[0])
    await expect(device.announcer).to_contain_text("taken back")
    await scene.producer.retract(scene.user, ids[0])
    await device.focus_is(row=ids[2])


async def test_a_click_reads_and_goes_where_the_host_lets_it(scene: Scene) -> None:
    device = await scene.device()
    there = await scene.publish("Go there", action_url="/elsewhere?to=7")
    await device.open()
    link = device.row(there).get_by_role("link")
    await expect(link).to_have_attribute("href", "/elsewhere?to=7")
    await device.page.evaluate("addEventListener('bellwire-navigate', (event) => event.preventDefault())")
    await link.click()
    await device.unread(there, is_so=False)
    assert [told["id"] for told in await device.heard("navigate")] == [there]
    assert "/elsewhere" not in device.page.url


async def test_a_link_of_another_scheme_is_no_link(scene: Scene) -> None:
    """The service refuses them too; a row in PostgreSQL is what a later version of it might let through."""
    device = await scene.device()
    bad = await scene.publish("Bad", action_url="/good")
    await scene.stored(1)
    await scene.stage.stores.postgres.execute(
        "UPDATE notifications SET action_url = 'javascript:alert(1)' WHERE id = $1", bad
    )
    await device.page.reload()
    await device.open()
    await expect(device.row(bad)).to_be_visible()
    await expect(device.row(bad).get_by_role("link")).to_have_count(0)


async def test_the_icons_of_a_row_are_drawn_for_whoever_is_at_it(scene: Scene) -> None:
    """The buttons are always there, for keys and screen readers; only what is drawn in them is not."""
    device = await scene.device()
    first, second = await scene.publish("First"), await scene.publish("Second")
    await device.open()
    await device.lists(second, first)

    def archive(identifier: str) -> Locator:
        return device.row(identifier).get_by_role("button", name="Archive")

    await device.row(first).hover()
    await expect(archive(first).locator("svg")).to_be_visible()
    await expect(archive(second).locator("svg")).to_be_hidden()
    await expect(archive(second)).to_be_visible()
    await device.focus_on(second)
    await expect(archive(second).locator("svg")).to_be_visible()


async def test_where_nothing_hovers_all_icons_are_drawn(scene: Scene) -> None:
    device = await scene.device(options={"has_touch": True, "is_mobile": True})
    ids = [await scene.publish(message) for message in ("First", "Second")]
    await device.open()
    for identifier in ids:
        icon = device.row(identifier).get_by_role("button", name="Archive").locator("svg")
        await expect(icon).to_be_visible()


async def test_tabs_have_exact_counts(scene: Scene) -> None:
    device = await scene.device(categories="comment,review")
    for event in ("comment.new", "review.due", "comment.new", "system.down"):
        await scene.publish(event=event)
    await device.open()
    for tab in ("Unread 4", "comment 2", "review 1"):
        await expect(device.tab(tab)).to_be_visible()


async def test_what_is_looked_at_is_read_where_that_is_wanted(scene: Scene) -> None:
    device = await scene.device(read="viewed")
    ids = [await scene.publish(str(number)) for number in range(3)]
    await device.open()
    await device.lists(*reversed(ids))
    for identifier in ids:
        await device.unread(identifier, is_so=False)
    await eventually(lambda: scene.is_read(*ids), "it is stored")


async def test_of_a_long_list_only_a_part_has_rows(scene: Scene) -> None:
    count = MOST_ROWS + 200
    ids = await scene.fill(count)
    device = await scene.device(view="page")
    await expect(device.row(ids[-1])).to_be_visible()
    most = await down_to(device, ids[0])
    assert most <= MOST_ROWS
    assert len(set(await device.ids()) & set(ids[:20])) == 20
    await up_to(device, ids[-1])
    shown = await device.ids()
    assert shown == list(reversed(ids))[: len(shown)]


async def down_to(device: Device, identifier: str) -> int:
    """Scroll until a row is there. Return the most rows that there were at a time."""
    most: int = await device.page.evaluate(SCROLL, [identifier, 1200])
    return most


async def up_to(device: Device, identifier: str) -> None:
    await device.page.evaluate(SCROLL, [identifier, -1200])


SCROLL = """async ([id, by]) => {
  const root = document.querySelector('bellwire-inbox').shadowRoot;
  const scrolls = (node) => /auto|scroll/.test(getComputedStyle(node).overflowY);
  let place = root.querySelector('[part~=list]');
  while (place && !scrolls(place)) place = place.parentElement ?? place.getRootNode().host ?? null;
  place ??= document.scrollingElement;
  let most = 0;
  while (!root.querySelector(`[data-id="${id}"]`)) {
    place.scrollTop += by;
    most = Math.max(most, root.querySelectorAll('[part~=row]').length);
    await new Promise(requestAnimationFrame);
  }
  return most;
}"""
