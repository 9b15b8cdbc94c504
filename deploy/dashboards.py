"""The Grafana dashboards: what they show, and the JSON of it.

Every query is about the processes that the variables `job` and `instance` choose. `rate` is per second.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'job=~"$job", instance=~"$instance"'
_WIDTH, _HEIGHT = 8, 8
_COLUMNS = 24 // _WIDTH


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph, or with `single` one figure for each series. The unit is one of Grafana's."""

    title: str
    unit: str
    queries: Sequence[Query]
    about: str
    single: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: rows of panels, by their titles."""

    uid: str
    title: str
    rows: dict[str, Sequence[Panel]]


def of(metric: str, labels: str = "") -> str:
    """A metric of the chosen processes."""
    return f"{metric}{{{_CHOSEN}{', ' * bool(labels)}{labels}}}"


def total(metric: str, by: str = "", labels: str = "") -> str:
    """The sum of a gauge over the chosen processes."""
    return f"sum{f' by ({by}) ' * bool(by)}({of(metric, labels)})"


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """The events of a counter a second."""
    return f"sum{f' by ({by}) ' * bool(by)}(rate({of(metric, labels)}[$__rate_interval]))"


def recent(metric: str, by: str = "", labels: str = "") -> str:
    """The events of a counter within an hour, for what should be rare."""
    return f"sum{f' by ({by}) ' * bool(by)}(increase({of(metric, labels)}[1h]))"


def quantiles(histogram: str, labels: str = "") -> list[Query]:
    """The median, and what 9 and 99 of a hundred do not exceed."""
    buckets = f"sum by (le) (rate({of(f'{histogram}_bucket', labels)}[$__rate_interval]))"
    return [Query(f"histogram_quantile({q}, {buckets})", f"{q:.0%}") for q in (0.5, 0.9, 0.99)]


def one(expr: str, legend: str) -> list[Query]:
    return [Query(expr, legend)]


OVERVIEW = Board(
    "bellwire-overview",
    "Bellwire: overview",
    {
        "Is it well": [
            Panel(
                "Processes",
                "short",
                one(f"count by (process, version) ({of('bellwire_build_info')})", "{{process}} {{version}}"),
                "Processes that can be scraped, by what they are and their version.",
                single=True,
            ),
            Panel(
                "Open streams",
                "short",
                one(total("bellwire_sockets"), "streams"),
                "Live sockets and event streams of all API processes.",
                single=True,
            ),
            Panel(
                "Records that wait",
                "short",
                one(total("bellwire_consumer_lag_records"), "records"),
                "Published and not stored yet.",
                single=True,
            ),
        ],
        "From the producer to the page": [
            Panel(
                "Notifications",
                "ops",
                [
                    Query(rate("bellwire_published_total", labels='outcome="accepted"'), "accepted by HTTP"),
                    Query(rate("bellwire_consumed_total", labels='outcome="stored"'), "stored"),
                    Query(rate("bellwire_frames_total"), "sent to streams"),
                ],
                "What producers write to Kafka themselves is not among the accepted.",
            ),
            Panel(
                "Until stored",
                "s",
                quantiles("bellwire_queue_wait_seconds"),
                "From acceptance until stored, for the oldest notification of each batch.",
            ),
            Panel(
                "Until sent to open pages",
                "s",
                quantiles("bellwire_live_seconds"),
                "From acceptance until handed to the streams of a process.",
            ),
        ],
        "Requests": [
            Panel(
                "Requests",
                "reqps",
                one(rate("bellwire_http_seconds_count", "status"), "{{status}}"),
                "By status.",
            ),
            Panel(
                "Time of requests",
                "s",
                quantiles("bellwire_http_seconds", 'route!~"/health/.*|/metrics"'),
                "Until the answer begins, without health checks and scrapes.",
            ),
            Panel(
                "Not accepted",
                "ops",
                [
                    Query(rate("bellwire_published_total", "outcome", 'outcome!="accepted"'), "{{outcome}}"),
                    Query(rate("bellwire_limited_total", "limit"), "limit: {{limit}}"),
                ],
                "Publishes that Kafka did not confirm, and requests beyond a limit.",
            ),
        ],
        "What should be rare, within an hour": [
            Panel(
                "Dead letters",
                "short",
                one(recent("bellwire_dead_letters_total", "error"), "{{error}}"),
                "By code. docs/dead-letters.md explains each.",
            ),
            Panel(
                "Faults",
                "short",
                [
                    Query(recent("bellwire_index_mismatches_total", "kind"), "index: {{kind}}"),
                    Query(recent("bellwire_redis_refused_total", "kind"), "not ours in Redis: {{kind}}"),
                    Query(recent("bellwire_position_misses_total"), "streams behind"),
                    Query(recent("bellwire_background_repeated_total"), "background work began again"),
                    Query(recent("bellwire_floods_total"), "floods"),
                ],
                "Each has an alert, which docs/operations.md explains.",
            ),
            Panel(
                "Alerts that fire",
                "short",
                one(
                    'sum by (alertname) (ALERTS{alertname=~"Bellwire.*", alertstate="firing"})',
                    "{{alertname}}",
                ),
                "Of deploy/prometheus/alerts.yml.",
            ),
        ],
    },
)

# The processes of the API have the metrics of consumers too, with their first values.
_CONSUMERS = of("bellwire_build_info", 'process="consumer"')

DELIVERY = Board(
    "bellwire-delivery",
    "Bellwire: into the feeds",
    {
        "Publishing": [
            Panel(
                "Published",
                "ops",
                one(rate("bellwire_published_total", "outcome"), "{{outcome}}"),
                "Handed to Kafka, by outcome.",
            ),
            Panel(
                "Until Kafka acknowledges",
                "s",
                quantiles("bellwire_publish_ack_seconds"),
                "What a publish waits for the brokers.",
            ),
            Panel(
                "Producers replaced",
                "short",
                one(recent("bellwire_producers_replaced_total"), "replaced"),
                "Within an hour, because none of their publishes succeeded.",
            ),
        ],
        "The queue": [
            Panel(
                "Records that wait",
                "short",
                one(total("bellwire_consumer_lag_records", "instance"), "{{instance}}"),
                "Of the partitions of each consumer.",
            ),
            Panel(
                "State of the consumers",
                "short",
                one(
                    f"count by (bellwire_consumer_state) (({of('bellwire_consumer_state')} == 1) "
                    f"and on (job, instance) {_CONSUMERS})",
                    "{{bellwire_consumer_state}}",
                ),
                "How many are in which state.",
            ),
            Panel(
                "Partitions that are not read",
                "short",
                one(total("bellwire_held_partitions", "instance"), "{{instance}}"),
                "Held or stopped: /health/ready of the consumer names them.",
            ),
        ],
        "Storing": [
            Panel(
                "Consumed",
                "ops",
                one(rate("bellwire_consumed_total", "outcome"), "{{outcome}}"),
                "Records, by outcome.",
            ),
            Panel(
                "Time to store a batch",
                "s",
                quantiles("bellwire_store_seconds"),
                "One transaction or round trip.",
            ),
            Panel("Records in a batch", "short", quantiles("bellwire_batch_records"), "As they had arrived."),
        ],
        "Around storing": [
            Panel(
                "Withheld",
                "ops",
                one(rate("bellwire_withheld_total", "reason"), "{{reason}}"),
                "Notifications that are not shown, by reason.",
            ),
            Panel(
                "Failures",
                "short",
                [
                    Query(recent("bellwire_store_retries_total"), "batches put back"),
                    Query(recent("bellwire_read_failures_total"), "failed reads"),
                    Query(recent("bellwire_erased_records_total"), "records of erased users"),
                ],
                "Within an hour.",
            ),
            Panel(
                "Alarms",
                "s",
                one(f"max by (kind) ({of('bellwire_alarm_lag_seconds')})", "{{kind}}"),
                "How late the earliest due alarm is.",
            ),
        ],
        "Announcing": [
            Panel(
                "Time to announce",
                "s",
                quantiles("bellwire_announce_seconds"),
                "Index and live frames of a batch.",
            ),
            Panel(
                "Feeds not announced",
                "short",
                one(total("bellwire_untold_feeds", "instance"), "{{instance}}"),
                "While Redis does not serve.",
            ),
            Panel(
                "PostgreSQL connections in use",
                "short",
                one(total("bellwire_postgres_connections_in_use", "instance"), "{{instance}}"),
                "Of the pool of each process (BELLWIRE_POSTGRES_POOL).",
            ),
        ],
    },
)

STREAMS = Board(
    "bellwire-streams",
    "Bellwire: streams",
    {
        "Open streams": [
            Panel(
                "Streams",
                "short",
                one(total("bellwire_sockets", "instance"), "{{instance}}"),
                "Of each API process, over all of its workers.",
            ),
            Panel(
                "How full",
                "percentunit",
                one(
                    f"max by (instance) ({of('bellwire_sockets')} / ({of('bellwire_sockets_limit')} > 0))",
                    "{{instance}}",
                ),
                "Of BELLWIRE_SOCKETS, for the fullest worker.",
            ),
            Panel(
                "Refused",
                "ops",
                [
                    Query(rate("bellwire_turned_away_total"), "too many opening"),
                    Query(rate("bellwire_newcomers_ended_total"), "unknown clients"),
                    Query(rate("bellwire_connections_dropped_total"), "no descriptors"),
                ],
                "Streams and connections that were not served.",
            ),
        ],
        "Frames": [
            Panel(
                "Frames",
                "ops",
                one(rate("bellwire_frames_total", "instance"), "{{instance}}"),
                "Sent to clients.",
            ),
            Panel(
                "Until sent",
                "s",
                quantiles("bellwire_live_seconds"),
                "From acceptance until handed to the streams.",
            ),
            Panel(
                "Bytes that wait for clients",
                "bytes",
                one(total("bellwire_queued_bytes", "instance"), "{{instance}}"),
                "Outside of the kernel.",
            ),
        ],
        "How streams go on": [
            Panel(
                "Closed by the service",
                "ops",
                one(rate("bellwire_closes_total", "code"), "{{code}}"),
                "docs/live-stream.md explains the codes.",
            ),
            Panel(
                "Catch-ups",
                "ops",
                one(rate("bellwire_catch_ups_total", "reason, outcome"), "{{reason}} {{outcome}}"),
                "Streams that read what they missed.",
            ),
            Panel(
                "Age of what was missed",
                "ops",
                one(rate("bellwire_catch_ups_total", "age"), "{{age}}"),
                "Of the oldest notification of a catch-up.",
            ),
        ],
        "Loss and repetition": [
            Panel(
                "Gaps and repetitions",
                "ops",
                [
                    Query(rate("bellwire_gaps_total"), "gaps"),
                    Query(rate("bellwire_duplicates_total"), "frames dropped as known"),
                    Query(rate("bellwire_position_misses_total"), "behind at the comparison"),
                ],
                "All of them are repaired.",
            ),
            Panel(
                "Resets",
                "ops",
                one(rate("bellwire_resets_total", "reason"), "{{reason}}"),
                "Clients that had to load their feed anew.",
            ),
            Panel(
                "Subscription lost",
                "short",
                one(recent("bellwire_carrier_lost_total", "instance"), "{{instance}}"),
                "Within an hour: the connection to Redis broke.",
            ),
        ],
        "Lists and processes": [
            Panel(
                "Unread lists",
                "ops",
                one(rate("bellwire_index_total", "outcome"), "{{outcome}}"),
                "By what the index in Redis held.",
            ),
            Panel(
                "Processor time",
                "percentunit",
                one(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),
                "100 % is one core.",
            ),
            Panel(
                "Memory",
                "bytes",
                one(total("process_resident_memory_bytes", "instance"), "{{instance}}"),
                "Resident.",
            ),
        ],
    },
)

DASHBOARDS = (OVERVIEW, DELIVERY, STREAMS)


def rendered(board: Board) -> str:
    """The dashboard as Grafana imports it."""
    shown = {
        "uid": board.uid,
        "title": board.title,
        "tags": ["bellwire"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "Bellwire",
                "tags": ["bellwire"],
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": list(_variables())},
        "panels": list(_panels(board)),
    }
    return json.dumps(shown, indent=1) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"}
    for name, chosen in (("job", ""), ("instance", '{job=~"$job"}')):
        query = f"label_values(bellwire_build_info{chosen}, {name})"
        yield {
            "type": "query",
            "name": name,
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }


def _panels(board: Board) -> Iterator[dict[str, Any]]:
    ids, top = itertools.count(1), 0
    for title, panels in board.rows.items():
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        yield {
            "id": next(ids),
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        top += 1
        for number, panel in enumerate(panels):
            line, column = divmod(number, _COLUMNS)
            place = {"x": column * _WIDTH, "y": top + line * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            yield {"id": next(ids), "gridPos": place, **_panel(panel)}
        top += _HEIGHT * -(-len(panels) // _COLUMNS)


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
        }
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": "stat" if panel.single else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": _STAT if panel.single else _GRAPH,
    }


_STAT = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto", "graphMode": "area"}
_GRAPH = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
