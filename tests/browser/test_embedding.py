"""What docs/embedding.md shows, on a page of another origin with a strict policy and Trusted Types."""

import asyncio
import json
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.device import Device, Sockets
from tests.browser.stage import Scene
from tests.papers import blocks

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = """<!doctype html><html lang="{lang}"><meta charset="utf-8"><title>Mine</title>
<link rel="icon" href="data:,">{head}{body}"""
LANGUAGES = {
    "ar": ("الإشعارات، إشعاران جديدان", "الكل", "rtl"),
    "de": ("Benachrichtigungen, 2 neu", "Alle", "ltr"),
    "es": ("Notificaciones, 2 nuevas", "Todas", "ltr"),
    "fr": ("Notifications, 2 nouvelles", "Toutes", "ltr"),
    "ja": ("通知、新着2件", "すべて", "ltr"),
    "pt": ("Notificações, 2 novas", "Todas", "ltr"),
}


def shown(start: str) -> str:
    """The block of docs/embedding.md that begins like this."""
    (found,) = [
        block.code
        for block in blocks("html", "css")
        if block.place.startswith("docs/embedding.md:") and block.code.startswith(start)
    ]
    return found


def of(scene: Scene, code: str) -> str:
    """A block with the addresses and the user of a test."""
    site = scene.stage.site
    return (
        code.replace("https://bell.example", site.service)
        .replace('"/my-token"', f'"/token?user={scene.user}"')
        .replace('"ada"', f'"{scene.user}"')
    )


async def visit(scene: Scene, body: str, head: str = "", lang: str = "en", **policy: str) -> Device:
    """A page of the site with what is given in it."""
    site, device = scene.stage.site, await scene.page(await scene.context())
    rules = {**dict(rule.strip().split(" ", 1) for rule in site.policy.split(";")), **policy}
    path = f"/mine/{scene.user}/{len(site.written)}"
    site.written[path] = (
        "; ".join(map(" ".join, rules.items())),
        PAGE.format(head=head, body=body, lang=lang),
    )
    await device.page.goto(site.origin + path)
    return device


def element(scene: Scene, name: str, **attributes: str) -> str:
    """An element other than the inbox."""
    return scene.inbox(**attributes).replace("bellwire-inbox", name)


def script(scene: Scene) -> str:
    return f'<script type="module" src="{scene.stage.site.service}/element/v1.js"></script>'


async def test_the_two_lines_are_enough(scene: Scene) -> None:
    lines = shown('<script type="module" src="https://bell.example/element/v1.js">')
    assert len(lines.splitlines()) == 2
    device = await visit(scene, of(scene, lines))
    await device.is_state("online")
    identifier = await scene.publish()
    await device.shows(1)
    await device.open()
    await device.lists(identifier)
    await device.shows(0)


async def test_what_is_demanded_by_its_integrity_runs_and_nothing_else(scene: Scene) -> None:
    async with scene.stage.api.client() as client:
        listed = (await client.get("/element")).json()
    name, integrity = listed["module"], listed["integrity"][listed["module"]]
    address = f"{scene.stage.site.service}/element/{name}"
    good = f'<script type="module" crossorigin src="{address}" integrity="{integrity}"></script>'
    bad = good.replace(integrity, f"sha384-{'A' * 64}")

    device = await visit(scene, good + scene.inbox())
    await device.is_state("online")
    await scene.publish()
    await device.shows(1)
    await device.open()

    other = await visit(scene, bad + scene.inbox())
    await other.page.wait_for_load_state("load")
    assert not await other.page.evaluate("!!customElements.get('bellwire-inbox')")
    scene.problems.clear()  # the browser has said so in the console


async def test_a_page_with_both_names_of_the_module_has_one_store(scene: Scene) -> None:
    async with scene.stage.api.client() as client:
        name = (await client.get("/element")).json()["module"]
    both = script(scene) + script(scene).replace("v1.js", name)
    device = await visit(scene, both + scene.inbox())
    await device.is_state("online")  # else its socket may open while the page is being reloaded
    sockets = Sockets(device.page)
    await device.page.reload()
    await device.is_state("online")
    await scene.publish()
    await device.shows(1)
    assert (sockets.open, sockets.most) == (1, 1)


async def test_nothing_moves_when_the_bell_is_defined(scene: Scene) -> None:
    style, service = shown("bellwire-inbox:not"), scene.stage.site.service
    policy = {"style-src": f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"}
    device = await visit(scene, script(scene) + scene.inbox(), head=f"<style>{style}</style>", **policy)
    go_on = asyncio.Event()

    async def late(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    await device.page.route(f"{service}/element/v1.js", late)
    await device.page.reload(wait_until="commit")
    await expect(device.element).to_be_visible()
    before = await device.element.bounding_box()
    go_on.set()
    await device.is_state("online")

    assert before is not None
    assert await device.element.bounding_box() == before


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_it_speaks_the_language_of_the_page(scene: Scene, lang: str) -> None:
    bell, tab, direction = LANGUAGES[lang]
    for message in ("First", "Second"):
        await scene.publish(message)
    device = await visit(scene, script(scene) + scene.inbox(locale=lang), lang=lang)
    await device.is_state("online")
    await expect(device.bell).to_have_accessible_name(bell)
    await device.open()
    await expect(device.element.get_by_role("tab").first).to_contain_text(tab)
    assert await device.panel.evaluate("panel => getComputedStyle(panel).direction") == direction


async def test_every_plural_form_of_arabic_is_chosen(scene: Scene) -> None:
    """By the rules of the browser: 0, 1, 2, 3 to 10, 11 to 99, and the hundreds."""
    device = await visit(scene, script(scene))
    rules = await device.page.evaluate("[0, 1, 2, 5, 11, 100].map(n => new Intl.PluralRules('ar').select(n))")
    assert rules == ["zero", "one", "two", "few", "many", "other"]


async def test_a_badge_has_a_number_for_the_eye_and_words_for_the_ear(scene: Scene) -> None:
    badges = [element(scene, "bellwire-badge"), element(scene, "bellwire-badge", badge="unread")]
    body = "".join(f'<p><a href="#inbox{nth}">Inbox {one}</a></p>' for nth, one in enumerate(badges))
    device = await visit(scene, f"<main><h1>Mine</h1>{script(scene)}{body}{scene.inbox()}</main>")
    await device.is_state("online")
    unseen, unread = (device.page.locator(f'a[href="#inbox{nth}"]') for nth in (0, 1))
    await expect(unseen).to_have_accessible_name("Inbox")

    for message in ("First", "Second"):
        await scene.publish(message)
    for link, words in ((unseen, "Inbox 2 new"), (unread, "Inbox 2 unread")):
        await expect(link).to_have_accessible_name(words)
        await expect(link.locator("[part=badge]")).to_have_text("2")
    assert await complaints(device.page) == ""

    await device.open()
    await expect(unseen).to_have_accessible_name("Inbox")
    await expect(unread).to_have_accessible_name("Inbox 2 unread")


async def complaints(page: Page) -> str:
    """What axe finds wrong with a page."""
    results = await Axe().run(page)
    return str(results.generate_report()) if results.violations_count else ""


# --- preferences ---


def switch(device: Device, name: str) -> Locator:
    return device.page.locator("bellwire-preferences").get_by_role("switch", name=name, exact=True)


async def preferring(scene: Scene) -> Device:
    device = await visit(
        scene, f"<main><h1>Mine</h1>{script(scene)}{element(scene, 'bellwire-preferences')}</main>"
    )
    await expect(switch(device, "Invoices")).to_be_visible()
    return device


async def categories(scene: Scene) -> None:
    async with scene.stage.api.client() as client:
        for name, body in {
            "billing": {"title": "Invoices", "description": "When an invoice is ready"},
            "news": {"title": "News", "default": "off"},
            "security": {"title": "Security", "mandatory": True},
        }.items():
            (await client.put(f"/v1/categories/{name}", json=body)).raise_for_status()


async def chosen(scene: Scene) -> dict[str, Any]:
    """What the service has of the user's choices."""
    async with scene.stage.api.client() as client:
        answer = await client.get(f"/v1/users/{scene.user}/preferences")
    return {one["id"]: one["chosen"] for one in answer.json()["categories"] if one["chosen"] is not None}


async def test_a_user_chooses_and_every_device_follows(scene: Scene) -> None:
    await categories(scene)
    here, there = await asyncio.gather(preferring(scene), preferring(scene))
    await expect(switch(here, "Invoices")).to_be_checked()
    await expect(switch(here, "News")).not_to_be_checked()
    await expect(switch(here, "Invoices")).to_have_accessible_description("When an invoice is ready")

    await switch(here, "Invoices").focus()
    await here.press("Space")
    await switch(here, "News").click()
    for device in (here, there):
        await expect(switch(device, "Invoices")).not_to_be_checked()
        await expect(switch(device, "News")).to_be_checked()
    assert await chosen(scene) == {"billing": False, "news": True}
    await expect(switch(here, "News")).to_be_focused()


async def test_what_is_mandatory_is_shown_with_the_reason(scene: Scene) -> None:
    await categories(scene)
    device = await preferring(scene)
    await expect(switch(device, "Security")).to_be_checked()
    await expect(switch(device, "Security")).to_be_disabled()
    await expect(switch(device, "Security")).to_have_accessible_description("Required, cannot be turned off")
    assert await complaints(device.page) == ""
    # The page itself stays white.
    await device.page.emulate_media(color_scheme="dark")
    assert await complaints(device.page) == ""


async def test_a_choice_is_shown_at_once_and_taken_back_if_it_is_refused(scene: Scene) -> None:
    await categories(scene)
    device = await preferring(scene)
    answers: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def refuse(route: Route) -> None:
        if route.request.method != "PUT":
            await route.fallback()
            return
        await answers
        problem = {"type": "urn:bellwire:problem:not-allowed", "detail": "Not today", "status": 403}
        allowed = {"Access-Control-Allow-Origin": scene.stage.site.origin}
        await route.fulfill(
            status=403, headers=allowed, content_type="application/problem+json", body=json.dumps(problem)
        )

    await device.page.route("**/preferences", refuse)
    await switch(device, "Invoices").click()
    await expect(switch(device, "Invoices")).not_to_be_checked()
    answers.set_result(None)
    await expect(switch(device, "Invoices")).to_be_checked()
    await expect(switch(device, "Invoices")).to_have_accessible_description(re.compile("nothing was changed"))
    assert await chosen(scene) == {}
    assert await complaints(device.page) == ""

    await device.page.unroute("**/preferences")
    await switch(device, "Invoices").click()
    await expect(switch(device, "Invoices")).to_have_accessible_description("When an invoice is ready")


async def test_preferences_that_cannot_be_loaded_are_asked_for_again(scene: Scene) -> None:
    await categories(scene)
    context = await scene.context()
    device = await scene.page(context)
    allowed = {"Access-Control-Allow-Origin": scene.stage.site.origin}
    await context.route("**/preferences", lambda route: route.fulfill(status=500, headers=allowed))
    # When the feed comes online it asks once more by itself: that must be over.
    await device.go(scene.stage.site.page(element(scene, "bellwire-preferences"), scene.inbox()))
    again = device.page.locator("bellwire-preferences").get_by_role("button", name="Try again")
    await expect(again).to_be_visible()
    await context.unroute("**/preferences")
    await again.click()
    await expect(switch(device, "Invoices")).to_be_visible()
