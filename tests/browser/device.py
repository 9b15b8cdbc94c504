"""A page of a browser with a bell on it, as a person sees it."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from playwright.async_api import Error, Locator, Page, WebSocket, expect

PATIENCE_MS = 30_000.0
"""Nothing takes that long on a machine that is at ease."""
expect.set_options(timeout=PATIENCE_MS)

RECORDER = """
window.heard = [];
window.broken = [];
for (const type of ['open', 'navigate', 'action', 'arrived', 'counts', 'state', 'error'])
  addEventListener(`bellwire-${type}`, (event) => {
    const elements = [...document.querySelectorAll('bellwire-inbox')];
    heard.push({type, nth: elements.indexOf(event.target), detail: event.detail});
  });
addEventListener('securitypolicyviolation', ({violatedDirective, blockedURI, sample}) =>
  broken.push(`${violatedDirective}: ${blockedURI} ${sample}`), true);
"""
"""Keeps the events of all inboxes of the page, and what its policy has forbidden."""

FOCUSED = """() => {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  return {
    tag: found.localName,
    part: found.getAttribute('part') ?? '',
    role: found.getAttribute('role'),
    name: found.getAttribute('aria-label') ?? found.textContent.trim(),
    row: found.closest('[data-id]')?.dataset.id ?? null,
  };
}"""
"""What has the focus, through all shadow roots."""


class Sockets:
    """Those that some pages have opened. One that was cut off is followed by another."""

    def __init__(self, *pages: Page) -> None:
        self._opened: list[tuple[Page, WebSocket]] = []
        self.most = 0
        """How many were open at a time."""
        for page in pages:
            page.on("websocket", partial(self._add, page))

    @property
    def open(self) -> int:
        return sum(not page.is_closed() and not socket.is_closed() for page, socket in self._opened)

    def _add(self, page: Page, socket: WebSocket) -> None:
        self._opened.append((page, socket))
        self.most = max(self.most, self.open)


@dataclass
class Device:
    """An inbox of a page: the first, unless another is meant."""

    page: Page
    nth: int = 0

    @property
    def element(self) -> Locator:
        return self.page.locator("bellwire-inbox").nth(self.nth)

    @property
    def bell(self) -> Locator:
        return self.element.locator("[part~=bell]")

    @property
    def badge(self) -> Locator:
        return self.element.locator("[part~=badge]")

    @property
    def panel(self) -> Locator:
        return self.element.locator("[part~=panel]")

    @property
    def rows(self) -> Locator:
        return self.element.locator("[part~=row]")

    @property
    def pill(self) -> Locator:
        return self.element.locator("[part~=pill]")

    @property
    def announcer(self) -> Locator:
        return self.page.locator("[data-bellwire-announcer]")

    def tab(self, name: str) -> Locator:
        return self.element.get_by_role("tab", name=name)

    def row(self, identifier: str) -> Locator:
        return self.element.locator(f'[part~=row][data-id="{identifier}"]')

    async def go(self, address: str) -> None:
        await self.page.goto(address)
        await self.is_state("online")

    async def heard(self, kind: str) -> list[Any]:
        """The details of this inbox's events of a kind."""
        found: list[Any] = await self.page.evaluate(
            "([type, nth]) => heard.filter(one => one.type === type && one.nth === nth)"
            ".map(one => one.detail)",
            [kind, self.nth],
        )
        return found

    async def is_state(self, state: str) -> None:
        """Wait until the inbox has said that it is in a state."""
        await self.page.wait_for_function(
            "([state, nth]) => {"
            " const told = heard.findLast(one => one.type === 'state' && one.nth === nth);"
            " return told?.detail === state }",
            arg=[state, self.nth],
            timeout=PATIENCE_MS,
        )

    async def open(self) -> None:
        await self.bell.click()
        await expect(self.panel).to_be_visible()

    async def shows(self, count: int) -> None:
        """Wait until the badge has this number; without one there is no badge."""
        if count:
            await expect(self.badge).to_have_text(str(count))
        else:
            await expect(self.badge).to_be_hidden()

    async def lists(self, *ids: str) -> None:
        """Wait until the list is exactly these, from top to bottom."""
        with suppress(Error):
            await self.page.wait_for_function(
                "([nth, ids]) => {"
                " const root = document.querySelectorAll('bellwire-inbox')[nth].shadowRoot;"
                " const rows = [...root.querySelectorAll('[part~=row]')];"
                " return rows.map(row => row.dataset.id).join() === ids }",
                arg=[self.nth, ",".join(ids)],
                timeout=PATIENCE_MS,
            )
        assert await self.ids() == list(ids)

    async def unread(self, identifier: str, *, is_so: bool = True) -> None:
        """Wait until a row is unread, or is not."""
        row = self.row(identifier).and_(self.element.locator("[part~=row-unread]"))
        await expect(row).to_have_count(int(is_so))

    async def ids(self) -> list[str]:
        """Of the rows, from top to bottom."""
        found: list[str] = await self.rows.evaluate_all("rows => rows.map(row => row.dataset.id)")
        return found

    async def focus_on(self, identifier: str) -> None:
        """Give a row the focus."""
        await self.row(identifier).get_by_role("heading").locator("a, button").focus()
        await self.focus_is(row=identifier)

    async def focus(self) -> dict[str, Any]:
        """What has the focus."""
        found: dict[str, Any] = await self.page.evaluate(FOCUSED)
        return found

    async def focus_is(self, **wanted: Any) -> None:
        """Wait until what has the focus is like that."""
        with suppress(Error):
            await self.page.wait_for_function(
                f"wanted => {{ const found = ({FOCUSED})();"
                " return Object.entries(wanted).every(([name, value]) => found[name] === value) }",
                arg=wanted,
                timeout=PATIENCE_MS,
            )
        found = await self.focus()
        assert {name: found[name] for name in wanted} == wanted, found

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)
