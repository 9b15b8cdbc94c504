"""deploy/grafana: the dashboards are those of deploy/dashboards.py, and ask for what there is."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from common import metrics
from deploy.__main__ import generated
from deploy.dashboards import DASHBOARDS, rendered

ROOT = Path(__file__).resolve().parents[2]
BOARDS: dict[str, dict[str, Any]] = {board.uid: json.loads(rendered(board)) for board in DASHBOARDS}
QUERIES = [
    target["expr"]
    for board in BOARDS.values()
    for panel in board["panels"]
    for target in panel.get("targets", ())
]
RULES = [
    rule["expr"]
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
SERIES = re.compile(r"\b((?:bellwire|process)_\w+)\{([^}]*)\}")
OF_PROMETHEUS = {"job", "instance", "worker", "le"}


def labels_of(metric: str) -> set[str]:
    """The labels of a metric of ours, by the name of one of its series."""
    own = [found for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)]
    for found in own:
        names = {found._name, *(f"{found._name}_{end}" for end in ("total", "bucket", "count", "sum"))}
        if metric in names:
            return set(found._labelnames) | OF_PROMETHEUS | {metric}
    assert metric.startswith("process_"), metric
    return OF_PROMETHEUS


def test_the_generated_files_are_up_to_date() -> None:
    """If not: python -m deploy."""
    assert [file for file, text in generated().items() if not file.exists() or file.read_text() != text] == []
    assert {file.stem for file in (ROOT / "deploy/grafana").iterdir()} == BOARDS.keys()


@pytest.mark.parametrize("expr", [*QUERIES, *RULES])
def test_a_query_asks_for_metrics_and_labels_that_exist(expr: str) -> None:
    for metric, matchers in SERIES.findall(expr):
        asked = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers))
        assert asked <= labels_of(metric)
    known = {name for family in REGISTRY.collect() for name in (family.name, f"{family.name}_total")}
    for name in re.findall(r"\b(?:bellwire|process)_\w+(?=\{)", expr):
        assert {name, re.sub("_(bucket|count|sum)$", "", name)} & known


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: apt install prometheus)"
)
def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    exprs = [
        expr.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
        for expr in QUERIES
    ]
    rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(QUERIES) > 50


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
def test_no_panel_lies_over_another(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(taken) == len(set(taken))
    assert all(x < 24 for x, _ in taken)
