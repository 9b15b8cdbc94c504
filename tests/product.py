"""The product as its users meet it, as the soak meets it too."""

import sys
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from workbench.embedded import free_port
from workbench.local_client import local_client
from workbench.soak.follower import Follower
from workbench.soak.product import Api, Product, Service, create_users
from workbench.soak.stores import Stores
from workbench.soak.waiting import eventually

__all__ = [
    "Api",
    "Follower",
    "Product",
    "Service",
    "Stores",
    "altered",
    "create_users",
    "eventually",
    "metric",
]

PING_SECONDS, PONG_SECONDS, HEAD_SECONDS, UNREAD_SECONDS = 25, 8, 10, 30


async def altered(
    product: Product,
    role: str,
    *,
    clock: int = 0,
    ping: int = PING_SECONDS,
    pong: int = PONG_SECONDS,
    head: int = HEAD_SECONDS,
    unread: int = UNREAD_SECONDS,
    chosen: Mapping[str, str] | None = None,
) -> Service:
    """Start a process of an installation with another clock, or less patience: see tests.altered."""
    port, count = free_port(), len(product.started)
    service = Service(
        f"altered {role} {count}",
        role,
        port,
        log=product.folder / f"{role}-{count}.log",
        environment={
            **product._environment,
            **(chosen or {}),
            "PYTHONPATH": ":".join(sys.path),
            "BELLWIRE_PORT": str(port),
            "BELLWIRE_CONSUMER_PORT": str(port),
        },
    )
    service._command = [
        sys.executable,
        "-m",
        "tests.altered",
        *map(str, (clock, ping, pong, head, unread)),
        role,
    ]
    product.started.append(service)
    service.start()
    await service.healthy()
    return service


async def metric(service: Service, name: str, **labels: str) -> float:
    """What a process says of itself on /metrics, summed over the labels that are not given; 0 if nothing."""
    async with local_client(timeout=10) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
