"""Users who are locked out: noticed by every API process, whatever server is away."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from entrypoints.settings import Settings
from tests.integration.conftest import Run
from tests.integration.test_postgres_faults import proxy_of, through
from tests.load import timed
from tests.product import Api, Product, Stores, create_users, eventually
from workbench.local_client import local_client
from workbench.programs import POSTGRES_URL, REDIS_URL
from workbench.soak.proxy import Proxy

NOWHERE_REDIS = "redis://127.0.0.1:1/0"
LATEST_SECONDS = 30.0


async def status(client: httpx.AsyncClient, user: str) -> int:
    """What a user's request is answered."""
    response = await client.get(f"/v1/users/{user}/unread-count")
    if response.status_code == 401:
        assert "revoked" in response.json()["detail"]
    return response.status_code


async def change(client: httpx.AsyncClient, user: str, what: str) -> None:
    response = await client.post(f"/v1/users/{user}/{what}")
    assert response.status_code == 204, response.text


async def bellwire(environment: Mapping[str, str], *words: str, said: str = "") -> tuple[int, str]:
    """Run a command and say something to it; return its exit status and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bellwire",
        *words,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate(said.encode())
    return process.returncode or 0, complaint.decode()


@pytest.mark.parametrize("redis", ["there", "away"])
async def test_a_disabled_user_is_refused_by_every_process_until_enabled(
    tmp_path: Path, environment: dict[str, str], settings: Settings, run: Run, redis: str
) -> None:
    roles = {"api": {REDIS_URL: NOWHERE_REDIS}} if redis == "away" else {}
    product = Product(tmp_path, environment, settings, roles)
    try:
        await product.prepare()
        one, other = await asyncio.gather(product.api(), product.api())
        async with one.client("ada") as here, other.client("ada") as there, other.client("bob") as bob:
            await create_users(here, ["ada", "bob"])
            assert [await status(here, "ada"), await status(there, "ada")] == [200, 200]

            await change(here, "ada", "disable")
            took = await timed(lambda: _are(401, "ada", here, there), "it is refused", LATEST_SECONDS)
            run.note(seconds_until_refused_everywhere=took)
            async with other.client("ada") as newer:
                assert await status(newer, "ada") == 401
            published = {"user_id": "ada", "event": "test.sent", "message": "hello"}
            assert (await there.post("/v1/notifications", json=published)).status_code == 202
            assert await status(bob, "bob") == 200

            await change(there, "ada", "enable")
            async with one.client("ada") as newest_here, other.client("ada") as newest_there:
                await eventually(
                    lambda: _are(200, "ada", newest_here, newest_there), "a new token is good", LATEST_SECONDS
                )
            assert [await status(here, "ada"), await status(there, "ada")] == [401, 401]
    finally:
        await product.stop()


async def _are(wanted: int, user: str, *clients: httpx.AsyncClient) -> bool:
    return all([await status(client, user) == wanted for client in clients])


async def test_the_commands_do_the_same(product: Product) -> None:
    api = await product.api()
    environment = product._environment
    async with api.client("ada") as client:
        await create_users(client, ["ada"])
        assert await bellwire(environment, "revoke-tokens", "ada") == (0, "")
        await eventually(lambda: _are(401, "ada", client), "it is refused", LATEST_SECONDS)
        async with api.client("ada") as newer:
            assert await status(newer, "ada") == 200
            assert await bellwire(environment, "disable-user", "ada") == (0, "")
            await eventually(lambda: _are(401, "ada", newer), "it is refused", LATEST_SECONDS)
        assert await bellwire(environment, "enable-user", "ada") == (0, "")
        async with api.client("ada") as newest:
            await eventually(lambda: _are(200, "ada", newest), "it is good", LATEST_SECONDS)
    for command in ("disable-user", "enable-user", "revoke-tokens"):
        assert await bellwire(environment, command, "nobody") == (1, "bellwire: There is no such user.\n")


async def test_a_token_that_is_logged_out_is_refused_by_every_process(product: Product, run: Run) -> None:
    one, other = await asyncio.gather(product.api(), product.api())
    async with one.client("ada") as here, other.client("ada") as newer:
        await create_users(here, ["ada"])
        bearer = here.headers["Authorization"]
        async with (
            local_client(base_url=other.url, headers={"Authorization": bearer}) as there,
            connect(
                f"{other.url.replace('http', 'ws', 1)}/ws/ada", additional_headers={"Authorization": bearer}
            ) as stream,
        ):
            assert json.loads(await stream.recv())["type"] == "welcome"
            assert await status(there, "ada") == 200

            assert (await here.post("/v1/sessions/end")).status_code == 204

            assert await status(here, "ada") == 401
            took = await timed(lambda: _are(401, "ada", there), "it is refused", LATEST_SECONDS)
            run.note(seconds_until_refused_elsewhere=took)
            with suppress(ConnectionClosed):
                async with asyncio.timeout(LATEST_SECONDS):
                    async for _ in stream:
                        pass
            assert stream.close_code == 4513
        assert await status(newer, "ada") == 200


async def test_the_command_revokes_a_single_token(product: Product, stores: Stores) -> None:
    api = await product.api()
    environment = product._environment
    now = time.time()
    claims = {"sub": "ada", "aud": "bellwire", "iat": now, "exp": now + 600, "jti": "one"}
    by_jti = jwt.encode(claims, environment["BELLWIRE_TOKEN_SECRET"], "HS256")
    async with (
        api.client("ada") as one,
        local_client(base_url=api.url, headers={"Authorization": f"Bearer {by_jti}"}) as other,
    ):
        await create_users(one, ["ada"])
        token = one.headers["Authorization"].removeprefix("Bearer ")
        assert [await status(one, "ada"), await status(other, "ada")] == [200, 200]

        assert await bellwire(environment, "revoke-token", said=f"{token}\n") == (0, "")
        by_name = ["--user", "ada", "--jti", "one", "--expires-at", "2100-01-01T00:00:00Z"]
        assert await bellwire(environment, "revoke-token", *by_name) == (0, "")

        await eventually(lambda: _are(401, "ada", one, other), "they are refused", LATEST_SECONDS)
    recorded = "SELECT count(*) FROM audit WHERE actor_kind = 'cli' AND action = 'user.token-revoked'"
    assert await stores.postgres.fetchval(recorded) == 2
    status_code, complaint = await bellwire(environment, "revoke-token", said="no token")
    assert (status_code, complaint) == (1, "bellwire: token This token is not valid.\n")
    assert (await bellwire(environment, "revoke-token", "--jti", "one"))[0] == 2


@pytest.fixture
async def cut_off(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> AsyncIterator[tuple[Api, Api, Proxy]]:
    """A process, another whose way to PostgreSQL can be cut, and that way. Ada, Bob and Cid exist."""
    product = Product(tmp_path, environment, settings)
    async with proxy_of(settings.postgres_url) as proxy:
        spoilt = Product(
            tmp_path / "cut off",
            {**environment, POSTGRES_URL: through(proxy, settings.postgres_url)},
            settings,
        )
        spoilt.folder.mkdir()
        try:
            await product.prepare()
            spoilt.api_key = product.api_key
            near, far = await asyncio.gather(product.api(), spoilt.api())
            async with near.client() as client:
                await create_users(client, ["ada", "bob", "cid"])
            yield near, far, proxy
        finally:
            await asyncio.gather(product.stop(), spoilt.stop())


async def test_a_process_without_postgres_keeps_what_it_knows_and_learns_the_rest_when_it_is_back(
    cut_off: tuple[Api, Api, Proxy], run: Run
) -> None:
    near, far, proxy = cut_off
    async with near.client() as producer, far.client("ada") as ada, far.client("bob") as bob:
        assert [await status(ada, "ada"), await status(bob, "bob")] == [200, 200]
        await change(producer, "ada", "disable")
        await eventually(lambda: _are(401, "ada", ada), "Ada is refused", LATEST_SECONDS)

        proxy.down()
        await eventually(lambda: "revocations cannot be read" in far.process.log_tail(), "it noticed")
        await change(producer, "bob", "revoke-tokens")
        assert await status(ada, "ada") == 401

        proxy.heal()
        took = await timed(lambda: _are(401, "bob", bob), "Bob is refused", LATEST_SECONDS)
        run.note(seconds_until_refused_after_postgres_was_back=took)
        assert "revocations are read again" in far.process.log_tail()
        async with far.client("bob") as newer:
            assert await status(newer, "bob") == 200


async def test_a_process_that_starts_knows_before_its_first_answer(product: Product) -> None:
    before = await product.api()
    async with before.client("ada") as client:
        await create_users(client, ["ada"])
        token = client.headers["Authorization"]
        await change(client, "ada", "revoke-tokens")

    after = await product.api()

    async with local_client(base_url=after.url, headers={"Authorization": token}) as client:
        assert await status(client, "ada") == 401
