"""One notification is the same bytes everywhere, and what its producer wrote is in them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect

from bellwire_client import Bellwire
from tests.documents import NASTY, drawn
from tests.integration.test_events import Listener, listen
from tests.product import Api, Product, create_users, eventually, metric

WHO = r'"user_id":"ada","event":"test.sent","message":"Žofie 👩‍👩‍👧 e\u0301","title":"a\u00e9\/"'
EXPIRIES = [
    '"2100-01-01T02:00:00+02:00"',
    '"2100-01-01T00:00:00.123456Z"',
    '"2099-12-31T20:15:00.5-03:45"',
    "null",
]
CREATED = '"2026-11-22T11:09:43.17709+01:00"'


class Shown(msgspec.Struct):
    """What has items: a page, or a frame. The items are as they came."""

    items: list[msgspec.Raw] = []
    type: str = ""
    next_cursor: str | None = None


class Item(msgspec.Struct):
    id: str
    metadata: msgspec.Raw
    created_at: str
    expires_at: str | None


def shown(text: str | bytes) -> Shown:
    return msgspec.json.decode(text, type=Shown)


def parsed(item: bytes) -> Item:
    return msgspec.json.decode(item, type=Item)


def items_of(*texts: str | bytes) -> dict[str, bytes]:
    """The items of pages or frames, by id; each may come only once."""
    items = [bytes(item) for text in texts for item in shown(text).items]
    found = {parsed(item).id: item for item in items}
    assert len(found) == len(items)
    return found


def lasting(item: bytes) -> bytes:
    """What no mark changes."""
    return re.sub(rb'"(version|seen_at|read_at)":("[^"]*"|[^,"]+),', b"", item)


@dataclass
class Device:
    """A WebSocket, and what came on it."""

    texts: list[str] = field(default_factory=list)


@asynccontextmanager
async def device(api: Api, query: str = "") -> AsyncIterator[Device]:
    found = Device()
    headers = {"Authorization": f"Bearer {api.product.token('ada')}"}
    url = f"{api.url.replace('http', 'ws', 1)}/ws/ada{query}"
    async with connect(url, additional_headers=headers) as socket:

        async def listening() -> None:
            async for text in socket:
                found.texts.append(str(text))
                if shown(text).type == "ping":
                    await socket.send('{"type":"pong"}')

        task = asyncio.create_task(listening())
        await eventually(lambda: found.texts, "it is welcomed")
        yield found
        task.cancel()
        await asyncio.wait([task])


def texts(of: Device | Listener) -> list[str]:
    return of.texts if isinstance(of, Device) else [event.data for event in of.events]


def kinds(of: Device | Listener) -> list[str]:
    return [shown(text).type for text in texts(of)]


def told(of: Device | Listener) -> dict[str, bytes]:
    return items_of(*texts(of))


async def pages(client: httpx.AsyncClient, query: str = "") -> dict[str, bytes]:
    """A view of the feed, page by page."""
    found: dict[str, bytes] = {}
    cursor = ""
    while True:
        response = await client.get(f"/notifications/ada?limit=100{query}{cursor}")
        assert response.status_code == 200, response.text
        found |= items_of(response.content)
        following = shown(response.content).next_cursor
        if following is None:
            return found
        cursor = f"&cursor={following}"


async def publish_each(client: httpx.AsyncClient, documents: Sequence[str]) -> dict[str, str]:
    """One by one over HTTP; each id with the metadata that was sent."""
    sent: dict[str, str] = {}
    for number, document in enumerate(documents):
        expiry = EXPIRIES[number % len(EXPIRIES)]
        body = f'{{{WHO}, "metadata" : {document} ,"expires_at":{expiry}}}'
        response = await client.post("/v1/notifications", content=body.encode())
        assert response.status_code == 202, response.text
        sent[response.json()["id"]] = document
    return sent


async def publish_batch(client: httpx.AsyncClient, documents: Sequence[str]) -> dict[str, str]:
    items = ",".join(f'{{{WHO},"metadata":{document}}}' for document in documents)
    response = await client.post("/v1/notifications/batch", content=f'{{"items":[{items}]}}'.encode())
    assert response.status_code == 202, response.text
    ids = [result["id"] for result in response.json()["results"]]
    return dict(zip(ids, documents, strict=True))


async def write_records(product: Product, documents: Sequence[str]) -> list[str]:
    """Into the topic, as any other service may. Their ids are made for them."""
    producer = AIOKafkaProducer(bootstrap_servers=product.settings.kafka_bootstrap)
    await producer.start()
    try:
        for number, document in enumerate(documents):
            times = f'"expires_at":{EXPIRIES[number % len(EXPIRIES)]},"created_at":{CREATED}'
            value = f'{{{WHO},"metadata":\n{document},{times}}}'
            await producer.send_and_wait(product.settings.kafka_topic, value.encode(), key=b"ada")
    finally:
        await producer.stop()
    return list(documents)


async def publish_all(product: Product, client: httpx.AsyncClient) -> tuple[Mapping[str, str], list[str]]:
    """In every way; the metadata of those whose id is known, and of the others."""
    documents = drawn(60)
    sent = await publish_each(client, NASTY + documents[:20])
    sent |= await publish_batch(client, NASTY + documents[20:40])
    spaced = await publish_each(client, ['{ "a b" :\r\n[ 1e22 ,\t-0.0 ] }'])
    sent |= dict.fromkeys(spaced, '{"a b":[1e22,-0.0]}')
    return sent, await write_records(product, NASTY + documents[40:])


@pytest.fixture
async def api(product: Product) -> Api:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    return api


async def test_a_notification_is_the_same_bytes_wherever_it_is_met_with_what_was_sent_in_them(
    product: Product, api: Api
) -> None:
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        await pages(client)  # from here on the index holds the feed, and what is announced goes into it
        async with device(api) as live, listen(api, "ada") as events:
            start = json.loads(live.texts[0])["cursor"]
            sent, written = await publish_all(product, client)
            everything = len(sent) + len(written)
            await eventually(lambda: len(told(live)) == len(told(events)) == everything, "all came live")
        hits = await metric(api.process, "bellwire_index_total", outcome="hit")
        from_index = await pages(client)
        assert await metric(api.process, "bellwire_index_total", outcome="hit") > hits
        async with device(api, f"?cursor={start}") as again, listen(api, "ada", last_id=start) as later:
            await eventually(
                lambda: "replayed" in kinds(again) and "replayed" in kinds(later), "all is replayed"
            )

        items = told(live)
        for other in (from_index, told(events), told(again), told(later), await pages(client, "&status=all")):
            assert other == items
        _keep_what_was_sent(items, sent, written)
        await _change_nothing_but_their_state(client, items)
    async with Bellwire(api.url, token=product.token("ada")) as reader:
        assert len((await reader.notifications("ada", status="all", limit=100)).items) == everything


def _keep_what_was_sent(items: Mapping[str, bytes], sent: Mapping[str, str], written: Sequence[str]) -> None:
    found = {name: parsed(item) for name, item in items.items()}
    kept = {name: bytes(item.metadata).decode() for name, item in found.items()}
    assert {name: kept[name] for name in sent} == sent
    assert sorted(text for name, text in kept.items() if name not in sent) == sorted(written)
    times = {time for item in found.values() for time in (item.created_at, item.expires_at) if time}
    assert all(time.endswith("Z") for time in times)
    assert {"2026-11-22T10:09:43.177090Z", "2100-01-01T00:00:00Z", "2100-01-01T00:00:00.123456Z"} <= times


async def _change_nothing_but_their_state(client: httpx.AsyncClient, items: Mapping[str, bytes]) -> None:
    """What a mark answers is what the store and the index show then."""
    for identifier in list(items)[:: len(items) // 5]:
        read = (await client.patch(f"/notifications/ada/{identifier}/read")).content
        assert read == (await pages(client, "&status=read"))[identifier]
        await client.post("/v1/users/ada/notifications/unread", json={"ids": [identifier]})
        unread = (await pages(client))[identifier]
        assert unread == (await pages(client, "&status=all"))[identifier]
        assert lasting(read) == lasting(unread) == lasting(items[identifier])
