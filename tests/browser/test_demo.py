"""The page of the demo: two users, their bells, a form, and the stages of what is published."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from entrypoints.demo_users import DEMO_USERS
from tests.browser.demo import with_demo
from tests.browser.device import RECORDER, Device
from tests.browser.test_access import violations
from tests.conftest import installation
from tests.product import Api
from workbench.embedded import EmbeddedServers

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIDE = {"viewport": {"width": 1280, "height": 900}}
NARROW = {"viewport": {"width": 320, "height": 640}}
SINCE = re.compile(r"\+\d+(\.\d)? m?s")
PUSHED = ("accepted", "stored", "indexed", "pushed")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(
    servers: EmbeddedServers, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    environment = installation(servers, database, "demo-page")
    async with with_demo(tmp_path_factory.mktemp("demo"), environment) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="session")
async def empty(demo: Api) -> None:
    """Nothing is in the feeds."""
    for user in DEMO_USERS:
        async with demo.client(user) as client:
            cursor = (await client.get(f"/v1/users/{user}/counts")).json()["cursor"]
            done = await client.post(f"/v1/users/{user}/notifications/archive", json={"up_to": cursor})
            done.raise_for_status()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, demo: Api, empty: None) -> AsyncIterator[Page]:  # noqa: ARG001 - in this order
    async with opened(browser, demo, **WIDE) as page:
        yield page


@asynccontextmanager
async def opened(browser: Browser, demo: Api, **options: Any) -> AsyncIterator[Page]:
    """The page with both bells online. In the end nothing has thrown, and its policy forbade nothing."""
    problems: list[str] = []
    context = await browser.new_context(**options)
    await context.add_init_script(RECORDER)
    page = await context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(f"{demo.url}/")
    for bell in bells(page):
        await bell.is_state("online")
    yield page
    assert [*problems, *await page.evaluate("broken")] == []
    await context.close()


def bells(page: Page) -> tuple[Device, Device]:
    """Those of Demo and of Grace."""
    return Device(page, 0), Device(page, 1)


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name).click()


async def reaches(page: Page, *stages: str) -> None:
    """Wait until the page shows when the notification reached these stages."""
    for stage in stages:
        time = page.locator(f"[data-stage={stage}] time")
        await expect(time).to_have_text(SINCE)


async def has_not_reached(page: Page, stage: str) -> None:
    await expect(page.locator(f"[data-stage={stage}]")).not_to_have_class("reached")


async def test_what_the_form_publishes_reaches_the_bell_of_its_user_everywhere(
    browser: Browser, demo: Api, page: Page
) -> None:
    async with opened(browser, demo, **NARROW) as elsewhere:
        await page.get_by_role("radio", name="Demo").check()
        await page.get_by_label("Title").fill("From the form")
        await press(page, "Publish")

        for of_demo, of_grace in (bells(page), bells(elsewhere)):
            await of_demo.shows(1)
            await expect(of_grace.badge).to_be_empty()
        of_demo, _ = bells(elsewhere)
        await of_demo.open()
        await expect(of_demo.rows.first).to_contain_text("From the form")
        await reaches(page, "seen")
        await bells(page)[0].shows(0)


async def test_the_stages_of_what_was_published_appear_as_it_reaches_them(page: Page) -> None:
    _, grace = bells(page)
    await press(page, "Deploy failed")
    await reaches(page, *PUSHED)
    await expect(page.locator("#followed")).to_have_text("“Deploy failed” to Grace")
    await has_not_reached(page, "seen")

    await grace.open()
    await reaches(page, "seen")
    await has_not_reached(page, "read")

    await grace.rows.first.get_by_role("button", name="Mark as read").click()
    await reaches(page, "read")


async def test_the_stages_of_what_others_publish_appear_too(demo: Api, page: Page) -> None:
    async with demo.client() as client:
        body = {"user_id": "demo", "event": "comment.created", "title": "From elsewhere", "message": "Hello"}
        (await client.post("/v1/notifications", json=body)).raise_for_status()

    await reaches(page, *PUSHED)
    await expect(page.locator("#followed")).to_have_text("“From elsewhere” to Demo")


async def test_what_the_page_says_to_run_in_a_terminal_publishes_the_same(page: Page) -> None:
    _, grace = bells(page)
    await page.get_by_label("Title").fill("It's from a 'terminal'")
    await page.get_by_label("Message").fill("One\nTwo \\n $HOME")

    shell = await asyncio.create_subprocess_shell(
        await page.locator("#curl").inner_text(), stdout=-1, stderr=-1
    )
    await shell.communicate()

    await grace.shows(1)
    await grace.open()
    await expect(grace.rows.first).to_contain_text("It's from a 'terminal'")
    await expect(grace.rows.first).to_contain_text("Two \\n $HOME")


async def test_five_likes_become_one_row_and_an_expense_can_be_approved(page: Page) -> None:
    _, grace = bells(page)
    await press(page, "5 likes")
    await press(page, "Approve expense")
    await grace.shows(2)
    await grace.open()

    await expect(grace.rows).to_have_count(2)
    await expect(grace.rows.filter(has_text="and 4 others")).to_have_count(1)
    await grace.rows.filter(has_text="expense").get_by_role("button", name="Approve", exact=True).click()
    await expect(grace.rows.filter(has_text="Unread")).to_have_count(1)


async def test_both_bells_stay_open_until_escape_closes_one(page: Page) -> None:
    demo, grace = bells(page)
    await demo.open()
    await grace.open()
    await expect(demo.panel).to_be_visible()

    await page.keyboard.press("Escape")

    await expect(grace.panel).to_be_hidden()
    await expect(demo.panel).to_be_visible()
    await grace.focus_is(part="bell")


async def test_what_the_service_refuses_is_said(page: Page) -> None:
    await page.get_by_label("Event").fill("Not an event")
    await press(page, "Publish")

    await expect(page.get_by_role("alert")).to_contain_text("event")
    await expect(page.locator("#stages time").first).to_be_hidden()


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    browser: Browser, demo: Api, scheme: str, options: dict[str, Any]
) -> None:
    async with opened(browser, demo, color_scheme=scheme, **options) as shown:
        _, grace = bells(shown)
        for name in ("5 likes", "Deploy failed", "Approve expense", "With an image"):
            await press(shown, name)
        await reaches(shown, *PUSHED)
        assert not await violations(shown)
        await grace.open()
        await expect(grace.rows).to_have_count(4)
        assert not await violations(shown)
        assert await shown.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"]
