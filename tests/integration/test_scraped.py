"""What dashboards and alerts ask for is what Prometheus reads from the processes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.product import Product, create_users, eventually, metric
from workbench.local_client import local_client

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def asked() -> set[str]:
    """The metrics of every query of the dashboards and of every alert."""
    boards = [json.loads(file.read_text()) for file in (DEPLOY / "grafana").glob("*.json")]
    queries = [
        target["expr"] for board in boards for panel in board["panels"] for target in panel.get("targets", ())
    ]
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    # Bare words in a query that are not before a brace are labels.
    return {
        name for expr in queries + rules for name in re.findall(r"\b((?:bellwire|process)_\w+)[\[{ ]", expr)
    }


async def test_every_metric_that_is_asked_for_is_scraped(product: Product) -> None:
    api, consumer = await product.api(), await product.consumer()
    async with api.client() as client:
        await create_users(client, ["ada"])
        sent = {"user_id": "ada", "event": "a.b", "message": "Hello"}
        (await client.post("/v1/notifications", json=sent)).raise_for_status()
    await eventually(lambda: _stored(consumer), "it is stored")

    async with local_client(timeout=10) as client:
        texts = [(await client.get(f"{one.url}/metrics")).text for one in (api.process, consumer)]

    families = [family for text in texts for family in text_string_to_metric_families(text)]
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    found = {family.name + end for family in families for end in ends.get(family.type, ("",))}
    assert asked() - found == set()
    builds = {
        (sample.labels["process"], sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "bellwire_build_info"
    }
    assert builds == {("api", 1), ("consumer", 1)}
    _check(texts)


async def _stored(consumer: object) -> bool:
    return await metric(consumer, "bellwire_consumed_total", outcome="stored") == 1  # type: ignore[arg-type]


def _check(texts: list[str]) -> None:
    """Have Prometheus's own tool read them, if it is here."""
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool for the rest (Debian: apt install prometheus)")
    for text in texts:
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        # It also has opinions on names, such as that of the metric of a Python library.
        assert done.returncode in {0, 3}, done.stderr
