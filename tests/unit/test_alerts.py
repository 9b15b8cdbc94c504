"""deploy/prometheus: alerts that use metrics that exist, fire when they should, and say what to do."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from common import metrics
from tests.papers import anchors

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy/prometheus/alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
MINUTES = 130

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: apt install prometheus)"
)

_API = 'job="bellwire-api",instance="api:8000"'
_CONSUMER = 'job="bellwire-consumer",instance="consumer:8001"'


def constant(value: float) -> str:
    return f"{value}+0x{MINUTES}"


def rising(by: float) -> str:
    """A counter that rises so much each minute."""
    return f"0+{by}x{MINUTES}"


def buckets(name: str, labels: str, below: float) -> dict[str, str]:
    """A histogram to which 60 values below `below` come each minute."""
    bounds = (0.5, 1, 2.5, 5, 10)
    lines = {
        f'{name}_bucket{{{labels},le="{bound}"}}': rising(60 if bound >= below else 0) for bound in bounds
    }
    return {
        **lines,
        f'{name}_bucket{{{labels},le="+Inf"}}': rising(60),
        f"{name}_count{{{labels}}}": rising(60),
    }


def api(name: str, labels: str = "") -> str:
    return f"{name}{{{_API}{',' * bool(labels)}{labels}}}"


def consumer(name: str, labels: str = "") -> str:
    return f"{name}{{{_CONSUMER}{',' * bool(labels)}{labels}}}"


UP_API, UP_CONSUMER = api("up"), consumer("up")
BUILD_API = api("bellwire_build_info", 'process="api",version="1"')
BUILD_CONSUMER = consumer("bellwire_build_info", 'process="consumer",version="1"')
ROUTE = f'{_API},route="/v1/notifications",status="202"'
STORED = consumer("bellwire_consumed_total", 'outcome="stored"')
LAG = consumer("bellwire_consumer_lag_records")
CARRIER = api("bellwire_carrier_lost_total")
FAILED = api("bellwire_catch_ups_total", 'outcome="failed"')
WELL = {
    UP_API: constant(1),
    UP_CONSUMER: constant(1),
    BUILD_API: constant(1),
    BUILD_CONSUMER: constant(1),
    api("process_start_time_seconds"): constant(1_700_000_000),
    consumer("process_start_time_seconds"): constant(1_700_000_000),
    api("bellwire_published_total", 'outcome="accepted"'): rising(600),
    api("bellwire_published_total", 'outcome="unavailable"'): constant(0),
    **buckets("bellwire_http_seconds", ROUTE, 0.5),
    api("bellwire_connections_dropped_total", 'kind="new"'): constant(0),
    STORED: rising(600),
    **buckets("bellwire_queue_wait_seconds", _CONSUMER, 0.5),
    LAG: constant(100),
    consumer("bellwire_held_partitions"): constant(0),
    consumer("bellwire_floods_total"): constant(0),
    consumer("bellwire_read_failures_total"): constant(0),
    consumer("bellwire_store_retries_total"): constant(0),
    consumer("bellwire_dead_letters_total", 'error="invalid"'): constant(0),
    consumer("bellwire_default_partition_rows"): constant(0),
    consumer("bellwire_alarm_lag_seconds", 'kind="wake"'): constant(1),
    **buckets("bellwire_live_seconds", _API, 0.5),
    consumer("bellwire_untold_feeds"): constant(0),
    CARRIER: constant(0),
    api("bellwire_position_misses_total"): constant(0),
    FAILED: constant(0),
    api("bellwire_closes_total", 'code="4000"'): rising(60),
    api("bellwire_closes_total", 'code="4002"'): constant(0),
    api("bellwire_closes_total", 'code="4006"'): constant(0),
    api("bellwire_sockets"): constant(5_000),
    api("bellwire_sockets_limit"): constant(10_000),
    api("bellwire_turned_away_total"): constant(0),
    api("bellwire_resets_total", 'reason="epoch"'): constant(0),
    consumer("bellwire_index_mismatches_total", 'kind="stale"'): constant(0),
    api("bellwire_redis_refused_total", 'kind="frames"'): constant(0),
    consumer("bellwire_other_category_total"): constant(0),
    api("bellwire_background_repeated_total"): constant(0),
}
"""The series of a small installation that is well."""

GONE = f"_x{MINUTES}"
ONCE = f"0x100 1x{MINUTES - 100}"
"""A counter with one event, shortly before the end."""
FAULTS: Mapping[str, Mapping[str, str]] = {
    "BellwireApiDown": {BUILD_API: GONE},
    "BellwireConsumerDown": {BUILD_CONSUMER: GONE},
    "BellwireTargetDown": {UP_API: constant(0)},
    "BellwireRestarting": {api("process_start_time_seconds"): rising(1)},
    "BellwireVersionsDiffer": {
        BUILD_CONSUMER: GONE,
        consumer("bellwire_build_info", 'process="consumer",version="2"'): constant(1),
    },
    "BellwirePublishFailing": {api("bellwire_published_total", 'outcome="unavailable"'): rising(10)},
    "BellwireServerErrors": {f'bellwire_http_seconds_count{{{_API},route="x",status="503"}}': rising(2)},
    "BellwireSlowRequests": buckets("bellwire_http_seconds", ROUTE, 2.5),
    "BellwireConnectionsDropped": {api("bellwire_connections_dropped_total", 'kind="new"'): "0x125 7x5"},
    "BellwireNothingStored": {STORED: constant(7)},
    "BellwireQueueWaitHigh": buckets("bellwire_queue_wait_seconds", _CONSUMER, 10),
    "BellwireQueueGrows": {LAG: f"20000+10x{MINUTES}"},
    "BellwirePartitionHeld": {consumer("bellwire_held_partitions"): constant(1)},
    "BellwireFlood": {consumer("bellwire_floods_total"): "0x120 1x10"},
    "BellwireReadFailures": {consumer("bellwire_read_failures_total"): rising(2)},
    "BellwireStoreRetries": {consumer("bellwire_store_retries_total"): rising(2)},
    "BellwireDeadLetters": {consumer("bellwire_dead_letters_total", 'error="invalid"'): "0x120 1x10"},
    "BellwireDefaultPartition": {consumer("bellwire_default_partition_rows"): constant(1)},
    "BellwireAlarmsLate": {consumer("bellwire_alarm_lag_seconds", 'kind="wake"'): constant(60)},
    "BellwireLiveLate": buckets("bellwire_live_seconds", _API, 10),
    "BellwireNotAnnounced": {consumer("bellwire_untold_feeds"): constant(3)},
    "BellwireCarrierLost": {CARRIER: rising(1)},
    "BellwireFramesLost": {api("bellwire_position_misses_total"): rising(1)},
    "BellwireCatchUpsFailing": {FAILED: rising(2)},
    "BellwireSocketsNearLimit": {api("bellwire_sockets"): constant(9_000)},
    "BellwireStreamsTurnedAway": {api("bellwire_turned_away_total"): rising(5)},
    "BellwireSlowClients": {api("bellwire_closes_total", 'code="4002"'): rising(20)},
    "BellwireStreamsReset": {api("bellwire_resets_total", 'reason="epoch"'): rising(2)},
    "BellwireIndexWrong": {consumer("bellwire_index_mismatches_total", 'kind="stale"'): ONCE},
    "BellwireRedisNotOurs": {api("bellwire_redis_refused_total", 'kind="frames"'): "0x120 1x10"},
    "BellwireTooManyCategories": {consumer("bellwire_other_category_total"): ONCE},
    "BellwireBackgroundRepeated": {api("bellwire_background_repeated_total"): rising(1)},
}
"""What is otherwise when an alert should fire: that one, and no other."""
QUIET: Mapping[str, Mapping[str, str]] = {
    "a lag that shrinks": {LAG: f"100000-10x{MINUTES}"},
    "no limit for streams": {api("bellwire_sockets_limit"): constant(0)},
    "nothing is published": {
        api("bellwire_published_total", 'outcome="accepted"'): constant(7),
        STORED: constant(7),
    },
    "health checks of a process that drains": {
        f'bellwire_http_seconds_count{{{_API},route="/health/ready",status="503"}}': rising(60)
    },
    "streams behind after an outage of Redis": {
        api("bellwire_position_misses_total"): "0x125 5x5",
        CARRIER: "0x124 1x6",
    },
    "one restart": {api("process_start_time_seconds"): "1x120 2x10"},
    "a partition held for a moment": {consumer("bellwire_held_partitions"): "0x128 1x2"},
}


def firing(series: Mapping[str, str], folder: Path) -> set[str]:
    """The alerts that Prometheus fires at the end of these series, as promtool evaluates them."""
    wanted = [
        {
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
            "eval_time": f"{MINUTES}m",
        }
        for name in NAMES
    ]
    tests = {
        "rule_files": [str(FILE)],
        "evaluation_interval": "2m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {**one, "exp_samples": [{"labels": "{}", "value": 0}]} for one in wanted
                ],
            }
        ],
    }
    file = folder / "tests.yml"
    file.write_text(json.dumps(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    found = set(re.findall(r'alertname=\\?"(\w+)\\?"', done.stdout + done.stderr))
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


@needs_promtool
def test_the_rules_are_valid() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", str(FILE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_scrape_configuration_is_valid_and_finds_the_rules() -> None:
    file = ROOT / "deploy/prometheus.yml"
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for named in yaml.safe_load(file.read_text())["rule_files"]:
        assert (file.parent / named).is_file()


@needs_promtool
@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_for_its_fault_alone(name: str, tmp_path: Path) -> None:
    assert firing({**WELL, **FAULTS[name]}, tmp_path) == {name}


@needs_promtool
@pytest.mark.parametrize("case", ["nothing", *QUIET])
def test_no_alert_fires_for(case: str, tmp_path: Path) -> None:
    assert firing({**WELL, **QUIET.get(case, {})}, tmp_path) == set()


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_what_it_means_and_where_it_is_explained(rule: dict[str, Any]) -> None:
    notes = rule["annotations"]
    assert notes["summary"]
    assert notes["description"].endswith(".")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    page, _, anchor = notes["runbook"].partition("#")
    assert anchor in anchors(ROOT / page)


def test_alerts_use_metrics_that_exist() -> None:
    known = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    known |= {f"{metrics.HTTP._name}_{part}" for part in ("bucket", "count", "sum")}
    known |= {name for family in REGISTRY.collect() for name in (family.name, f"{family.name}_total")}
    for rule in RULES:
        assert set(re.findall(r"\b(?:bellwire|process)_\w+", rule["expr"])) <= known, rule["alert"]


def test_each_alert_is_tested_and_named_once() -> None:
    assert FAULTS.keys() == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_the_docs_list_every_metric() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    own = [found for found in REGISTRY.collect() if found.name.startswith("bellwire_")]
    names = {f"{found.name}_total" if found.type == "counter" else found.name for found in own}
    assert {name for name in names if f"| `{name}` |" not in page} == set()
