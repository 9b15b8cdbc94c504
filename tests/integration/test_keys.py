"""The producers' keys with real processes: the commands, and how a change reaches every process."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from entrypoints.commands import cli
from entrypoints.settings import Settings
from tests.integration.conftest import Run
from tests.integration.test_postgres_faults import proxy_of, through
from tests.load import timed
from tests.product import Api, Product, create_users, eventually
from workbench.local_client import local_client
from workbench.programs import POSTGRES_URL
from workbench.soak.proxy import Proxy

LATEST_SECONDS = 30.0
MESSAGE = {"event": "test.sent", "message": "hello"}


Bellwire: TypeAlias = Callable[..., Awaitable[str]]


@pytest.fixture
def bellwire(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bellwire:
    """Runs a command, without what it takes to start a process, and returns what it printed."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def main(words: Sequence[str]) -> int:
        try:
            return cli.main(words)
        except SystemExit as ended:
            return int(ended.code or 0)

    async def run(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        ended = await asyncio.to_thread(main, words)
        printed = "".join(capsys.readouterr())
        assert ended == status, printed
        return printed

    return run


async def made(bellwire: Bellwire, *words: str) -> tuple[str, str]:
    """Create a key; return its id and the key."""
    entry = json.loads(await bellwire("keys", "create", "made", "--json", *words))
    return entry["id"], entry["key"]


async def status(api: Api, key: str, user: str = "ada") -> int:
    """What a publish with this key is answered."""
    async with local_client(base_url=api.url, headers={"X-API-Key": key}, timeout=30) as client:
        return (await client.post("/v1/notifications", json={"user_id": user, **MESSAGE})).status_code


async def _is(wanted: int, api: Api, key: str) -> bool:
    return await status(api, key) == wanted


async def listed(bellwire: Bellwire) -> dict[str, dict[str, Any]]:
    """The keys by id, as the command lists them."""
    lines = (await bellwire("keys", "list", "--json")).splitlines()
    return {entry["id"]: entry for entry in map(json.loads, lines)}


async def test_a_key_is_made_listed_rotated_and_revoked(product: Product, bellwire: Bellwire) -> None:
    api = await product.api()
    async with api.client() as client:
        await create_users(client, ["acme:ada"])

    first, key = await made(
        bellwire,
        "--scope",
        "publish",
        "--user-prefix",
        "acme:",
        "--event-prefix",
        "test.",
        "--own-only",
        "--expires",
        "90d",
    )
    answers = [await status(api, key, user) for user in ("acme:ada", "globex:ada")]
    successor = (await bellwire("keys", "rotate", first, "--overlap", "1h")).strip()
    both = [await status(api, each, "acme:ada") for each in (key, successor)]
    await bellwire("keys", "revoke", first)
    await eventually(lambda: _is(401, api, key), "it is refused", LATEST_SECONDS)
    await eventually(lambda: _used(bellwire, first), "its use is stored", LATEST_SECONDS)

    assert (answers, both) == ([202, 403], [202, 202])
    entries = await listed(bellwire)
    second = successor.split("_")[2]
    assert [entries[each]["state"] for each in (first, second)] == ["revoked", "in use"]
    assert entries[first]["replaced_by"] == second
    assert (entries[second]["user_prefix"], entries[second]["event_prefix"]) == ("acme:", "test.")
    assert entries[second]["own_only"]
    assert entries[second]["expires_at"] > entries[first]["expires_at"]
    printed = await bellwire("keys")
    assert f"replaced by {second}" in printed
    assert "own only" in printed
    assert successor.split("_")[3] not in printed
    assert "revoked before" in await bellwire("keys", "revoke", first, status=1)
    assert "no such API key" in await bellwire("keys", "rotate", "nobody", status=1)
    assert "user_prefix must" in await bellwire("keys", "create", "wrong", "--user-prefix", "acme", status=1)
    assert "must be a span" in await bellwire("keys", "rotate", second, "--overlap", "long", status=2)


async def _used(bellwire: Bellwire, key_id: str) -> bool:
    return (await listed(bellwire))[key_id]["last_used_at"] is not None


async def test_the_earlier_names_of_the_commands_work(product: Product, bellwire: Bellwire) -> None:
    api = await product.api()
    async with api.client() as client:
        await create_users(client, ["ada"])

    key = (await bellwire("create-key", "old", "--scope", "publish")).strip()
    assert await status(api, key) == 202
    await bellwire("revoke-key", key.split("_")[2])

    await eventually(lambda: _is(401, api, key), "it is refused", LATEST_SECONDS)


@pytest.fixture
async def cut_off(
    tmp_path: Path, environment: dict[str, str], settings: Settings
) -> AsyncIterator[tuple[Api, Api, Proxy]]:
    """A process, another whose way to PostgreSQL can be cut, and that way. Ada exists."""
    product = Product(tmp_path, environment, settings)
    async with proxy_of(settings.postgres_url) as proxy:
        away = {**environment, POSTGRES_URL: through(proxy, settings.postgres_url)}
        spoilt = Product(tmp_path / "cut off", away, settings)
        spoilt.folder.mkdir()
        try:
            await product.prepare()
            spoilt.api_key = product.api_key
            near, far = await asyncio.gather(product.api(), spoilt.api())
            async with near.client() as client:
                await create_users(client, ["ada"])
            yield near, far, proxy
        finally:
            await asyncio.gather(product.stop(), spoilt.stop())


async def create(client: httpx.AsyncClient, *scopes: str) -> tuple[str, str]:
    """Create a key over HTTP; return its id and the key."""
    response = await client.post("/v1/keys", json={"name": "made", "scopes": scopes})
    assert response.status_code == 201, response.text
    return response.json()["id"], response.json()["key"]


async def test_a_new_key_is_good_at_once_and_a_revoked_one_is_refused_in_every_process(
    cut_off: tuple[Api, Api, Proxy], bellwire: Bellwire, run: Run
) -> None:
    near, far, _ = cut_off
    _, admin = await made(bellwire, "--scope", "admin", "--scope", "publish")
    async with local_client(base_url=near.url, headers={"X-API-Key": admin}, timeout=30) as client:
        key_id, key = await create(client, "publish")
        assert [await status(far, key), await status(near, key)] == [202, 202]

        revoked = await client.post(f"/v1/keys/{key_id}/revoke")

        assert revoked.status_code == 204
        took = await timed(lambda: _is(401, far, key), "it is refused", LATEST_SECONDS)
        await eventually(lambda: _is(401, near, key), "it is refused", LATEST_SECONDS)
    run.note(seconds_until_a_revoked_key_is_refused=took)


async def test_without_postgres_known_keys_are_good_and_others_wait(
    cut_off: tuple[Api, Api, Proxy], bellwire: Bellwire, run: Run
) -> None:
    near, far, proxy = cut_off
    _, admin = await made(bellwire, "--scope", "admin", "--scope", "publish")
    async with local_client(base_url=near.url, headers={"X-API-Key": admin}, timeout=30) as client:
        known_id, known = await create(client, "publish")
        assert await status(far, known) == 202

        proxy.down()
        await eventually(lambda: "API keys cannot be read" in far.process.log_tail(), "it noticed")
        _, unknown = await create(client, "publish")
        await client.post(f"/v1/keys/{known_id}/revoke")
        assert [await status(far, key) for key in (known, unknown)] == [202, 503]

        proxy.heal()
        took = await timed(lambda: _is(401, far, known), "it is refused", LATEST_SECONDS)
        assert await status(far, unknown) == 202
    run.note(seconds_until_refused_after_postgres_was_back=took)


@pytest.mark.long
async def test_without_postgres_a_key_is_trusted_for_a_minute(cut_off: tuple[Api, Api, Proxy]) -> None:
    _, far, proxy = cut_off
    assert await status(far, far.product.api_key) == 202
    proxy.down()

    await timed(lambda: _is(503, far, far.product.api_key), "it is trusted no more", 90)

    proxy.heal()
    await eventually(lambda: _is(202, far, far.product.api_key), "it is good again", LATEST_SECONDS)


async def test_a_flood_of_unknown_keys_does_not_delay_an_honest_producer(
    cut_off: tuple[Api, Api, Proxy],
) -> None:
    """Not even while PostgreSQL, which is asked about those, does not answer: then whoever waits for it is
    not accepted.
    """
    _, far, proxy = cut_off
    body = {"user_id": "ada", **MESSAGE}

    async def attack(client: httpx.AsyncClient, first: int) -> set[int]:
        answers = set()
        for n in range(first, first + 100):
            headers = {"X-API-Key": f"bw_live_{n:012x}_{'0' * 64}"}
            answers.add((await client.post("/v1/notifications", json=body, headers=headers)).status_code)
        return answers

    async with far.client() as honest, far.client() as hostile:
        answers = [await honest.post("/v1/notifications", json=body)]
        proxy.black_hole()
        attacks = [asyncio.create_task(attack(hostile, first)) for first in range(0, 500, 100)]
        answers += [await honest.post("/v1/notifications", json=body) for _ in range(20)]
        proxy.heal()
        while not all(each.done() for each in attacks):
            answers.append(await honest.post("/v1/notifications", json=body))
        attacked = set[int]().union(*await asyncio.gather(*attacks))

    assert {answer.status_code for answer in answers} == {202}
    assert attacked <= {401, 429, 503}
