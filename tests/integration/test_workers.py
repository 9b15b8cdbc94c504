"""Metrics of an API with several workers: whichever is asked, they are those of all."""

import asyncio
import signal
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from entrypoints.web.workers import Workers
from tests.product import Product, Service, create_users, eventually
from workbench.local_client import local_client

STREAMS = 6


def by_worker(text: str, name: str) -> dict[str, float]:
    """The samples of this name, summed for each worker."""
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels["worker"]] += sample.value
    return found


async def scrape(service: Service) -> str:
    """What one of the workers says: each connection may reach another."""
    async with local_client(timeout=10) as client:
        return (await client.get(f"{service.url}/metrics")).text


async def all_answer(service: Service, name: str, wanted: float) -> bool:
    """Whether every one of many scrapes has two workers and this sum."""
    for _ in range(8):
        found = by_worker(await scrape(service), name)
        if found.keys() != {"0", "1"} or sum(found.values()) != wanted:
            return False
    return True


async def both_tell(service: Service, name: str) -> bool:
    return by_worker(await scrape(service), name).keys() == {"0", "1"}


async def test_whichever_worker_is_asked_the_metrics_are_those_of_all(product: Product) -> None:
    service = await product._start("api", "BELLWIRE_PORT", {"BELLWIRE_WORKERS": "2"})
    async with local_client(base_url=service.url, headers={"X-API-Key": product.api_key}) as client:
        await create_users(client, ["ada"])
    async with AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(local_client(base_url=service.url, timeout=30))
            for _ in range(STREAMS)
        ]
        token = {"Authorization": f"Bearer {product.token('ada')}"}
        for client in followers:
            stream = client.stream("GET", "/sse/ada", headers=token)
            assert (await stack.enter_async_context(stream)).status_code == 200

        await eventually(lambda: all_answer(service, "bellwire_sockets", STREAMS), "all streams are counted")
        await eventually(lambda: all_answer(service, "bellwire_build_info", 2), "both say what they are")
        # Each connection may reach another worker: both have answered something after some.
        for name in ("process_cpu_seconds_total", "bellwire_http_seconds_count", "bellwire_tasks"):
            await eventually(lambda one=name: both_tell(service, one), f"both tell {name}")  # type: ignore[misc]
        text = await scrape(service)
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(names) == len(set(names))  # each family once, as the format demands


async def test_a_worker_that_dies_takes_its_numbers_along_and_its_successor_begins_at_0(
    product: Product,
) -> None:
    service = await product._start("api", "BELLWIRE_PORT", {"BELLWIRE_WORKERS": "2"})
    await eventually(lambda: all_answer(service, "bellwire_build_info", 2), "both workers are there")
    started = by_worker(await scrape(service), "process_start_time_seconds")

    children = psutil.Process(service.pid).children()
    victim = next(child for child in children if "spawn_main" in " ".join(child.cmdline()))
    victim.send_signal(signal.SIGKILL)

    async def replaced() -> bool:
        if not await all_answer(service, "bellwire_build_info", 2):
            return False
        now = by_worker(await scrape(service), "process_start_time_seconds")
        return sorted(now[number] == started[number] for number in now) == [False, True]

    await eventually(replaced, "one worker is new, the other is not")


async def test_a_worker_that_hangs_or_was_killed_is_left_out(tmp_path: Path) -> None:
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # until the other side has given up
        writer.close()
        given_up.set()

    async def break_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x99")
        writer.close()

    one, two = Workers(tmp_path, answer_seconds=1.0), Workers(tmp_path)
    hanging = await asyncio.start_unix_server(hang, tmp_path / "7.sock")
    breaking = await asyncio.start_unix_server(break_off, tmp_path / "8.sock")
    async with one.answering(), two.answering():
        (tmp_path / "9.sock").touch()  # nobody listens

        async def has_those_that_answer() -> bool:
            text = (await one.scrape()).decode()
            return by_worker(text, "process_start_time_seconds").keys() == {"0", "1"}

        # On a busy machine the other one may need more than its second.
        await eventually(has_those_that_answer, "it has its own and those of the other")

    assert asked.is_set()
    await asyncio.wait_for(given_up.wait(), 30)
    hanging.close()
    breaking.close()


async def test_a_number_is_free_again_when_its_worker_has_ended(tmp_path: Path) -> None:
    one, two, three = (Workers(tmp_path) for _ in range(3))
    async with one.answering():
        async with two.answering():
            pass
        async with three.answering():
            text = (await three.scrape()).decode()

    assert by_worker(text, "process_start_time_seconds").keys() == {"0", "1"}
    left = await asyncio.to_thread(lambda: list(tmp_path.glob("*.sock")))
    assert left == []
