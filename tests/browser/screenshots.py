"""`make screenshots`: makes docs/images/inbox-{light,dark,phone,rtl}.png."""

import asyncio
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.async_api import async_playwright, expect

from tests.browser.kinds import one_of_each
from tests.browser.stage import PHONE, Scene, Stage
from tests.conftest import as_read, installation
from workbench.chromium import chromium
from workbench.embedded import EmbeddedServers

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WINDOW = {"viewport": {"width": 520, "height": 640}}
PICTURES: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "light": (WINDOW, "en", "ltr"),
    "dark": ({**WINDOW, "color_scheme": "dark"}, "en", "ltr"),
    "phone": (PHONE, "en", "ltr"),
    "rtl": (WINDOW, "ar", "rtl"),
}
"""By name: the browser's options, and the language and direction of the page."""
COLOURS = 128
MINUTES_APART = 47


def main() -> int:
    """Make them. Return 1 where there is no Chromium."""
    if (executable := chromium()) is None:
        print("There is no Chromium here.", file=sys.stderr)
        return 1
    with (
        TemporaryDirectory(prefix="bellwire-screenshots-") as folder,
        EmbeddedServers.start(Path(folder)) as servers,
    ):
        environment = installation(servers, servers.postgres_url, "screenshots")
        asyncio.run(_make(executable, Path(folder), environment))
    return 0


async def _make(executable: str, folder: Path, environment: dict[str, str]) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable)
        async with Stage.built(browser, folder, environment, as_read(environment)) as stage:
            for name in PICTURES:
                async with Scene.begun(stage) as scene:
                    (IMAGES / f"inbox-{name}.png").write_bytes(small(await _picture(scene, name)))
        await browser.close()


async def _picture(scene: Scene, name: str) -> bytes:
    options, lang, direction = PICTURES[name]
    ids = await one_of_each(scene)
    device = await scene.page(await scene.context(**{"reduced_motion": "reduce", **options}))
    await _age(scene, len(ids))
    await device.go(scene.stage.site.page(scene.inbox(), lang=lang, direction=direction))
    await device.open()
    await expect(device.rows).to_have_count(len(ids))
    await scene.producer.mark_read(scene.user, ids[:2])
    for identifier in ids[:2]:
        await device.unread(identifier, is_so=False)
    await device.page.mouse.move(0, 0)
    return await device.page.screenshot()


async def _age(scene: Scene, count: int) -> None:
    """Have them come one after another."""
    for nth, identifier in enumerate(reversed(await scene.stored(count))):
        await scene.stage.stores.postgres.execute(
            "UPDATE notifications SET created_at = created_at - make_interval(mins => $2) WHERE id = $1",
            identifier,
            MINUTES_APART * nth,
        )


def small(png: bytes) -> bytes:
    """The same with few colours."""
    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(made, "png", optimize=True)
    return made.getvalue()


if __name__ == "__main__":
    sys.exit(main())
