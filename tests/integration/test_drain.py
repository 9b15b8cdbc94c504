"""Processes that are taken out of service with open streams: by a signal, and by the operator's command."""

import asyncio
import json
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entrypoints.settings import Settings
from tests.forked import begins_cold
from tests.integration.conftest import Run
from tests.integration.test_postgres_faults import proxy_of, through
from tests.integration.test_workers import all_answer
from tests.load import timed
from tests.product import Api, Product, Service, create_users, eventually, metric
from workbench.soak.proxy import Proxy

USERS = 60
END_SECONDS = 60.0


@dataclass
class Ended:
    """How a stream ended."""

    bye: dict[str, Any] = field(default_factory=dict)
    code: int | None = None


@asynccontextmanager
async def streams(api: Api, users: Sequence[str]) -> AsyncIterator[list[Ended]]:
    """Open streams that take what comes, and tell how each ends. They do not come back."""
    ends = [Ended() for _ in users]
    async with AsyncExitStack() as stack:
        tasks = []
        for user, end in zip(users, ends, strict=True):
            socket = await stack.enter_async_context(stream(api, user))
            assert json.loads(await socket.recv())["type"] == "welcome"
            tasks.append(asyncio.create_task(_follow(socket, end)))
        try:
            yield ends
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def stream(api: Api, user: str) -> connect:
    headers = {"Authorization": f"Bearer {api.product.token(user)}"}
    url = f"{api.url.replace('http', 'ws', 1)}/ws/{user}"
    return connect(url, additional_headers=headers, open_timeout=30, ping_interval=None, compression=None)


async def _follow(socket: ClientConnection, end: Ended) -> None:
    try:
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == "bye":
                end.bye = frame
    except ConnectionClosed as closed:
        end.code = closed.rcvd.code if closed.rcvd else 1006


def drained(ends: Sequence[Ended]) -> bool:
    return all((end.code, end.bye.get("code")) == (4000, 4000) for end in ends)


async def ended(service: Service) -> int:
    await eventually(lambda: not service.running, f"{service.name} ends", END_SECONDS)
    assert service.exit_code is not None
    return service.exit_code


async def readiness(client: httpx.AsyncClient) -> tuple[int, str]:
    answer = await client.get("/health/ready")
    return answer.status_code, answer.json()["checks"]["streams"]


async def started(
    folder: Path, environment: Mapping[str, str], settings: Settings, **own: str
) -> tuple[Product, Api]:
    """A product with settings of its own, an API process of it, and users."""
    own = {f"BELLWIRE_{name.upper()}": value for name, value in own.items()}
    product = Product(folder, environment, settings, {"api": own})
    await product.prepare()
    api = await product.api()
    async with api.client() as client:
        await create_users(client, names())
    return product, api


def names(count: int = USERS) -> list[str]:
    return [f"user-{n}" for n in range(count)]


async def drain(product: Product, *words: str, **changed: str) -> tuple[int, list[str], str]:
    """Run the command; return its exit status, the lines it printed and what it complained of."""
    environment = {**product._environment, **{f"BELLWIRE_{k.upper()}": v for k, v in changed.items()}}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bellwire",
        "drain",
        *words,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    return process.returncode or 0, said.decode().splitlines(), complaint.decode()


# --- SIGTERM ----------------------------------------------------------------------------------------------


async def test_sigterm_moves_the_streams_and_answers_requests_meanwhile(
    tmp_path: Path, environment: dict[str, str], settings: Settings, run: Run
) -> None:
    """The delay keeps it draining for as long as the test looks at it."""
    product, api = await started(tmp_path, environment, settings, drain_delay_seconds="5")
    try:
        async with streams(api, names()) as ends, api.client("user-0") as client:
            os.kill(api.process.pid, signal.SIGTERM)

            async def not_ready() -> bool:
                return await readiness(client) == (503, "draining")

            await eventually(not_ready, "it says so")
            assert not any(end.bye for end in ends)
            with pytest.raises(InvalidStatus) as refused:
                async with stream(api, "user-0"):
                    pass
            assert refused.value.response.status_code == 503
            assert int(refused.value.response.headers["Retry-After"]) >= 1
            accepted = await client.post(
                "/v1/notifications", json={"user_id": "user-0", "event": "e", "message": "m"}
            )
            assert accepted.status_code == 202

            run.note(seconds_until_it_ended=await timed(lambda: not api.process.running, "it ends", 60))
            await eventually(lambda: all(end.code for end in ends), "every stream has ended")
            assert drained(ends), ends
            retries = [end.bye["retry_ms"] for end in ends]
            assert all(end.bye["resume"] for end in ends)
            assert max(retries) - min(retries) > 1_000
        assert await ended(api.process) == 0, api.process.log_tail()
    finally:
        await product.stop()


async def test_a_second_sigterm_does_not_wait_for_the_drain(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> None:
    product, api = await started(tmp_path, environment, settings, drain_delay_seconds="300")
    try:
        async with streams(api, names(3)) as ends, api.client() as client:
            os.kill(api.process.pid, signal.SIGTERM)

            async def not_ready() -> bool:
                return (await readiness(client))[0] == 503

            await eventually(not_ready, "the first is heard")
            os.kill(api.process.pid, signal.SIGTERM)

            assert await ended(api.process) == 0, api.process.log_tail()
            await eventually(lambda: all(end.code for end in ends), "every stream has ended")
            assert [end.code for end in ends] == [1012, 1012, 1012]
    finally:
        await product.stop()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
async def test_sigterm_during_the_start_ends_it_with_status_0(product: Product) -> None:
    service = (await product.api()).process
    await asyncio.to_thread(service.stop)
    begins_cold(service)
    service.start()
    await eventually(lambda: catches(service.pid, signal.SIGTERM), "it catches the signal")
    os.kill(service.pid, signal.SIGTERM)

    assert await ended(service) == 0, service.log_tail()


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, as proc(5) says."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) >> (number - 1) & 1)


async def test_it_drains_with_postgres_and_redis_out_of_reach(
    tmp_path: Path, environment: dict[str, str], settings: Settings, run: Run
) -> None:
    """Neither says a word; one stream is waiting for what it missed, another for its welcome."""
    redis = urlsplit(settings.redis_url)
    async with (
        proxy_of(settings.postgres_url) as postgres_way,
        Proxy.to(redis.hostname or "127.0.0.1", redis.port or 6379) as redis_way,
    ):
        product, api = await started(
            tmp_path,
            environment,
            settings,
            postgres_url=through(postgres_way, settings.postgres_url),
            redis_url=redis._replace(netloc=f"127.0.0.1:{redis_way.port}").geturl(),
        )
        try:
            async with streams(api, names(20)) as ends:
                postgres_way.black_hole()
                redis_way.black_hole()
                late = Ended()
                async with stream(api, "user-21") as socket:
                    following = asyncio.create_task(_follow(socket, late))
                    os.kill(api.process.pid, signal.SIGTERM)

                    run.note(seconds_until_it_ended=await timed(lambda: not api.process.running, "it ends"))
                    await following
                await eventually(lambda: all(end.code for end in ends), "every stream has ended")
                assert drained([*ends, late]), [*ends, late]
            assert await ended(api.process) == 0, api.process.log_tail()
        finally:
            await product.stop()


# --- several workers --------------------------------------------------------------------------------------


def workers(service: Service) -> list[psutil.Process]:
    """Those that serve; there is also a helper of the standard library's."""
    children = psutil.Process(service.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


async def both_serve(api: Api) -> None:
    """Wait until it has two workers that answer: one that is starting drains nothing, and says nothing."""
    await eventually(lambda: all_answer(api.process, "bellwire_build_info", 2), "both workers serve")


@pytest.mark.parametrize("to", ["supervisor", "all"])
async def test_each_worker_drains_itself(
    tmp_path: Path, environment: dict[str, str], settings: Settings, to: str
) -> None:
    """Also when all are told, and the workers again by the supervisor."""
    product, api = await started(tmp_path, environment, settings, workers="2", drain_delay_seconds="2")
    try:
        await both_serve(api)
        async with streams(api, names()) as ends:
            told = workers(api.process) if to == "all" else []
            assert len(workers(api.process)) == 2
            for process in [psutil.Process(api.process.pid), *told]:
                process.send_signal(signal.SIGTERM)

            assert await ended(api.process) == 0, api.process.log_tail()
            await eventually(lambda: all(end.code for end in ends), "every stream has ended")
            assert drained(ends), ends
    finally:
        await product.stop()


async def test_a_second_sigterm_reaches_the_workers(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> None:
    product, api = await started(tmp_path, environment, settings, workers="2", drain_delay_seconds="300")
    try:
        await both_serve(api)
        async with streams(api, names(3)) as ends:
            os.kill(api.process.pid, signal.SIGTERM)
            log = api.process.log
            await eventually(
                lambda: log.read_text().count("draining ") == 2, "both workers have heard the first"
            )
            assert not any(end.code for end in ends)
            os.kill(api.process.pid, signal.SIGTERM)

            assert await ended(api.process) == 0, api.process.log_tail()
    finally:
        await product.stop()


async def test_the_command_does_not_pretend_to_drain_several_workers(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> None:
    product, api = await started(tmp_path, environment, settings, workers="2")
    try:
        status, said, complaint = await drain(product, "--url", api.url)

        assert (status, said) == (1, [])
        assert "SIGTERM" in complaint
        async with api.client() as client:
            assert await readiness(client) == (200, "ok")
    finally:
        await product.stop()


# --- the command ------------------------------------------------------------------------------------------


async def test_the_command_moves_the_streams_and_leaves_the_process(product: Product) -> None:
    api = await product.api()
    async with api.client("user-0") as client:
        await create_users(client, names())
        async with streams(api, names()) as ends:
            # As in the process's own container: it knows the port, not the URL.
            status, said, complaint = await drain(product, port=str(api.process.port))

            assert (status, complaint) == (0, "")
            assert said[-1] == "drained: no streams left"
            assert all(re.fullmatch(r"\d+ streams left", line) for line in said[:-1])
            await eventually(lambda: all(end.code for end in ends), "every stream has ended")
            assert drained(ends), ends
        assert await readiness(client) == (503, "draining")
        assert (await client.get("/notifications/user-0")).status_code == 200
        assert await drain(product, "--url", f"{api.url}/") == (0, ["drained: no streams left"], "")
        assert await metric(api.process, "bellwire_closes_total", code="4000") == USERS

        os.kill(api.process.pid, signal.SIGTERM)
        assert await ended(api.process) == 0, api.process.log_tail()


async def test_the_command_says_what_is_left_when_it_has_waited_enough(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> None:
    product, api = await started(tmp_path, environment, settings, drain_delay_seconds="300")
    try:
        async with streams(api, names(2)) as ends:
            status, _, complaint = await drain(product, "--url", api.url, "--wait", "0.1")

            assert status == 1
            assert complaint == "bellwire: 2 streams are left after 0.1 s; they are still being ended\n"
            assert not any(end.code for end in ends)
    finally:
        await asyncio.to_thread(api.process.kill)
        await product.stop()


async def test_the_command_needs_the_secret_of_the_process(product: Product) -> None:
    api = await product.api()

    status, said, complaint = await drain(product, "--url", api.url, operator_secret=secrets.token_hex(32))

    assert (status, said) == (1, [])
    assert "BELLWIRE_OPERATOR_SECRET" in complaint
    async with api.client() as client:
        assert await readiness(client) == (200, "ok")


async def test_the_command_says_when_nothing_or_something_else_answers(product: Product) -> None:
    consumer = await product.consumer()

    status, said, complaint = await drain(product, "--url", consumer.url)
    assert (status, said) == (1, [])
    assert "404" in complaint

    await asyncio.to_thread(consumer.stop)
    status, said, complaint = await drain(product, "--url", consumer.url)
    assert (status, said) == (1, [])
    assert complaint.startswith(f"bellwire: {consumer.url} cannot be drained: ")
