"""The whole product, through its own HTTP and sockets."""

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from examples import github_webhooks
from tests.load import for_a_moment
from tests.product import Api, Follower, Product, Stores, create_users, eventually
from workbench.local_client import local_client
from workbench.soak.follower import version

END_SECONDS = 60  # it takes less than 10 where nothing else runs


@pytest.fixture
async def api(product: Product) -> Api:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    return api


async def publish(client: httpx.AsyncClient, user: str, message: str, **fields: Any) -> str:
    body = {"user_id": user, "event": "test.sent", "message": message, **fields}
    response = await client.post("/v1/notifications", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def test_real_deliveries_reach_two_sockets_a_user_and_every_store(api: Api, stores: Stores) -> None:
    report = await github_webhooks.run(api.url, api.product.api_key)

    assert report.published == 329
    assert not report.problems
    assert len(await stores.ids()) == len(set(await stores.ids())) == 329
    assert not await stores.broken_feeds()
    assert not await stores.disagreements()


async def test_what_one_device_reads_the_other_sees_in_the_same_order_on_another_node(
    product: Product, api: Api
) -> None:
    other = await product.api()
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada") as phone, other.follow("ada") as laptop:
            ids = [await publish(client, "ada", f"message {n}") for n in range(5)]
            await eventually(lambda: len(laptop.created) == len(phone.created) == 5, "both have five")
            await phone.send(type="read", ids=[ids[0]], ref="first")
            await laptop.send(type="archive", ids=[ids[1]], ref="second")
            await phone.seen(lambda frame: frame.get("ref") == "first", "its answer")
            await laptop.seen(lambda frame: frame.get("ref") == "second", "its answer")
            # Five are new, two were marked; the answers may come before the frames.
            await eventually(
                lambda: [version(one.cursor or "") for one in (phone, laptop)] == [7, 7], "both heard"
            )

            # Not by the same frames: where the mark of the other node comes first, both are caught up with.
            assert phone.items == laptop.items
            assert list(phone.items) == ids
            assert {phone.items[one]["version"] for one in ids[:2]} == {6, 7}
            assert [phone.items[one]["version"] for one in ids[2:]] == [3, 4, 5]
            marked = [phone.items[ids[0]]["read_at"], phone.items[ids[1]]["archived_at"]]
            assert None not in marked
            for device in (phone, laptop):
                assert (device.holes, device.miscounted, device.turned_back) == ([], [], [])


async def test_nobody_sees_what_is_another_users(api: Api) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada", "eve"])
        async with api.follow("ada") as ada, api.follow("eve") as eve:
            mine = await publish(client, "ada", "for ada alone")
            await eventually(lambda: mine in ada.items, "ada has hers")
            await publish(client, "eve", "for eve")
            await eventually(lambda: eve.items, "eve has hers")

            assert mine not in eve.items
        async with api.client("eve") as stranger:
            listing = await stranger.get("/notifications/ada")
            reading = await stranger.patch(f"/notifications/ada/{mine}/read")
            foreign = await stranger.patch(f"/notifications/eve/{mine}/read")
        assert (listing.status_code, reading.status_code, foreign.status_code) == (403, 403, 404)
        assert (await client.get("/notifications/ada")).json()["unread_count"] == 1


async def _unread(client: httpx.AsyncClient, user: str, count: int) -> bool:
    response = await client.get(f"/v1/users/{user}/unread-count")
    return bool(response.json()["unread_count"] == count)


async def test_a_client_that_was_away_resumes_by_cursor(api: Api) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada") as device:
            first = await publish(client, "ada", "seen live")
            await eventually(lambda: first in device.items, "it came live")
        missed = [await publish(client, "ada", f"missed {n}") for n in range(250)]
        await eventually(lambda: _unread(client, "ada", 251), "all are stored")
        await client.patch(f"/notifications/ada/{first}/read")

        resumed = api.follow("ada")
        resumed.cursor = device.cursor
        async with resumed:
            await resumed.seen(lambda frame: frame["type"] == "replayed", "the end of the replay")

            assert set(missed) <= set(resumed.items)
            assert resumed.items[first]["read_at"] is not None
            assert not resumed.holes
            pages = [frame for frame in resumed.frames if frame["type"] == "notifications"]
            assert [page["replay"] for page in pages] == [True, True]


async def test_on_an_auto_view_delivery_is_viewing(api: Api) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada", query="view=auto") as screen:
            viewed = await publish(client, "ada", "look")
            await eventually(lambda: screen.items.get(viewed, {}).get("read_at"), "it was read")

            assert list(screen.items) == [viewed]
            assert screen.unread_count == 0
        assert (await client.get("/notifications/ada")).json()["items"] == []


async def test_an_expired_notification_is_taken_back_everywhere(api: Api) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada") as device:
            identifier = await for_a_moment(partial(publish, client, "ada", "only for a moment"), device)
            # On a busy machine others were published before it, which expired too soon.
            await eventually(lambda: _is_all_retracted(device), "all are taken back")

            assert device.items[identifier]["retracted_at"]
            assert device.unread_count == 0
            assert (device.holes, device.miscounted) == ([], [])


def _is_all_retracted(device: Follower) -> bool:
    return all(item["retracted_at"] is not None for item in device.items.values())


async def test_what_was_snoozed_comes_back_unread_and_unseen_on_both_devices(
    product: Product, api: Api
) -> None:
    other = await product.api()
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        async with api.follow("ada") as phone, other.follow("ada") as laptop:
            identifier = await publish(client, "ada", "not now")
            await eventually(lambda: identifier in phone.items and identifier in laptop.items, "it came")
            await phone.send(type="read", ids=[identifier])
            both = (phone, laptop)
            await eventually(lambda: all(one.items[identifier]["read_at"] for one in both), "it is read")
            assert [one.unread_count for one in both] == [0, 0]
            await eventually(lambda: _snoozed(phone, identifier), "it is snoozed")
            await eventually(lambda: all(one.items[identifier]["woken_at"] for one in both), "it is back")

            assert phone.items == laptop.items
            for one in both:
                assert one.woken == {identifier: 1}
                assert one.revived == one.unseen == {identifier}
                assert _counts(one) == (1, 1)
                assert (one.holes, one.miscounted) == ([], [])
        (item,) = (await client.get("/v1/users/ada/notifications")).json()["items"]
        assert (item["id"], item["read_at"], item["seen_at"]) == (identifier, None, None)
        assert item["woken_at"] == phone.items[identifier]["woken_at"]
        assert "snoozed_until" not in item


def _counts(device: Follower) -> tuple[int, int]:
    """How many are unread and unseen, as it was told last."""
    told = [frame for frame in device.frames if "unseen_count" in frame][-1]
    return told["unread_count"], told["unseen_count"]


async def _snoozed(device: Follower, identifier: str) -> bool:
    """Snooze for little more than the least, a second. On a busy machine that may come too late."""
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    answer = await device.ask(type="snooze", ids=[identifier], until=soon.isoformat())
    return bool(answer["type"] == "ok")


async def test_the_same_key_and_body_are_one_notification(api: Api, stores: Stores) -> None:
    body = {"user_id": "ada", "event": "paid", "message": "You were paid."}
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        keyed = {"Idempotency-Key": "order-7"}
        answers = [await client.post("/createNotification", json=body, headers=keyed) for _ in range(3)]
        other = await client.post("/createNotification", json=body | {"message": "Not."}, headers=keyed)
        await publish(client, "ada", "after them")
        await eventually(lambda: _unread(client, "ada", 2), "both are stored")

        assert len({answer.json()["id"] for answer in answers}) == 1
        assert other.status_code == 422
        assert other.json()["type"].endswith("key-reused")
        assert await stores.count() == 2


def _deep() -> bytes:
    metadata = b'{"a":' * 2000 + b"1" + b"}" * 2000
    return b'{"user_id":"ada","event":"e","message":"m","metadata":' + metadata + b"}"


HOSTILE = {
    "not JSON": (b"{", 400),
    "another encoding": ('{"user_id":"ada","event":"e","message":"ä"}'.encode("latin-1"), 400),
    "a list": (b"[]", 422),
    "a missing field": (b'{"user_id":"ada","event":"e"}', 422),
    "an unknown field": (b'{"user_id":"ada","event":"e","message":"m","id":"x"}', 422),
    "an unknown user": (b'{"user_id":"nobody","event":"e","message":"m"}', 404),
    "NUL inside a string": (b'{"user_id":"ada","event":"e","message":"a\\u0000b"}', 422),
    "NUL inside metadata": (b'{"user_id":"ada","event":"e","message":"m","metadata":{"k":["\\u0000"]}}', 422),
    "half a surrogate pair": (b'{"user_id":"ada","event":"e","message":"\\ud800"}', 400),
    "2,000 levels": (_deep(), 400),
    "2 MB": (b'{"user_id":"ada","event":"e","message":"' + b"m" * 2_000_000 + b'"}', 413),
    "a script link": (b'{"user_id":"ada","event":"e","message":"m","action_url":"javascript:a()"}', 422),
}


async def test_a_bad_body_gets_a_clear_problem(product: Product) -> None:
    api = await product.api()
    async with api.client() as client:
        await create_users(client, ["ada"])
        headers = {"content-type": "application/json"}
        answers = {
            name: await client.post("/v1/notifications", content=body, headers=headers)
            for name, (body, _) in HOSTILE.items()
        }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        name: status for name, (_, status) in HOSTILE.items()
    }
    for answer in answers.values():
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["detail"]


async def test_without_or_with_the_wrong_credentials_nothing_opens(product: Product) -> None:
    api = await product.api()
    body = json.dumps({"user_id": "ada", "event": "e", "message": "m"})
    async with local_client(base_url=api.url) as nobody:
        wrong_key = {"X-API-Key": "bw_live_0123456789ab_wrong"}
        answers = [
            await nobody.post("/v1/notifications", content=body),
            await nobody.post("/v1/notifications", content=body, headers=wrong_key),
            await nobody.get("/notifications/ada"),
            await nobody.get("/notifications/ada", headers={"Authorization": "Bearer no.such.token"}),
        ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert all(answer.json()["type"].endswith("not-authenticated") for answer in answers)


async def test_sigterm_ends_both_processes_in_time_and_loses_nothing(
    product: Product, stores: Stores
) -> None:
    api, consumer = await asyncio.gather(product.api(), product.consumer())
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        items = [{"user_id": "ada", "event": "e", "message": str(n)} for n in range(1000)]
        for _ in range(3):
            assert (await client.post("/v1/notifications/batch", json={"items": items})).status_code == 202
        await asyncio.to_thread(consumer.stop, END_SECONDS)
        assert consumer.exit_code == 0, consumer.log_tail()

        again = await product.consumer()
        await eventually(lambda: _unread(client, "ada", 3000), "all are stored")
        assert not await stores.broken_feeds()
    await asyncio.to_thread(api.process.stop, END_SECONDS)
    assert api.process.exit_code in {0, -signal.SIGTERM}, api.process.log_tail()
    assert again.running
