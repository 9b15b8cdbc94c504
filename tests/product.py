"""The product as its users meet it, as the soak meets it too."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from entrypoints.soak.follower import Follower
from entrypoints.soak.product import Api, Product, Service, create_users
from entrypoints.soak.stores import Stores
from entrypoints.soak.waiting import eventually

__all__ = ["Api", "Follower", "Product", "Service", "Stores", "create_users", "eventually", "metric"]


async def metric(service: Service, name: str, **labels: str) -> float:
    """What a process says of itself on /metrics, summed over the labels that are not given; 0 if nothing."""
    async with httpx.AsyncClient(timeout=10) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
