"""schemathesis against a running API: requests and expectations are made from the OpenAPI document."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from application.credentials import SCOPES
from tests.integration.conftest import Run
from tests.product import Product, create_users
from tests.whole import build

FOLDER = Path(__file__).parents[1] / "schemathesis"
USER, LOCKED, LEAVING = "demo", "locked", "leaving"  # the first is that of the document's examples
SPARE_USERS = [f"spare-{number}" for number in range(100)]
SPARE_KEYS = 100
"""What it may erase, rotate and revoke."""


@pytest.mark.timeout(900)
async def test_schemathesis_finds_nothing(product: Product, run: Run, tmp_path: Path) -> None:
    api = await product.api()
    await product.consumer()
    async with api.client() as client:
        await create_users(client, [USER, LEAVING, *SPARE_USERS])
        with_password = {"id": LOCKED, "name": LOCKED, "email": "locked@example.com", "password": "x" * 12}
        (await client.post("/v1/users", json=with_password)).raise_for_status()
    (key_id, key), *spare = await _keys_with_every_scope(product, 1 + SPARE_KEYS)
    environment = {
        **os.environ,
        "API_URL": api.url,
        "API_KEY": key,
        "API_KEY_ID": key_id,
        "SPARE_KEY_IDS": " ".join(spare_id for spare_id, _ in spare),
        "SPARE_USER_IDS": " ".join(SPARE_USERS),
        "HOOKS": str(FOLDER / "hooks.py"),
        "USER_ID": USER,
        "LOCKED_ID": LOCKED,
        "USER_TOKEN": product.token(USER),
        "ENDED_TOKEN": product.token(LEAVING),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        f"--config-file={FOLDER / 'schemathesis.toml'}",
        "run",
        f"{api.url}/schema/openapi.json",
        *(["--max-examples=100"] if run.long else ["--max-examples=6", "--seed=1"]),
        env=environment,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()

    print(told.decode())
    assert process.returncode == 0


async def _keys_with_every_scope(product: Product, count: int) -> list[tuple[str, str]]:
    """Their ids and texts."""
    container = build(product.settings)
    try:
        create = container.create_api_key()
        made = [await create("schemathesis", SCOPES) for _ in range(count)]
    finally:
        await container.maintenance().close()
    return [(key.id, text) for key, text in made]
