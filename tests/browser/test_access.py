"""Everybody can use it: by keyboard only, enlarged, in forced colours, without motion, from right to left."""

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.device import Device
from tests.browser.kinds import one_of_each
from tests.browser.stage import PHONE, Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

ZOOMED = {"viewport": {"width": 500, "height": 400}, "device_scale_factor": 2}
"""A window of 1,000 × 800 at 200 %."""
NARROW = {"viewport": {"width": 320, "height": 256}, "device_scale_factor": 4}
"""One of 1,280 × 1,024 at 400 % (WCAG 2.2, 1.4.10)."""


async def violations(page: Page) -> list[str]:
    """What axe complains of."""
    results = await Axe().run(page)
    return [
        f"{found['id']}: {node['target']} {node['failureSummary']} {node['html'][:60]}"
        for found in results.response["violations"]
        for node in found["nodes"]
    ]


async def test_the_keyboard_is_enough(scene: Scene) -> None:
    ids = [await scene.publish(str(number)) for number in range(3)]
    device = await scene.device()
    await device.shows(3)
    await device.press("Tab")
    await device.focus_is(part="bell")
    await device.press("Enter")
    await expect(device.panel).to_be_visible()
    await device.focus_is(part="panel")

    await tab_to(device, role="tab")
    await device.press("ArrowRight")
    await expect(device.tab("Unread")).to_have_attribute("aria-selected", "true")
    await device.press("End", "Home")
    await expect(device.tab("All")).to_have_attribute("aria-selected", "true")
    await device.press("ArrowLeft", "ArrowRight")
    await expect(device.tab("All")).to_have_attribute("aria-selected", "true")

    await tab_to(device, row=ids[2])
    await device.press("ArrowDown")
    await device.focus_is(row=ids[1])
    await device.press("j")
    await device.focus_is(row=ids[0])
    await device.press("j")
    await device.focus_is(row=ids[0])
    await device.press("k")
    await device.focus_is(row=ids[1])
    await device.press("r")
    await device.unread(ids[1], is_so=False)
    await device.press("r")
    await device.unread(ids[1])
    await device.press("e")
    await device.lists(ids[2], ids[0])
    await device.focus_is(row=ids[0])
    await device.press("Home")
    await device.focus_is(row=ids[2])
    await device.press("End")
    await device.focus_is(row=ids[0])
    await device.press("Enter")
    await device.unread(ids[0], is_so=False)
    await device.press("?")
    await expect(device.panel.get_by_text("Keyboard shortcuts")).to_be_visible()
    await device.press("?", "Escape")
    await expect(device.panel).to_be_hidden()
    await device.focus_is(part="bell")


async def tab_to(device: Device, **wanted: Any) -> None:
    """Press Tab until what has the focus is like that. A list is never farther than this."""
    for _ in range(10):
        await device.press("Tab")
        found = await device.focus()
        if all(found[name] == value for name, value in wanted.items()):
            return
    raise AssertionError(f"nothing with {wanted}; in the end {found}")


async def test_keys_outside_of_the_list_do_nothing(scene: Scene) -> None:
    first = await scene.publish()
    device = await scene.device()
    await device.open()
    await device.lists(first)
    await device.tab("Unread").focus()
    await device.press("e", "r")
    await device.page.keyboard.press("Control+e")
    await device.lists(first)
    await device.unread(first)


async def test_a_click_beside_it_closes_it(scene: Scene) -> None:
    device = await scene.device()
    await device.open()
    await device.page.mouse.click(5, 700)
    await expect(device.panel).to_be_hidden()
    await device.focus_is(part="bell")
    await device.open()
    await device.page.locator("#elsewhere").click()
    await expect(device.panel).to_be_hidden()
    await device.focus_is(tag="a", part="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [{}, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing(scene: Scene, scheme: str, options: dict[str, Any]) -> None:
    device = await scene.device(options={**options, "color_scheme": scheme, "reduced_motion": "reduce"})
    await expect(device.bell).to_be_visible()
    ids = await one_of_each(scene)
    await device.shows(len(ids))
    assert await violations(device.page) == []
    await device.open()
    await expect(device.rows).to_have_count(len(ids))
    await device.focus_on(ids[0])
    await device.press("r")
    await device.unread(ids[0], is_so=False)
    assert await violations(device.page) == []
    await device.tab("Unread").click()
    await expect(device.rows).to_have_count(len(ids) - 1)
    assert await violations(device.page) == []


async def test_axe_finds_nothing_on_a_page_of_its_own_nor_in_an_empty_list(scene: Scene) -> None:
    device = await scene.device(view="page")
    await expect(device.element).to_contain_text("No notifications yet")
    assert (await device.focus())["tag"] == "body"
    assert await violations(device.page) == []
    ids = await one_of_each(scene)
    await expect(device.rows).to_have_count(len(ids))
    assert await violations(device.page) == []


@pytest.mark.parametrize("options", [ZOOMED, NARROW, PHONE], ids=["200 %", "400 %", "phone"])
async def test_enlarged_nothing_is_lost_and_nothing_scrolls_sideways(
    scene: Scene, options: dict[str, Any]
) -> None:
    ids = await one_of_each(scene)
    device = await scene.device(options=options)
    await device.open()
    await expect(device.rows).to_have_count(len(ids))
    assert await device.page.evaluate(OUTSIDE) == []
    for name in ("Mark all as read", "Approve"):
        await device.panel.get_by_role("button", name=name).scroll_into_view_if_needed()
        await expect(device.panel.get_by_role("button", name=name)).to_be_in_viewport()
    await device.row(ids[0]).scroll_into_view_if_needed()
    await expect(device.row(ids[0])).to_be_in_viewport()


OUTSIDE = """() => {
  const root = document.querySelector('bellwire-inbox').shadowRoot;
  const panel = root.querySelector('[part~=panel]');
  const found = [];
  const cut = (node) => getComputedStyle(node).overflowX !== 'visible';
  const wide = (node) => node.scrollWidth > node.clientWidth + 1 && cut(node);
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
  for (const node of panel.querySelectorAll('*')) {
    const {left, right, width} = node.getBoundingClientRect();
    const hidden = node.closest('.hidden') || width <= 1;
    if (!hidden && (left < -1 || right > innerWidth + 1)) found.push(`${node.localName} ${node.className}`);
    if (!hidden && wide(node) && !node.matches('[role=tablist]')) found.push(`${node.localName} is cut off`);
  }
  return found;
}"""
"""What of the panel is beside the window, or needs scrolling from side to side. Tabs may."""


async def test_in_forced_colours_what_matters_can_be_told_apart(scene: Scene) -> None:
    device = await scene.device(options={"forced_colors": "active"})
    ids = await one_of_each(scene)
    await device.shows(len(ids))
    assert await violations(device.page) == []
    paint = "node => getComputedStyle(node).backgroundColor"
    assert await device.badge.evaluate(paint) != await device.page.locator("body").evaluate(paint)
    await device.open()
    await expect(device.rows).to_have_count(len(ids))
    assert await violations(device.page) == []
    for part in (device.panel, device.element.locator("[part~=action]").first):
        assert await part.evaluate("node => getComputedStyle(node).borderTopStyle") == "solid"


async def test_nothing_moves_for_whoever_wants_no_motion(scene: Scene) -> None:
    device = await scene.device(options={"reduced_motion": "reduce"})
    await scene.publish()
    await device.open()
    await expect(device.rows).to_have_count(1)
    assert await device.page.evaluate(MOVING) == []


MOVING = """() => {
  const root = document.querySelector('bellwire-inbox').shadowRoot;
  const found = [];
  for (const node of root.querySelectorAll('*')) {
    for (const pseudo of [null, '::before', '::after', '::backdrop']) {
      const style = getComputedStyle(node, pseudo);
      const animated = style.animationName !== 'none' && /[1-9]/.test(style.animationDuration);
      const moves = animated || /[1-9]/.test(style.transitionDuration) || style.scrollBehavior === 'smooth';
      if (moves) found.push(`${node.localName} ${node.className} ${pseudo ?? ''}`);
    }
  }
  return found;
}"""


async def test_from_right_to_left_everything_is_mirrored(scene: Scene) -> None:
    await one_of_each(scene)
    device = await scene.page(await scene.context())
    await device.go(scene.stage.site.page(scene.inbox(), lang="ar", direction="rtl"))
    await device.open()
    await expect(device.rows).not_to_have_count(0)
    row = device.rows.first
    avatar, title = row.locator("[part~=avatar]"), row.locator("[part~=title]")
    at = {name: await one.bounding_box() for name, one in (("avatar", avatar), ("title", title))}
    assert at["avatar"] is not None
    assert at["title"] is not None
    assert at["avatar"]["x"] > at["title"]["x"] + at["title"]["width"] - 1
    assert await device.page.evaluate(OUTSIDE) == []
    assert await violations(device.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["schema", "schema/stream"])
async def test_axe_finds_nothing_on_the_pages_of_the_contract(scene: Scene, scheme: str, page: str) -> None:
    device = await scene.page(await scene.context(color_scheme=scheme))
    await device.page.goto(f"{scene.stage.api.url}/{page}")
    assert await violations(device.page) == []
