"""The service with its demo."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

from application.keys import new_key
from entrypoints.commands.demo import demo_access_of
from entrypoints.container.demo import DemoContainer
from entrypoints.container.parts.base import build
from tests.conftest import as_read
from tests.product import Api, Product


@asynccontextmanager
async def with_demo(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Api]:
    """An API and a consumer, and the users and the key of the demo."""
    chosen = {**environment, "BELLWIRE_DEMO": "true", "BELLWIRE_DEMO_KEY": new_key("live", token_hex)}
    settings = as_read(chosen)
    product = Product(folder, chosen, settings)
    try:
        await product.prepare()
        container = build(DemoContainer, settings)
        await demo_access_of(container)
        await container.maintenance().close()
        api = await product.api()
        await product.consumer()
        yield api
    finally:
        await product.stop()
