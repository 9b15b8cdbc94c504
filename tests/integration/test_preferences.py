"""Categories and preferences with real processes and servers."""

import asyncio
import json
from typing import Any

from tests.integration.test_privacy import bellwire
from tests.product import Product, create_users, eventually
from workbench.local_client import local_client


async def test_a_choice_reaches_both_devices_and_the_one_that_was_away(product: Product) -> None:
    here, there = await asyncio.gather(product.api(), product.api())
    _, text = await bellwire(product, "keys", "create", "settings page", "--scope", "users")
    async with (
        here.client("ada") as ada,
        local_client(base_url=there.url, headers={"X-API-Key": text.strip()}, timeout=30) as by_key,
    ):
        await create_users(ada, ["ada"])
        path = "/v1/users/ada/preferences"
        # By a key, before she was ever there: the category has not been seen either.
        early = await by_key.put(path, json={"categories": {"billing": False}})
        assert (early.status_code, early.json()["preferences_version"]) == (200, 1)
        async with here.follow("ada") as phone, there.follow("ada") as laptop:
            mine = await ada.put(path, json={"categories": {"comment": False, "billing": None}})
            same = await ada.put(path, json={"categories": {"comment": False}})
            await eventually(lambda: laptop.cursor == phone.cursor == mine.json()["cursor"], "both heard")
            assert same.json() == mine.json()
            heard = [[frame for frame in one.frames if frame["type"] == "update"] for one in (phone, laptop)]
            assert heard[0] == heard[1]
            assert [frame["preferences"] for frame in heard[0]] == [{"comment": False, "billing": None}]
            assert not phone.holes
            away = phone.cursor
        await by_key.put(path, json={"categories": {"comment": None}})
        returning = here.follow("ada")
        returning.cursor = away
        async with returning:
            await returning.seen(lambda frame: frame["type"] == "replayed", "the end of the replay")
            replayed = returning.frames[-1]
        assert (replayed["preferences_version"], replayed["cursor"].partition(".")[2]) == (3, "3")
        shown = (await ada.get(path)).json()
        assert (shown["preferences_version"], shown["categories"]) == (3, [])


async def test_operators_set_categories_and_users_see_them(product: Product) -> None:
    api = await product.api()
    made = await bellwire(
        product,
        "categories",
        "set",
        "security",
        "--title",
        "Security",
        "--mandatory",
        "--expires-after",
        "30d",
        "--json",
    )
    _, key = await bellwire(product, "keys", "create", "operator", "--scope", "admin")
    async with (
        api.client("ada") as ada,
        local_client(base_url=api.url, headers={"X-API-Key": key.strip()}, timeout=30) as operator,
    ):
        await create_users(ada, ["ada"])
        put = await operator.put("/v1/categories/digest", json={"default": "off"})
        refused = await ada.put(
            "/v1/users/ada/preferences", json={"categories": {"security": False, "digest": True}}
        )
        chosen = await ada.put("/v1/users/ada/preferences", json={"categories": {"digest": True}})
        listed = (await operator.get("/v1/categories")).json()["items"]

    assert put.status_code == 200, put.text
    security = {
        "id": "security",
        "title": "Security",
        "description": None,
        "mandatory": True,
        "default": "on",
        "expires_after": 2_592_000,
    }
    assert json.loads(made[1]) == security
    assert listed == [put.json(), security]
    assert refused.status_code == 422
    assert [_short(item) for item in chosen.json()["categories"]] == [
        ("digest", True, False, True),
        ("security", True, True, None),
    ]
    await _check_commands(product)


async def _check_commands(product: Product) -> None:
    """What is not given stays; and what was done is in the audit trail."""
    await bellwire(product, "categories", "set", "security", "--title", "", "--no-mandatory")
    _, printed = await bellwire(product, "categories", "list")
    assert [line.split(maxsplit=1) for line in printed.splitlines()] == [
        ["digest", "off"],
        ["security", "on, expires after 30 days"],
    ]
    await bellwire(product, "categories", "set", "security", "--expires-after", "never", "--default", "off")
    _, printed = await bellwire(product, "categories", "list", "--json")
    last = json.loads(printed.splitlines()[-1])
    assert (last["title"], last["default"], last["expires_after"]) == (None, "off", None)
    assert (await bellwire(product, "categories", "set", "Security"))[0] == 1
    _, trail = await bellwire(product, "audit", "--action", "category.set", "--json")
    entries = [json.loads(line) for line in trail.splitlines()]
    assert [entry["target"] for entry in entries] == ["security", "security", "digest", "security"]
    assert {entry["actor_kind"] for entry in entries} == {"cli", "key"}
    _, exported = await bellwire(product, "users", "export", "ada")
    assert json.loads(exported.splitlines()[0])["preferences"] == {"digest": True}


def _short(item: dict[str, Any]) -> tuple[str, bool, bool, bool | None]:
    return item["id"], item["enabled"], item["mandatory"], item["chosen"]
