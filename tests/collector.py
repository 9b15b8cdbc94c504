"""A small collector: it takes what processes export with OTLP over HTTP, and keeps the spans."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Collected:
    """A span as it was exported."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    """The id of its parent; empty if it is the first of its trace."""
    links: tuple[str, ...]
    """The ids of the spans that it is linked with."""
    attributes: Mapping[str, Any]
    begin: int
    """In Unix nanoseconds."""
    end: int
    failed: bool


class Collector:
    """What was collected."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Collected] = []
        self.bodies: list[bytes] = []
        """What was received, as it came."""

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_collected(str(about["service.name"]), span) for span in scope.spans]

    def named(self, name: str, trace: str | None = None) -> list[Collected]:
        """The spans of this name, of one trace or of all."""
        return [span for span in self.spans if span.name == name and trace in {None, span.trace}]

    def one(self, name: str, trace: str | None = None) -> Collected:
        (span,) = self.named(name, trace)
        return span


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    collector = Collector(f"http://{LOOPBACK}:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def _collected(service: str, span: Span) -> Collected:
    return Collected(
        service,
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple(link.span_id.hex() for link in span.links),
        _attributes(span.attributes),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == Status.StatusCode.STATUS_CODE_ERROR,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in pairs}
