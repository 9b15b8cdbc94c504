"""The metrics, one line each. Times are in seconds.

Names follow Prometheus's naming rules: unit last, counters end in _total.
"""

import platform

from prometheus_client import Counter, Enum, Gauge, Histogram

from common.often import OftenCounted, OftenObserved

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

BUILD = Gauge(
    "bellwire_build_info", "What runs: always 1, the facts are the labels", ["process", "version", "python"]
)


def identify(process: str, version: str) -> None:
    """Say which process of which version this is."""
    BUILD.labels(process, version, platform.python_version()).set(1)


HTTP = OftenObserved("bellwire_http_seconds", "HTTP requests", ["method", "route", "status"], buckets=_FAST)
CONNECTIONS_DROPPED = Counter(
    "bellwire_connections_dropped_total", "Connections dropped because descriptors ran out", ["kind"]
)

LIMITED = Counter("bellwire_limited_total", "Requests refused because of a limit", ["limit"])

PUBLISHED = OftenCounted("bellwire_published_total", "Notifications handed to Kafka", ["outcome"])
PUBLISH_ACK = OftenObserved(
    "bellwire_publish_ack_seconds", "Time until Kafka acknowledges a publish", buckets=_FAST
)
PRODUCERS_REPLACED = Counter(
    "bellwire_producers_replaced_total", "Kafka producers replaced because none of their publishes succeeded"
)

CONSUMED = Counter("bellwire_consumed_total", "Kafka records consumed, by outcome", ["outcome"])
QUEUE_WAIT = Histogram(
    "bellwire_queue_wait_seconds",
    "Time from acceptance until stored, for the oldest record of a batch",
    buckets=_FAST,
)
STORE = Histogram("bellwire_store_seconds", "Time to store one batch in PostgreSQL", buckets=_FAST)
BATCH_SIZE = Histogram(
    "bellwire_batch_records", "Records in a batch", buckets=(1, 5, 25, 100, 250, 500, 1000, 2000)
)
STORE_RETRIES = Counter(
    "bellwire_store_retries_total", "Batches put back because PostgreSQL was out of reach"
)
READ_FAILURES = Counter("bellwire_read_failures_total", "Failed reads from Kafka, of all partitions or one")
HELD = Gauge("bellwire_held_partitions", "Partitions that are currently not read")
FLOODS = Counter("bellwire_floods_total", "Floods: too many bad records in a row in one partition")
LAG = Gauge("bellwire_consumer_lag_records", "Records of this consumer's partitions that are not read yet")
CONSUMER = Enum(
    "bellwire_consumer_state",
    "What the consumer is doing",
    states=["reading", "idle", "held", "behind", "broker_away"],
)
WITHHELD = Counter("bellwire_withheld_total", "Notifications that are not shown, by reason", ["reason"])
USERS_CREATED = Counter(
    "bellwire_users_created_total", "Users created just in time, for a notification or a token"
)
ERASED_RECORDS = Counter(
    "bellwire_erased_records_total", "Kafka records dropped because their user was erased"
)
DEAD_LETTERS = Counter("bellwire_dead_letters_total", "Records sent to the dead-letter topic", ["error"])
OTHER_CATEGORY = Counter(
    "bellwire_other_category_total",
    "Categories not entered because there are too many: once for each in a batch that has it",
)
STRAYS = Gauge("bellwire_default_partition_rows", "Rows in the DEFAULT partition, which should be empty")

ALARMS = Counter("bellwire_alarms_total", "Alarms that rang, by kind", ["kind"])
ALARM_LAG = Gauge(
    "bellwire_alarm_lag_seconds",
    "How late the earliest alarm that is due was when this process last looked",
    ["kind"],
)

ANNOUNCE = Histogram("bellwire_announce_seconds", "Time to announce a batch in Redis", buckets=_FAST)
UNTOLD = Gauge("bellwire_untold_feeds", "Feeds whose last change is not announced yet")
INDEX = OftenCounted(
    "bellwire_index_total", "Reads of unread notifications, by what the index held", ["outcome"]
)
INDEX_CHECKED = Counter("bellwire_index_checked_total", "Index entries compared with PostgreSQL")
INDEX_MISMATCHES = Counter(
    "bellwire_index_mismatches_total", "Index entries that differed from PostgreSQL", ["kind"]
)

REDIS_REFUSED = Counter(
    "bellwire_redis_refused_total",
    "What was read from Redis and ignored because Bellwire did not write it with this secret",
    ["kind"],
)

SOCKETS = Gauge("bellwire_sockets", "Open live sockets")
SOCKETS_LIMIT = Gauge(
    "bellwire_sockets_limit", "Open live sockets beyond which new ones are refused; 0: none"
)
FRAMES = Counter("bellwire_frames_total", "Frames sent to clients")
LIVE_LATENCY = Histogram(
    "bellwire_live_seconds", "Time from acceptance until sent on the streams of this process", buckets=_FAST
)
CATCH_UPS = Counter(
    "bellwire_catch_ups_total",
    "Catch-ups of streams, by the age of the oldest notification missed",
    ["reason", "outcome", "age"],
)
TURNED_AWAY = Counter("bellwire_turned_away_total", "Streams refused because too many others were opening")
BACKGROUND_REPEATED = Counter(
    "bellwire_background_repeated_total", "Times background work failed in a driver and began again"
)
NEWCOMERS_ENDED = Counter(
    "bellwire_newcomers_ended_total",
    "Sockets of unknown or refused clients that ended because of many others",
)
RESETS = Counter("bellwire_resets_total", "Resets sent to clients, by reason", ["reason"])
GAPS = Counter("bellwire_gaps_total", "Gaps that did not close by themselves")
DUPLICATES = Counter("bellwire_duplicates_total", "Frames dropped because the client already had them")
POSITION_MISSES = Counter(
    "bellwire_position_misses_total", "Streams found behind their feed by the periodic comparison"
)
QUEUED_BYTES = Gauge("bellwire_queued_bytes", "Bytes queued in this process for clients")
CLOSES = Counter("bellwire_closes_total", "Sockets closed by the server", ["code"])
CARRIER_LOST = Counter(
    "bellwire_carrier_lost_total", "Times this process lost its subscription to the carrier"
)

TASKS = Gauge("bellwire_tasks", "Tasks of the event loop")
POOL_IN_USE = Gauge(
    "bellwire_postgres_connections_in_use", "Connections of the PostgreSQL pool that are in use"
)

_LETTERS = ["unknown-user", "invalid", "malformed", "tombstone", "unreadable", "not-own", "defect"]
_EVENTS: list[tuple[Counter, str, list[str]]] = [
    (CLOSES, "code", ["4000", "4002", "4003", "4006"]),
    (CONNECTIONS_DROPPED, "kind", ["new", "waiting"]),
    (CONSUMED, "outcome", ["dead", "stored"]),
    (DEAD_LETTERS, "error", _LETTERS),
    (INDEX_MISMATCHES, "kind", ["stale", "wrong"]),
    (REDIS_REFUSED, "kind", ["index", "frames", "order", "ticket", "idempotency"]),
    (RESETS, "reason", ["epoch", "future", "retention"]),
]
"""What alerts wait for. A series that begins with its first event shows no increase: these begin with 0."""
for _counter, _label, _values in _EVENTS:
    for _value in _values:
        _counter.labels(**{_label: _value})
for _value in ("resume", "carrier", "gap", "position"):
    CATCH_UPS.labels(_value, "failed", "none")
