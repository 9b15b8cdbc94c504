"""The examples with the element, each as its folder has it, in a browser."""

import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.device import RECORDER, Device
from tests.conftest import as_read, installation
from tests.installed import ROOT, installed
from tests.product import Api, Product, eventually
from workbench.embedded import LOOPBACK, EmbeddedServers, free_port
from workbench.processes import Process

EXAMPLES = ROOT / "examples" / "element"
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port() -> int:
    """Of the pages."""
    return free_port()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(
    servers: EmbeddedServers, database: str, port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """An API to which these pages may speak, and a consumer."""
    environment = installation(servers, database, f"test-{secrets.token_hex(6)}")
    environment["BELLWIRE_ALLOWED_ORIGINS"] = f"http://{LOOPBACK}:{port}"
    product = Product(tmp_path_factory.mktemp("frameworks"), environment, as_read(environment))
    try:
        await product.prepare()
        await product.consumer()
        yield await product.api()
    finally:
        await product.stop()


def built(name: str, folder: Path) -> Path:
    """A copy of an example that is built, if it has to be."""
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    package = folder / "package.json"
    if package.exists():
        if (npm := shutil.which("npm")) is None:
            pytest.skip("there is no npm here")
        packages = installed([package], lambda into: _npm_install(npm, package, into))
        (folder / "node_modules").symlink_to(packages / "node_modules")
        subprocess.run([npm, "run", "--silent", "build"], cwd=folder, check=True)
    return folder


def _npm_install(npm: str, package: Path, into: Path) -> list[str]:
    shutil.copy(package, into)
    return [npm, "install", "--prefix", str(into), "--no-audit", "--no-fund", "--no-package-lock"]


@pytest.mark.parametrize("name", ["html", "react-19", "react-18", "vue"])
async def test_a_bell_is_live_and_leaves_the_ways_to_the_page(
    name: str, browser: Browser, api: Api, port: int, tmp_path: Path
) -> None:
    user = f"ada-{secrets.token_hex(4)}"
    environment = {
        **api.product._environment,
        "BELLWIRE_URL": api.url,
        "BELLWIRE_TOKEN_SECRET": api.product.settings.token_secret,
    }
    command = [sys.executable, str(EXAMPLES / "serve.py"), str(built(name, tmp_path / name))]
    process = Process(
        name,
        [*command, "--user", user, "--port", str(port)],
        log=tmp_path / "serve.log",
        environment=environment,
    )
    process.start()
    context = await browser.new_context()
    try:
        await eventually(lambda: "http" in process.log.read_text(), "it serves")
        async with api.client() as http:
            (await http.put(f"/v1/users/{user}", json={"name": "Ada"})).raise_for_status()
            await context.add_init_script(RECORDER)
            page = await context.new_page()
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            device = Device(page)
            await device.go(f"http://{LOOPBACK}:{port}/start")
            body = {"user_id": user, "event": "comment.created", "message": "Hello", "action_url": "/posts/7"}
            (await http.post("/v1/notifications", json=body)).raise_for_status()

        await device.shows(1)
        main = page.get_by_role("main")
        await expect(main).to_have_text("1 arrived since you opened this page. You are at /start.")
        await device.open()
        await device.shows(0)
        await device.rows.get_by_role("heading").locator("a, button").click()
        told = "1 arrived since you opened this page. You are at /posts/7."
        await expect(main).to_have_text(told)
        assert page.url == f"http://{LOOPBACK}:{port}/posts/7"
        assert "signed-out" not in await device.heard("state")
        assert problems == []
    finally:
        await context.close()
        process.stop()
