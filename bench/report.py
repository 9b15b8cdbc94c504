"""The results: a file, and a table in Markdown."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redis import Redis

from bench.servers import Stack

RESULTS = Path(__file__).parent / "results"
LATEST = RESULTS / "latest.json"

_PACKAGES = (
    "bellwire", "litestar", "uvicorn", "uvloop", "httptools", "msgspec", "asyncpg", "sqlalchemy", "redis",
    "hiredis", "aiokafka", "websockets",
)  # fmt: skip


def facts(stack: Stack, *, seconds: float, quick: bool) -> dict[str, Any]:
    """The facts on which the numbers depend."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    client = Redis.from_url(stack.servers.redis_url)
    info: Any = client.info("server")
    client.close()
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "postgresql": stack.sql("SHOW server_version")[0][0],
        "redis": info["redis_version"],
        "kafka": stack.kafka_name,
        "seconds": seconds,
        "quick": quick,
    }


def save(about: dict[str, Any], rows: list[dict[str, Any]], name: str | None = None) -> None:
    """Keep the results as the latest, and under a name of their own."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"about": about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"
    for file in (LATEST, *([RESULTS / f"{name}.json"] if name else [])):
        file.write_text(text)


def table(saved: str) -> str:
    """The saved results as Markdown."""
    outcome = json.loads(saved)
    return "\n".join([*about(outcome["about"]), "", *rows_table(outcome["rows"])])


def rows_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of one run as a table in Markdown."""
    bares = [row for row in rows if row["what"].startswith("bare ")]
    rate, cpu = (sum(row[name] for row in bares) / max(len(bares), 1) for name in ("value", "cpu"))
    return [
        "| what | result | p50 | p99 | processor time each | of bare Litestar: rate | time | errors |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_line(row, rate, cpu) for row in rows),
    ]


def about(run: Mapping[str, Any]) -> list[str]:
    """Where and when it was measured."""
    before, after = (run[name][0] for name in ("load_before", "load_after"))
    cores = f"{run['cores']} cores for everything (load {before:.1f} before, {after:.1f} after)"
    servers = f"PostgreSQL {run['postgresql']}, Redis {run['redis']}, Kafka: {run['kafka']}"
    length = f"{run['seconds']:g} s a load{', quick' if run['quick'] else ''}"
    return [
        f"Measured {run['measured_at']}, commit {run['commit']}: {cores}, {run['machine']},",
        f"Python {run['python']}, {servers}; {length}.",
    ]


def _line(row: Mapping[str, Any], bare_rate: float, bare_cpu: float) -> str:
    value = f"{row['value']:,.0f}" if row["value"] >= 100 else f"{row['value']:.1f}"
    comparable = row["comparable"] and bare_rate and bare_cpu
    cells = [
        row["what"],
        f"{value} {row['unit']}",
        *("" if row[name] is None else f"{row[name] * 1e3:.1f} ms" for name in ("p50", "p99")),
        "" if row["cpu"] is None else f"{row['cpu'] * 1e6:.0f} µs",
        f"{row['value'] / bare_rate:.2f}" if comparable else "",
        f"{row['cpu'] / bare_cpu:.1f} ×" if comparable and row["cpu"] else "",
        str(row["errors"]),
    ]
    return f"| {' | '.join(cells)} |"
