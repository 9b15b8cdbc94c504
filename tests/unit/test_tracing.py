"""Spans around the ports: their parents and links, what fails them, and that without them nothing is paid."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import uniform
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_OFF
from opentelemetry.trace import StatusCode

from adapters.redis.announcer import RedisAnnouncer
from adapters.redis.macs import Macs
from adapters.telemetry.announcer import TracedAnnouncer
from adapters.telemetry.batches import BatchTraces
from adapters.telemetry.delivery import TracedDelivery
from adapters.telemetry.feeds import TracedMarks, TracedWriter
from adapters.telemetry.marks import MarksInSpans
from adapters.telemetry.queue import TracedQueue
from adapters.telemetry.sdk import OtelTracer, Quiet, Told
from adapters.telemetry.setup import asked, tracer
from adapters.telemetry.trail import Trail
from adapters.websocket.hub import Hub
from application.delivery import StoreNotifications
from application.errors import Refused, Unavailable, Unconfirmed
from application.records import Batch, Part, Partition, Undecodable
from application.streams import Frame
from common import tracing
from common.tracing import accepted, continued, within
from domain.feed import Feed, FeedChange, Settled
from domain.identifiers import UserId
from domain.notification import Draft
from domain.states import Mark
from entrypoints.consumer.traced import TracedWorker
from entrypoints.web.traced import Traced
from tests.build import ADA, BOB, LATER, NOW, a_draft, a_user, an_id
from tests.memory import MemoryCarrier, MemoryFeeds, MemoryQueue, MemoryUsers

TRACE, OTHER, CALLER = (
    "0af7651916cd43dd8448eb211c80319c",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "b7ad6b7169203331",
)
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
ELSEWHERE = f"00-{OTHER}-{CALLER}-01"


class Recorded:
    """A tracer, and what it recorded."""

    def __init__(self, tracer: OtelTracer, exporter: InMemorySpanExporter) -> None:
        self.tracer = tracer
        self.trail = Trail()
        self._exporter = exporter

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def recorded() -> Recorded:
    from tests.spans import recording

    return Recorded(*recording())


def own(span: ReadableSpan) -> str:
    """The traceparent of a span."""
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def above(span: ReadableSpan) -> str:
    """The traceparent of its parent; empty if it has none."""
    parent = span.parent
    return "" if parent is None else f"00-{parent.trace_id:032x}-{parent.span_id:016x}-01"


def links(span: ReadableSpan) -> set[str]:
    return {f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}-01" for link in span.links}


def error(span: ReadableSpan) -> object:
    """Why it failed; None if it did not."""
    assert span.attributes is not None
    assert (span.status.status_code is StatusCode.ERROR) == ("error.type" in span.attributes)
    return span.attributes.get("error.type")


# --- W3C Trace Context ---


@pytest.mark.parametrize(
    ("received", "taken"),
    [
        (SAMPLED, SAMPLED),
        (UNSAMPLED, UNSAMPLED),
        (f"00-{TRACE}-{CALLER}-03", SAMPLED),
        (f"00-{TRACE}-{CALLER}-fe", UNSAMPLED),
        (f"00-{'0' * 32}-{CALLER}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (SAMPLED.upper(), None),
        (SAMPLED + "-more", None),
        ("", None),
        (None, None),
    ],
)
def test_a_received_context_is_taken_with_its_flag_if_it_is_valid(received: str, taken: str | None) -> None:
    assert accepted(received) == taken


def test_what_continues_a_trace_keeps_its_flag_and_what_begins_one_samples_nothing() -> None:
    fresh = "ab" * 16 + "cd" * 8

    assert continued(SAMPLED, fresh) == f"00-{TRACE}-{'cd' * 8}-01"
    assert continued(UNSAMPLED, fresh) == f"00-{TRACE}-{'cd' * 8}-00"
    assert continued(None, fresh) == f"00-{'ab' * 16}-{'cd' * 8}-00"


# --- requests ---


@asynccontextmanager
async def requested(
    recorded: Recorded, status: int, path: str = "/v1/things/secret", headers: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """A request to an application that answers so."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        scope["path_template"] = "/v1/things/{name}"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope: Any = {"type": "http", "method": "GET", "path": path, "scheme": "http", "headers": sent}
    await Traced(app, recorded.tracer)(scope, AsyncMock(), AsyncMock())
    yield


async def test_a_request_continues_the_callers_trace_and_its_path_is_not_told(recorded: Recorded) -> None:
    async with requested(recorded, 200, headers={"traceparent": SAMPLED}):
        span = recorded.one("GET /v1/things/{name}")

    assert above(span) == SAMPLED
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "http.route": "/v1/things/{name}",
    }


@pytest.mark.parametrize(("status", "code"), [(404, None), (500, "500"), (503, "503")])
async def test_only_errors_of_the_server_fail_a_request(
    recorded: Recorded, status: int, code: str | None
) -> None:
    async with requested(recorded, status):
        assert error(recorded.one("GET /v1/things/{name}")) == code


async def test_an_unsampled_request_and_a_probe_have_no_span(recorded: Recorded) -> None:
    async with requested(recorded, 200, headers={"traceparent": UNSAMPLED}):
        assert not recorded.spans
    async with requested(recorded, 200, "/health/ready"):
        assert not recorded.spans


# --- the queue ---


async def test_what_is_sent_carries_the_span_that_sent_it(recorded: Recorded) -> None:
    carried: list[str | None] = []

    class Watched(MemoryQueue):
        async def put(self, draft: Draft) -> None:
            carried.append(tracing.parent())
            await super().put(draft)

    with within(recorded.tracer.begin("request", parent=SAMPLED)) as request:
        await TracedQueue(Watched(), recorded.tracer, "t").put(a_draft())

    span = recorded.one("send t")
    assert above(span) == request.traceparent
    assert carried == [own(span)]


async def test_a_send_that_is_not_confirmed_has_failed(recorded: Recorded) -> None:
    queue = MemoryQueue()
    queue.unconfirmed.add(a_draft(2).id)
    traced = TracedQueue(queue, recorded.tracer, "t")

    await traced.put_all([a_draft(1), a_draft(2)])
    with pytest.raises(Unconfirmed):
        await traced.put(a_draft(2))

    assert [error(span) for span in recorded.named("send t")] == ["Unconfirmed", "Unconfirmed"]


# --- batches ---


def a_batch(*made: tuple[Draft | Undecodable, str | None]) -> Batch:
    """Records with their traceparents."""
    entries = [
        (SimpleNamespace(offset=nth, timestamp=0, headers=_headers(context)), one)
        for nth, (one, context) in enumerate(made)
    ]
    return Batch([Part(Partition("t", 0), len(made), list(entries))])


def _headers(context: str | None) -> tuple[tuple[str, bytes | None], ...]:
    return () if context is None else (("traceparent", context.encode()),)


class Heard(list[FeedChange]):
    """An announcer that keeps what it is told."""

    async def announce(self, changes: Sequence[FeedChange]) -> None:
        self.extend(changes)


async def worked(recorded: Recorded, batch: Batch, *, feeds: Any = None) -> list[str | None]:
    """A worker deals with a batch. Returns the contexts of what it announced, in order."""
    users = MemoryUsers()
    for user in (ADA, BOB):
        await users.add(a_user(user), None)
    contexts: list[str | None] = []

    class Watched(Heard):
        async def announce(self, changes: Sequence[FeedChange]) -> None:
            contexts.extend(recorded.trail.of(one.feed.user_id, one.feed.version) for one in changes)

    store = StoreNotifications(
        feeds=TracedWriter(feeds or MemoryFeeds(users), recorded.tracer, recorded.trail),
        announcer=TracedAnnouncer(Watched(), recorded.tracer, recorded.trail),
        clock=lambda: NOW,
    )
    partitions = Mock()
    partitions.without_read_ahead.side_effect = list
    partitions.floods.judge.return_value = None
    worker = TracedWorker(
        AsyncMock(),
        store,
        AsyncMock(),
        partitions,
        lambda: NOW,
        traces=BatchTraces(recorded.tracer, "t", "g"),
    )
    await worker._process(batch)
    await worker._finished()
    assert tracing.parent() is None
    return contexts


async def test_a_batch_for_one_trace_is_below_its_send(recorded: Recorded) -> None:
    contexts = await worked(recorded, a_batch((a_draft(1), SAMPLED), (a_draft(2, BOB), UNSAMPLED)))

    batch = recorded.one("process t")
    assert (above(batch), links(batch)) == (SAMPLED, {SAMPLED})
    assert [above(span) for span in (*recorded.named("store"), *recorded.named("announce"))] == [
        own(batch)
    ] * 2
    assert contexts == [own(batch), None], "the frame of the other user is not in this trace"


async def test_a_batch_for_several_traces_begins_its_own_and_each_record_keeps_its(
    recorded: Recorded,
) -> None:
    contexts = await worked(recorded, a_batch((a_draft(1), SAMPLED), (a_draft(2, BOB), ELSEWHERE)))

    (batch,) = [span for span in recorded.named("process t") if span.parent is None]
    first, second = [span for span in recorded.named("process t") if span.parent is not None]
    assert links(batch) == {SAMPLED, ELSEWHERE}
    assert [above(first), above(second)] == [SAMPLED, ELSEWHERE]
    assert links(first) == links(second) == {own(batch)}
    assert contexts == [own(first), own(second)]


@pytest.mark.parametrize("sampler", [DEFAULT_OFF, ALWAYS_OFF])
async def test_a_batch_without_a_sampled_record_has_no_span(sampler: Any) -> None:
    from tests.spans import recording

    recorded = Recorded(*recording(sampler))
    await worked(recorded, a_batch((a_draft(1), UNSAMPLED), (a_draft(2, BOB), None)))
    await worked(recorded, a_batch((a_draft(3), None)))

    assert not recorded.spans


async def test_a_batch_of_several_traces_is_sampled_as_they_are() -> None:
    from tests.spans import recording

    recorded = Recorded(*recording(DEFAULT_OFF))
    await worked(recorded, a_batch((a_draft(1), SAMPLED), (a_draft(2, BOB), ELSEWHERE)))

    assert len(recorded.named("process t")) == 3


async def test_a_batch_that_is_put_back_has_failed(recorded: Recorded) -> None:
    feeds = Mock()
    feeds.append = AsyncMock(side_effect=Unavailable("gone, with the words of Lovelace"))

    await worked(recorded, a_batch((a_draft(1), SAMPLED), (a_draft(2, BOB), ELSEWHERE)), feeds=feeds)

    assert sorted(recorded.names) == ["process t", "process t", "process t", "store"]
    assert {error(span) for span in recorded.spans} == {"Unavailable"}
    told = "".join(span.to_json() for span in recorded.spans)
    assert "Lovelace" not in told
    assert '"ada"' not in told  # the hexadecimal digits of an id may contain it


async def test_a_dead_letter_has_failed_and_no_other_record_of_its_batch(recorded: Recorded) -> None:
    unknown = a_draft(2, UserId("nobody"))
    await worked(
        recorded,
        a_batch(
            (a_draft(1), SAMPLED),
            (unknown, ELSEWHERE),
            (Undecodable("invalid", "x"), f"00-{'c' * 32}-{CALLER}-01"),
        ),
    )

    found = {above(span).split("-")[1]: error(span) for span in recorded.named("process t") if span.parent}
    assert found == {TRACE: None, OTHER: "unknown-user", "c" * 32: "invalid"}
    (batch,) = [span for span in recorded.named("process t") if span.parent is None]
    assert error(batch) is None


# --- announcements ---


async def test_an_announcement_that_redis_missed_has_failed(recorded: Recorded) -> None:
    class Away:
        async def announce(self, changes: Sequence[FeedChange]) -> None:
            for change in changes:
                recorded.trail.missed(change.feed.user_id, change.feed.version)

    change = Settled(Feed(ADA, "e", 1, 0))
    recorded.trail.stored(change, SAMPLED)
    await TracedAnnouncer(Away(), recorded.tracer, recorded.trail).announce([change])

    span = recorded.one("announce")
    assert (above(span), error(span)) == (SAMPLED, "Unavailable")
    assert recorded.trail.of(ADA, 1) is None, "it is not kept"


def _announced(trail: Trail | None) -> list[Any]:
    announcer = RedisAnnouncer(Mock(), "p", Macs("s" * 32, "p"), 200, uniform, clock=lambda: NOW, trail=trail)
    return list(announcer._messages([Frame(ADA, "e", 0, 1, "{}"), Frame(BOB, "e", 4, 5, "{}")]))


def test_a_message_is_the_same_unless_its_trace_is_sampled() -> None:
    trail = Trail()
    trail.stored(Settled(Feed(ADA, "e", 1, 0)), UNSAMPLED)
    before = _announced(None)

    assert _announced(trail) == before
    trail.stored(Settled(Feed(ADA, "e", 1, 0)), SAMPLED)
    assert SAMPLED.encode() in _announced(trail)[1]
    assert _announced(trail)[2:] == before[2:]


# --- pushes ---


CONTEXT = Frame(UserId(""), SAMPLED, 0, 0, "")


class Stream:
    """A follower that notes the trace in which it got each frame."""

    def __init__(self) -> None:
        self.got: list[tuple[int, str | None]] = []

    def take(self, frame: Frame) -> None:
        self.got.append((frame.version, tracing.parent()))

    def miss(self) -> None:
        raise AssertionError


async def test_one_span_pushes_to_all_streams_of_the_user_and_the_next_frame_has_none(
    recorded: Recorded,
) -> None:
    hub, streams = Hub(lambda: NOW, MemoryCarrier()), [Stream(), Stream()]
    for stream in streams:
        await hub.join(ADA, stream)
    deliver = TracedDelivery(hub.deliver, hub.count, recorded.tracer, recorded.trail)

    deliver([Frame(ADA, "e", 0, 1, "{}"), CONTEXT, Frame(ADA, "e", 1, 2, "{}"), Frame(ADA, "e", 2, 3, "{}")])

    push = recorded.one("push")
    assert (above(push), dict(push.attributes or {})) == (SAMPLED, {"bellwire.streams": 2})
    assert streams[0].got == streams[1].got == [(1, None), (2, own(push)), (3, None)]


async def test_without_tracing_a_context_is_ignored_and_without_streams_there_is_no_push(
    recorded: Recorded,
) -> None:
    hub, stream = Hub(lambda: NOW, MemoryCarrier()), Stream()
    await hub.join(ADA, stream)

    hub.deliver([CONTEXT, Frame(ADA, "e", 1, 2, "{}")])
    TracedDelivery(hub.deliver, hub.count, recorded.tracer, recorded.trail)(
        [CONTEXT, Frame(BOB, "e", 1, 2, "{}"), Frame(ADA, "e", 2, 3, "{}")]
    )

    assert stream.got == [(2, None), (3, None)]
    assert not recorded.spans


# --- marks ---


async def marks(recorded: Recorded, users: Sequence[UserId] = (ADA, BOB)) -> tuple[MarksInSpans, MemoryFeeds]:
    """Marks of these users, who have one notification each."""
    directory = MemoryUsers()
    feeds = MemoryFeeds(directory)
    for nth, user in enumerate(users):
        await directory.add(a_user(user), None)
        await feeds.append([a_draft(nth, user)])
    announcer = TracedAnnouncer(Heard(), recorded.tracer, recorded.trail)
    traced = TracedMarks(feeds, recorded.tracer, recorded.trail)
    return MarksInSpans(traced, announcer, recorded.tracer, recorded.trail), feeds


async def test_a_mark_on_a_stream_continues_the_trace_of_what_was_pushed(recorded: Recorded) -> None:
    made, _ = await marks(recorded)
    recorded.trail.pushed([str(an_id(0))], SAMPLED)

    await made.by_ids(ADA, Mark.READ, [an_id(0)], LATER)

    mark = recorded.one("mark read")
    assert above(mark) == SAMPLED
    assert [above(recorded.one(name)) for name in ("store", "announce")] == [own(mark)] * 2


async def test_a_mark_in_a_request_is_below_it_with_a_link_to_the_push(recorded: Recorded) -> None:
    made, _ = await marks(recorded)
    recorded.trail.pushed([str(an_id(0))], ELSEWHERE)

    with within(recorded.tracer.begin("request", parent=SAMPLED)) as request:
        await made.by_ids(ADA, Mark.READ, [an_id(0)], LATER)

    mark = recorded.one("mark read")
    assert (above(mark), links(mark)) == (request.traceparent, {ELSEWHERE})


async def test_marks_that_are_made_together_have_their_store_in_a_trace_with_links(
    recorded: Recorded,
) -> None:
    made, _ = await marks(recorded)

    await asyncio.gather(
        *(made.by_ids(user, Mark.READ, [an_id(nth)], LATER) for nth, user in enumerate((ADA, BOB)))
    )

    both = {own(span) for span in recorded.named("mark read")}
    assert len(both) == 2
    for name in ("store", "announce"):
        assert (above(recorded.one(name)), links(recorded.one(name))) == ("", both)


async def test_an_unsampled_mark_is_not_in_the_trace_of_the_one_that_it_is_made_with(
    recorded: Recorded,
) -> None:
    made, _ = await marks(recorded)

    def asked(user: UserId, nth: int, context: str) -> "asyncio.Future[Any]":
        token = tracing.traceparent.set(context)
        try:
            return made.by_ids(user, Mark.READ, [an_id(nth)], LATER)
        finally:
            tracing.traceparent.reset(token)

    await asyncio.gather(asked(ADA, 0, UNSAMPLED), asked(BOB, 1, SAMPLED))

    mark = recorded.one("mark read")
    assert above(mark) == SAMPLED
    assert [above(recorded.one(name)) for name in ("store", "announce")] == [own(mark)] * 2


async def test_a_mark_that_fails_has_failed_and_another_that_it_was_asked_with_has_not(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, feeds = await marks(recorded)
    mark = feeds.mark

    async def picky(user: UserId, *rest: Any, **more: Any) -> Any:
        if user == ADA:
            raise Refused("22021")
        return await mark(user, *rest, **more)

    monkeypatch.setattr(feeds, "mark", picky)
    monkeypatch.setattr(feeds, "mark_together", AsyncMock(side_effect=Refused("22021")))
    asked_for = [made.by_ids(user, Mark.READ, [an_id(nth)], LATER) for nth, user in enumerate((ADA, BOB))]
    await asyncio.gather(*asked_for, return_exceptions=True)

    assert sorted(str(error(span)) for span in recorded.named("mark read")) == ["None", "Refused"]


async def test_everything_up_to_a_position_is_marked_in_one_trace(recorded: Recorded) -> None:
    made, feeds = await marks(recorded)

    await made.up_to(ADA, Mark.SEEN, (await feeds.feed(ADA)).cursor, LATER)

    mark = recorded.one("mark seen")
    assert [above(recorded.one(name)) for name in ("store", "announce")] == [own(mark)] * 2


# --- whether, and where to ---


@pytest.mark.parametrize(
    ("variables", "exporters"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp"]),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, []),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "otlp"}, []),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "console"}, ["console"]),
    ],
)
def test_traces_are_made_where_an_exporter_or_an_endpoint_is_named(
    variables: Mapping[str, str], exporters: list[str]
) -> None:
    assert asked(variables) == exporters


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_what_there_is_not_is_one_line_and_no_reason_not_to_serve(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", name: value}, "s", "1") is None

    (line,) = caplog.messages
    assert name in line
    assert value in line


_IMPORTS = """
import sys
{before}
import entrypoints.app, entrypoints.consumer.process
from entrypoints.container.parts.base import build
from entrypoints.container.telemetry import tracer
from entrypoints.settings import Settings
from tests.whole import Container
container = build(Container, Settings(token_secret="s" * 32), tracer("api"))
entrypoints.app.create_app(container)
container.store()
traced = ("adapters.telemetry.sdk", "opentelemetry.sdk.trace", "opentelemetry.exporter")
print(container.tracer(), [name for name in sys.modules if name.startswith(traced)])
"""


def _run(before: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _IMPORTS.format(before=before)],
        env={"PYTHONPATH": ":".join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("before", ["", "sys.modules['opentelemetry'] = None"])
def test_a_process_that_does_not_trace_imports_nothing_for_it(before: str) -> None:
    # redis-py imports the metrics of OpenTelemetry wherever they are installed; nothing else does.
    quiet = _run(before, OTEL_SERVICE_NAME="bell")

    assert (quiet.stdout, quiet.stderr) == ("None []\n", "")


def test_without_the_extra_one_line_names_it() -> None:
    missing = _run("sys.modules['opentelemetry'] = None", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")

    assert missing.stdout == "None []\n"
    (line,) = missing.stderr.splitlines()
    assert "pip install 'bellwire[otel]'" in line


# --- exporters ---


class Failing(SpanExporter):
    """An exporter that logs as the SDK does, and can be well again."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.well = False
        self.shut = 0

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.well:
            return SpanExportResult.SUCCESS
        for message in (
            "Transient error refused at 0x7f12, retrying in 1.05s.",
            "due to timeout, max retries",
        ):
            record = logging.LogRecord("opentelemetry.exporter.x", logging.WARNING, "", 0, message, (), None)
            self._told.handle(record)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.shut += 1


def test_an_exporter_that_fails_is_told_once_and_once_that_it_is_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    told = Told()
    failing = Failing(told)
    quiet = Quiet(failing, told)

    for well in (False, False, True, True, False):
        failing.well = well
        quiet.export([])

    failure = "spans cannot be exported and are dropped: Transient error refused"
    assert caplog.messages == [failure, "spans are exported again", failure]


def test_at_the_end_only_an_exporter_that_fails_is_made_to_give_up() -> None:
    told = Told()
    failing = Failing(told)
    quiet = Quiet(failing, told)

    shut = []
    for _ in range(2):
        quiet.hurry()
        shut.append(failing.shut)
        quiet.export([])

    assert shut == [0, 1]
