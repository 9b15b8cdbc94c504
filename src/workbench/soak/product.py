"""The product as its users meet it: API and consumer as processes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from entrypoints.commands.setup import bring_up_to_date
from entrypoints.container.demo import DemoContainer
from entrypoints.container.parts.base import build
from entrypoints.settings import Settings
from workbench.embedded import LOOPBACK, free_port
from workbench.local_client import local_client
from workbench.processes import Process, ServerFailed
from workbench.soak.follower import Follower
from workbench.soak.waiting import eventually

SOURCES = Path(__file__).resolve().parents[2]


class Service(Process):
    """One of our processes, and the port of its health and metrics."""

    def __init__(self, name: str, role: str, port: int, *, log: Path, environment: Mapping[str, str]) -> None:
        super().__init__(name, [sys.executable, "-m", "bellwire", role], log=log, environment=environment)
        self.role = role
        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"

    async def healthy(self, what: str = "ready") -> None:
        """Wait until it runs (`live`) or can do its work (`ready`). Raises ServerFailed, TooLate."""

        async def answers() -> bool:
            if not self.running:
                raise ServerFailed(f"{self.name} ended with code {self.exit_code}.\n{self.log_tail()}")
            async with local_client() as client:
                try:
                    return (await client.get(f"{self.url}/health/{what}")).status_code == 200
                except httpx.TransportError:
                    return False

        await eventually(answers, f"{self.name} is {what}")


class Product:
    """The processes of one installation, which are always stopped at the end.

    `roles` has the variables that differ for a role, such as another address of a server.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        settings: Settings,
        roles: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.api_key = ""
        self.started: list[Service] = []
        self._container = build(DemoContainer, settings)
        self._roles = roles or {}
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(SOURCES)}

    async def prepare(self, scopes: frozenset[str] = frozenset({"publish", "users"})) -> None:
        """Migrate, and make a key with these scopes."""
        await asyncio.to_thread(bring_up_to_date, self.settings)
        container = build(DemoContainer, self.settings)
        try:
            _, self.api_key = await container.create_api_key()("test", scopes)
        finally:
            await container.maintenance().close()

    async def api(self, *, until: str = "ready") -> "Api":
        service = await self._start("api", "BELLWIRE_PORT", until=until)
        return Api(service, service.url, self)

    async def consumer(self, *, group: str | None = None, until: str = "ready") -> Service:
        """Start a consumer in the installation's group or another. Wait for `live` where it may not get to
        read yet.
        """
        chosen = {"BELLWIRE_KAFKA_GROUP": group} if group else {}
        return await self._start("consumer", "BELLWIRE_CONSUMER_PORT", chosen, until)

    async def stop(self) -> None:
        for process in reversed(self.started):
            await asyncio.to_thread(process.stop)

    def token(self, user: str) -> str:
        return self._container.tokens().mint(user, self._container.clock()())[0]  # type: ignore[arg-type]

    async def _start(
        self, role: str, port_name: str, chosen: Mapping[str, str] | None = None, until: str = "ready"
    ) -> Service:
        port = free_port()
        service = Service(
            f"{role} {len(self.started)}",
            role,
            port,
            log=self.folder / f"{role}-{len(self.started)}.log",
            environment={
                **self._environment,
                **self._roles.get(role, {}),
                **(chosen or {}),
                port_name: str(port),
            },
        )
        self.started.append(service)
        service.start()
        await service.healthy(until)
        return service


@dataclass
class Api:
    """A running API process."""

    process: Service
    url: str
    product: Product

    @asynccontextmanager
    async def client(self, user: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a producer's key, and a user's token if one is given."""
        headers = {"X-API-Key": self.product.api_key}
        if user:
            headers["Authorization"] = f"Bearer {self.product.token(user)}"
        async with local_client(base_url=self.url, headers=headers, timeout=30) as client:
            yield client

    def follow(self, user: str, *, query: str = "") -> Follower:
        return Follower([self.url], user, self.product.token, query=query)


async def create_users(client: httpx.AsyncClient, users: Sequence[str]) -> None:
    """Create users. Raises httpx.HTTPStatusError."""
    for user in users:
        response = await client.post("/v1/users", json={"id": user, "name": user})
        response.raise_for_status()


async def set_categories(client: httpx.AsyncClient, settings: Mapping[str, Mapping[str, object]]) -> None:
    """Make these of categories. Raises httpx.HTTPStatusError."""
    for category, chosen in settings.items():
        response = await client.put(f"/v1/categories/{category}", json=chosen)
        response.raise_for_status()
