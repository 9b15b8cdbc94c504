"""One browser and one product for all tests of the folder; a user and contexts of its own for each test."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.stage import Scene, Stage
from tests.conftest import Databases, as_read, installation
from workbench.chromium import chromium
from workbench.embedded import EmbeddedServers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The Chromium of this machine."""
    if (executable := chromium()) is None:
        pytest.skip("there is no Chromium here")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=executable)
        yield launched
        await launched.close()


@pytest.fixture(scope="session")
def database(databases: Databases, template: str) -> Iterator[str]:
    url = databases.create(template=template)
    yield url
    databases.drop(url)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(
    browser: Browser, servers: EmbeddedServers, database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    environment = installation(servers, database, f"test-{secrets.token_hex(6)}")
    folder = tmp_path_factory.mktemp("browser")
    async with Stage.built(browser, folder, environment, as_read(environment)) as built:
        yield built


@pytest_asyncio.fixture(loop_scope="session")
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    async with Scene.begun(stage) as begun:
        yield begun
