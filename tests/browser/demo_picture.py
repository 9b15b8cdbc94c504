"""`python -m tests.browser.demo_picture`: makes docs/images/demo.png, the page of the demo in use."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Page, ViewportSize, async_playwright, expect

from tests.browser.demo import with_demo
from tests.browser.device import RECORDER, Device
from tests.browser.screenshots import IMAGES, small
from tests.conftest import installation
from workbench.chromium import chromium
from workbench.embedded import EmbeddedServers

WINDOW: ViewportSize = {"width": 1280, "height": 930}


def main() -> int:
    """Make it. Return 1 where there is no Chromium."""
    if (executable := chromium()) is None:
        print("There is no Chromium here.", file=sys.stderr)
        return 1
    with (
        TemporaryDirectory(prefix="bellwire-picture-") as folder,
        EmbeddedServers.start(Path(folder)) as servers,
    ):
        environment = installation(servers, servers.postgres_url, "picture")
        (IMAGES / "demo.png").write_bytes(asyncio.run(_picture(executable, Path(folder), environment)))
    return 0


async def _picture(executable: str, folder: Path, environment: dict[str, str]) -> bytes:
    async with async_playwright() as playwright, with_demo(folder, environment) as api:
        browser = await playwright.chromium.launch(executable_path=executable)
        page = await browser.new_page(viewport=WINDOW, reduced_motion="reduce")
        await page.add_init_script(RECORDER)
        await page.goto(f"{api.url}/")
        await _use(page, Device(page, 0), Device(page, 1))
        png = await page.screenshot()
        await browser.close()
    return small(png)


async def _use(page: Page, demo: Device, grace: Device) -> None:
    for bell in (demo, grace):
        await bell.is_state("online")
    await page.get_by_role("radio", name="Demo").check()
    await _press(page, "With an image", "Deploy failed")
    await demo.shows(2)
    await demo.open()
    await _press(page, "Publish", "Approve expense")
    await expect(demo.rows).to_have_count(4)
    await page.get_by_role("radio", name="Grace").check()
    await _press(page, "With an image", "5 likes")
    await grace.open()
    await expect(grace.rows.filter(has_text="and 4 others")).to_have_count(1)
    await grace.bell.click()
    await _press(page, "Publish")
    await grace.shows(1)
    await grace.open()
    await expect(page.locator("[data-stage=seen] time")).not_to_be_empty()
    await grace.rows.first.get_by_role("button", name="Mark as read").click()
    await expect(page.locator("[data-stage=read] time")).not_to_be_empty()
    await page.mouse.move(0, 0)


async def _press(page: Page, *names: str) -> None:
    """Publish these one after another."""
    for name in names:
        await page.get_by_role("button", name=name).click()
        await expect(page.locator("[data-stage=pushed] time")).not_to_be_empty()


if __name__ == "__main__":
    sys.exit(main())
