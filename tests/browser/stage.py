"""What the tests of this folder share, and what each has of it for itself."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

from bellwire_client import Bellwire
from entrypoints.settings import Settings
from tests.browser.device import RECORDER, Device
from tests.browser.site import Site, serving
from tests.product import Api, Product, Service, Stores, eventually
from workbench.embedded import free_port
from workbench.soak.stores import Row

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1000, "height": 800}}
EXPECTED = ("Failed to load resource", "WebSocket connection to")
"""What a browser itself says in the console when something cannot be reached, which tests bring about."""


@dataclass
class Stage:
    """An API, a consumer, a site with bells on it, and a browser."""

    browser: Browser
    product: Product
    api: Api
    consumer: Service
    site: Site
    stores: Stores

    @classmethod
    @asynccontextmanager
    async def built(
        cls, browser: Browser, folder: Path, environment: Mapping[str, str], settings: Settings
    ) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            port = free_port()
            chosen = {
                "BELLWIRE_ALLOWED_ORIGINS": Site.origin_at(port),
                # Otherwise a token that the site signs within a minute after a revocation is revoked too.
                "BELLWIRE_TOKEN_SKEW_SECONDS": "0",
            }
            product = Product(folder, {**environment, **chosen}, settings)
            stack.push_async_callback(product.stop)
            await product.prepare(frozenset({"publish", "users", "admin"}))
            api, consumer = await product.api(), await product.consumer()
            site = Site(api.url, settings.token_secret, port)
            stack.enter_context(serving(site))
            stores = await stack.enter_async_context(Stores.open(settings))
            yield cls(browser, product, api, consumer, site, stores)


@dataclass
class Scene:
    """A user whom nobody else has, and the devices of that user."""

    stage: Stage
    producer: Bellwire
    user: str
    problems: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def begun(cls, stage: Stage) -> AsyncIterator[Self]:
        user = f"ada-{secrets.token_hex(4)}"
        token = stage.product.token(user)
        async with Bellwire(stage.api.url, token=token, api_key=stage.product.api_key) as producer:
            await producer.put_user(user, "Ada")
            scene = cls(stage, producer, user)
            try:
                yield scene
                await scene.check()
            finally:
                for context in scene.contexts:
                    await context.close()

    async def check(self) -> None:
        """Nothing has thrown, and the policy of the site forbade nothing."""
        for page in self.pages:
            if not page.is_closed():
                self.problems += await page.evaluate("broken")
        assert self.problems == []

    async def publish(self, message: str = "Hello", *, event: str = "comment.new", **more: Any) -> str:
        """Publish one to the user; return its id."""
        return await self.producer.publish(self.user, event, message, **more)

    @property
    def asked(self) -> int:
        """How often the site was asked for a token."""
        return self.stage.site.asked.count(self.user)

    async def revoke_tokens(self) -> None:
        """End all sessions of the user."""
        async with self.stage.api.client() as client:
            (await client.post(f"/v1/users/{self.user}/revoke-tokens")).raise_for_status()

    async def rows(self) -> list[Row]:
        """What PostgreSQL has of the user, oldest first."""
        return sorted(row for row in await self.stage.stores.rows() if row.user == self.user)

    async def column(self, name: str, values: list[Any]) -> bool:
        """Whether the rows have these values, oldest first."""
        return [getattr(row, name) for row in await self.rows()] == values

    async def is_read(self, *ids: str) -> bool:
        """Whether just these are read."""
        return {row.id for row in await self.rows() if row.times["read_at"]} == set(ids)

    async def stored(self, count: int) -> list[str]:
        """Wait until the user's list has so many. Return their ids, oldest first."""

        async def listed() -> list[str]:
            page = await self.producer.notifications(self.user, status="all")
            return sorted(item.id for item in page.items)

        async def are() -> bool:
            return len(await listed()) == count

        await eventually(are, f"{count} are stored")
        return await listed()

    async def fill(self, count: int) -> list[str]:
        """Store so many. Return their ids, oldest first."""
        items = [
            {"user_id": self.user, "event": "load.sent", "message": f"Number {nth}"} for nth in range(count)
        ]
        async with self.stage.api.client() as client:
            answer = await client.post("/v1/notifications/batch", json={"items": items})
            answer.raise_for_status()
        stored = "SELECT count(*) FROM notifications WHERE user_id = $1"

        async def all_are_stored() -> bool:
            return bool(await self.stage.stores.postgres.fetchval(stored, self.user) == count)

        await eventually(all_are_stored, f"{count} are stored")
        return sorted(result["id"] for result in answer.json()["results"])

    async def agrees(self) -> bool:
        """Whether the index in Redis says of the user what PostgreSQL has."""
        found = await self.stage.stores.disagreements()
        return not any(words.startswith(self.user) for words in found)

    async def context(self, **options: Any) -> BrowserContext:
        """A browser of its own: nothing is shared with another one."""
        context = await self.stage.browser.new_context(**{**DESK, **options})
        self.contexts.append(context)
        await context.add_init_script(RECORDER)
        return context

    async def page(self, context: BrowserContext) -> Device:
        """Another tab."""
        page = await context.new_page()
        self.pages.append(page)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._console)
        return Device(page)

    async def device(self, *, options: Mapping[str, Any] | None = None, **attributes: str) -> Device:
        """A browser with a page of the site, online."""
        device = await self.page(await self.context(**(options or {})))
        await device.go(self.stage.site.page(self.inbox(**attributes)))
        return device

    def inbox(self, **attributes: str) -> str:
        """The element of the user."""
        return self.stage.site.inbox(self.user, **attributes)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED):
            self.problems.append(message.text)
