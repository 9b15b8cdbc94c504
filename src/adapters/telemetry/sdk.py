"""OtelTracer: spans made and sent by OpenTelemetry's SDK. Imported only where tracing is on."""

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.util.types import Attributes as SdkAttributes

from adapters.once import Once
from common.tracing import Attributes, Kind

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 3.0
_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_EXPORTERS: Final[Mapping[str, Callable[[], SpanExporter]]] = {
    "otlp": OTLPSpanExporter,
    "console": ConsoleSpanExporter,
}
# What differs each time in the messages of the SDK.
_VARYING = re.compile(r" at 0x[0-9a-f]+|,? retrying in .*$")


class OtelSpan:
    """A span of the SDK."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        context = span.get_span_context()
        flags = context.trace_flags & TraceFlags.SAMPLED
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        if self._span.is_recording():  # otherwise it is over, or nobody records it
            self._span.set_attribute("error.type", reason)
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        if self._span.is_recording():
            self._span.end()


class OtelTracer:
    """Makes spans with a provider, which decides what is sampled and where spans go."""

    def __init__(self, provider: TracerProvider, hurry: Callable[[], None] = lambda: None) -> None:
        """`hurry` has an exporter that fails give up when this is closed."""
        provider.sampler = ByFirstLink(provider.sampler)
        self._provider = provider
        self._hurry = hurry
        self._tracer = provider.get_tracer("bellwire")

    def begin(
        self,
        name: str,
        kind: Kind = "internal",
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        attributes: Attributes | None = None,
    ) -> OtelSpan:
        context = Context() if parent is None else _around(_span_context(parent))
        linked = [Link(_span_context(link)) for link in links]
        return OtelSpan(
            self._tracer.start_span(name, context, kind=_KINDS[kind], attributes=attributes, links=linked)
        )

    def close(self) -> None:
        self._hurry()
        # The SDK would wait for half a minute, and its thread does not keep the process alive.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


class ByFirstLink(Sampler):
    """Asks a sampler about a span without a parent as if it was below its first link: a batch is sampled if
    what it is made of is.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(  # noqa: PLR0917 - as the SDK calls it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: SdkAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if not parent_context and links:
            parent_context, trace_id = _around(links[0].context), links[0].context.trace_id
        return self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"ByFirstLink{{{self._sampler.get_description()}}}"


class Quiet(SpanExporter):
    """Logs once that an exporter fails, and that it works again."""

    def __init__(self, exporter: SpanExporter, told: "Told") -> None:
        self._exporter = exporter
        self._told = told
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            logger.warning("spans cannot be exported and are dropped: %s", self._told.reason)
        elif self._failing and not failed:
            logger.info("spans are exported again")
        self._failing = failed
        if not failed:
            self._told.reason = ""
        return result

    def hurry(self) -> None:
        """Give up if it has been failing."""
        if self._failing:
            self._exporter.shutdown()

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Told(logging.Handler):
    """Takes what the SDK logs: it would log every failure of every attempt. What it says of settings is
    passed on.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = ""
        """Why spans cannot be exported: the first that was said since they could."""
        self._once = Once(logger, "OpenTelemetry")

    def emit(self, record: logging.LogRecord) -> None:
        message = _VARYING.sub("", record.getMessage())
        if not record.name.startswith("opentelemetry.exporter"):
            self._once.failed(message)
        elif not self.reason:
            self.reason = message


def build(exporters: Sequence[str], service: str, version: str) -> OtelTracer:
    """A tracer for these exporters; the SDK reads its other settings from the environment. `service` is the
    name where the environment has none. Raises ValueError for a setting that the SDK does not accept.
    """
    told = Told()
    sdk = logging.getLogger("opentelemetry")
    sdk.handlers, sdk.propagate = [told], False
    provider = TracerProvider(resource=_resource(service, version), shutdown_on_exit=False)
    quiet = [Quiet(_EXPORTERS[name](), told) for name in exporters]
    for exporter in quiet:
        provider.add_span_processor(BatchSpanProcessor(exporter))

    def hurry() -> None:
        for exporter in quiet:
            exporter.hurry()

    return OtelTracer(provider, hurry)


def _resource(service: str, version: str) -> Resource:
    given = Resource.create()
    unnamed = str(given.attributes[SERVICE_NAME]).startswith("unknown_service")
    name = {SERVICE_NAME: service} if unnamed else {}
    return Resource({"service.version": version}).merge(given).merge(Resource(name))


def _span_context(traceparent: str) -> SpanContext:
    _, trace, span, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _around(context: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(context), Context())
