"""The trace of a notification, over processes that export it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from entrypoints.settings import Settings
from tests.collector import Collected, Collector, collecting
from tests.product import Product, Service, create_users, eventually

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
TEXT = "the-text-of-a-message"
USER, PEER = "a-user-by-name", "a-peer-by-name"
NOWHERE = "http://127.0.0.1:9"
POST = "POST /v1/notifications"

Traced = Callable[..., AbstractAsyncContextManager[Product]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def traced(tmp_path: Path, environment: Mapping[str, str], settings: Settings) -> Traced:
    """Processes with OTEL_… variables. What they export has arrived when they are left."""

    @asynccontextmanager
    async def run(endpoint: str, **variables: str) -> AsyncIterator[Product]:
        chosen = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **variables}
        product = Product(tmp_path, {**environment, **chosen}, settings)
        await product.prepare()
        try:
            yield product
        finally:
            for process in product.started:  # each exports what it has before it ends
                await asyncio.to_thread(process.stop, 60)
            await product.stop()

    return run


async def publish(client: httpx.AsyncClient, user: str, traceparent: str) -> str:
    body = {"user_id": user, "event": "test.sent", "message": TEXT, "metadata": {"secret": TEXT}}
    response = await client.post("/v1/notifications", json=body, headers={"traceparent": traceparent})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def way(span: Collected, spans: Mapping[str, Collected]) -> str:
    """The services and names from the beginning of a trace to this span."""
    before = way(spans[span.parent], spans) + " > " if span.parent in spans else ""
    return f"{before}{span.service.removeprefix('bellwire-')}:{span.name}"


async def test_one_trace_leads_from_the_request_to_the_push_and_the_read(
    traced: Traced, collector: Collector
) -> None:
    async with traced(collector.url, OTEL_BSP_SCHEDULE_DELAY="600000") as product:
        api, _ = await asyncio.gather(product.api(), product.consumer())
        async with api.client(USER) as client:
            await create_users(client, [USER])
            async with api.follow(USER) as phone, api.follow(USER) as laptop:
                sent = await publish(client, USER, SAMPLED)
                await eventually(lambda: sent in phone.items and sent in laptop.items, "both have it")
                await phone.send(type="read", ids=[sent], ref="1")
                await eventually(lambda: laptop.items[sent]["read_at"] is not None, "it is read")
                assert not any("trace" in json.dumps(frame) for frame in phone.frames)
        assert not collector.spans, "nothing is exported yet: what arrives was flushed at the end"

    topic = product.settings.kafka_topic
    spans = {span.id: span for span in collector.spans if span.trace == TRACE}
    publishing = f"api:{POST} > api:send {topic}"
    handling = f"{publishing} > consumer:process {topic}"
    reading = f"{handling} > api:push > api:mark read"
    assert sorted(way(span, spans) for span in spans.values()) == sorted(
        [
            f"api:{POST}",
            publishing,
            handling,
            f"{handling} > consumer:store",
            f"{handling} > consumer:announce",
            f"{handling} > api:push",
            reading,
            f"{reading} > api:store",
            f"{reading} > api:announce",
            f"{reading} > api:push",
        ]
    )
    assert collector.one(POST).parent == CALLER
    assert collector.one(f"process {topic}").links == (collector.one(f"send {topic}").id,)
    assert [span.attributes["bellwire.streams"] for span in collector.named("push")] == [2, 2]
    assert collector.one(f"send {topic}").attributes["bellwire.notification.id"] == sent
    assert {span.kind for span in collector.named("store")} == {"client"}
    assert not any(span.failed for span in collector.spans)
    exported = b"".join(collector.bodies)
    for secret in (TEXT, USER, product.api_key, product.settings.token_secret):
        assert secret.encode() not in exported


async def test_a_batch_has_links_to_the_producers_whose_traces_it_serves(
    traced: Traced, collector: Collector
) -> None:
    async with traced(collector.url) as product:
        api = await product.api()
        async with api.client() as client:
            await create_users(client, [USER, PEER])
            async with api.follow(USER) as mine, api.follow(PEER) as peers:
                first = await publish(client, USER, SAMPLED)
                second = await publish(client, PEER, f"00-{OTHER}-{CALLER}-01")
                third = await publish(client, PEER, f"00-{'a' * 32}-{CALLER}-00")
                await product.consumer()  # now: it finds all of them together
                await eventually(lambda: first in mine.items, "the first")
                await eventually(lambda: {second, third} <= peers.items.keys(), "the others")

    topic = product.settings.kafka_topic
    process, sends = f"process {topic}", collector.named(f"send {topic}")
    (batch,) = [span for span in collector.named(process) if not span.parent]
    assert set(batch.links) == {span.id for span in sends}
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert [span.parent for span in collector.named("store")] == [batch.id]
    assert [span.parent for span in collector.named("announce")] == [batch.id]
    for trace in (TRACE, OTHER):
        send, record, push = (collector.one(name, trace) for name in (f"send {topic}", process, "push"))
        assert (record.parent, record.links, push.parent) == (send.id, (batch.id,), record.id)
    assert not [span for span in collector.spans if span.trace == "a" * 32]


async def test_an_unsampled_caller_leaves_no_span(traced: Traced, collector: Collector) -> None:
    async with traced(collector.url, OTEL_TRACES_SAMPLER="parentbased_always_off") as product:
        api, _ = await asyncio.gather(product.api(), product.consumer())
        async with api.client(USER) as client:
            await create_users(client, [USER])
            async with api.follow(USER, query="view=auto") as phone:
                sent = await publish(client, USER, UNSAMPLED)
                await eventually(lambda: phone.items.get(sent, {}).get("read_at"), "it was viewed")
                assert not collector.spans
                seen = await publish(client, USER, SAMPLED)
                await eventually(lambda: phone.items.get(seen, {}).get("read_at"), "it was viewed")

    assert {span.trace for span in collector.spans} == {TRACE}
    assert len(collector.named("mark read")) == 1


async def test_a_collector_that_is_down_delays_and_fails_nothing(traced: Traced) -> None:
    settings = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
    async with traced(NOWHERE, **settings) as product:
        api, consumer = await asyncio.gather(product.api(), product.consumer())
        processes = (api.process, consumer)
        async with api.client(USER) as client:
            await create_users(client, [USER])
            async with api.follow(USER) as phone:
                sent = await publish(client, USER, SAMPLED)
                await eventually(lambda: sent in phone.items, "it arrives")
                await eventually(lambda: all(map(complaints, processes)), "both have complained")
                sent = await publish(client, USER, SAMPLED)
                await eventually(lambda: sent in phone.items, "so does another")

    for process in processes:
        assert process.exit_code == 0
        (complaint,) = complaints(process)
        assert "Connection refused" in complaint
        assert "Traceback" not in process.log.read_text()


def complaints(process: Service) -> list[str]:
    return [line for line in process.log.read_text().splitlines() if "spans cannot be exported" in line]


async def test_each_worker_exports_what_it_has_before_it_ends(traced: Traced, collector: Collector) -> None:
    settings = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "BELLWIRE_WORKERS": "2", "OTEL_SERVICE_NAME": "bell"}
    async with traced(collector.url, **settings) as product:
        api = await product.api()
        async with api.client(USER) as client:
            await create_users(client, [USER])
            for number in range(1, 21):
                await publish(client, USER, f"00-{number:032x}-{CALLER}-01")
        assert not collector.spans

    assert {int(span.trace, 16) for span in collector.named(POST)} >= set(range(1, 21))
    assert {span.service for span in collector.spans} == {"bell"}
