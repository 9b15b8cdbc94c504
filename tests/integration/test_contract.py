"""schemathesis against a running API: requests and expectations are made from the OpenAPI document."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Run
from tests.product import Product, create_users

FOLDER = Path(__file__).parents[1] / "schemathesis"
USER, LOCKED = "demo", "locked"  # the first is that of the document's examples


@pytest.mark.timeout(900)
async def test_schemathesis_finds_nothing(product: Product, run: Run, tmp_path: Path) -> None:
    api = await product.api()
    await product.consumer()
    async with api.client() as client:
        await create_users(client, [USER, LOCKED])
    environment = {
        **os.environ,
        "API_URL": api.url,
        "API_KEY": product.api_key,
        "HOOKS": str(FOLDER / "hooks.py"),
        "USER_ID": USER,
        "LOCKED_ID": LOCKED,
        "USER_TOKEN": product.token(USER),
        "ENDED_TOKEN": product.token(LOCKED),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        f"--config-file={FOLDER / 'schemathesis.toml'}",
        "run",
        f"{api.url}/schema/openapi.json",
        *(["--max-examples=300"] if run.long else ["--max-examples=6", "--seed=1"]),
        env=environment,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()

    print(told.decode())
    assert process.returncode == 0
