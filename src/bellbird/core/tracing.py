"""Traces: a span for each request and one for each exchange with the database, sent to an OpenTelemetry collector.

Names and attributes are OpenTelemetry's (semantic conventions 1.40), except that what may be somebody's data is left
out: paths as they were asked for (`url.path`), query strings, addresses, statements' parameters, exceptions' messages.
Needs the extra `otel`; imported only where the setting is.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bellbird.core.metrics import METHODS

# How long, in seconds, sending may take; at the end nobody waits longer for the last of it.
TIMEOUT: Final = 5.0

Headers = Iterable[tuple[bytes, bytes]]


class _HeaderGetter(Getter[Headers]):
    """Reads ASGI's headers."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return [value.decode("latin-1") for name, value in carrier if name == key.encode()] or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


class Tracing:
    """Makes spans and sends them; what the caller's `traceparent` (W3C Trace Context) says is gone by."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        # OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS hold as anywhere.
        resource = Resource.create({"service.name": "bellbird", "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=TIMEOUT)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("bellbird", version)
        self._propagator = TraceContextTextMapPropagator()
        self._getter = _HeaderGetter()

    @contextmanager
    def request(self, scope: Mapping[str, Any]) -> Iterator[Span]:
        """The span of a request; `answered` tells it how that went."""
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        attributes = {
            "http.request.method": method,
            "url.scheme": scope.get("scheme", "http"),
            "network.protocol.version": scope.get("http_version", "1.1"),
            "bellbird.request_id": scope["state"]["request_id"],
        }
        name = method if method != "_OTHER" else "HTTP"
        parent = self._propagator.extract(scope["headers"], getter=self._getter)
        span = self._tracer.start_span(name, parent, kind=SpanKind.SERVER, attributes=attributes)
        try:
            # An exception's message may quote what somebody sent, so none is recorded.
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield span
        finally:
            if route := scope.get("path_template"):
                span.update_name(f"{name} {route}")
                span.set_attribute("http.route", route)
            if tenant_id := scope["state"].get("tenant_id"):
                span.set_attribute("bellbird.tenant_id", str(tenant_id))
            span.end()

    @staticmethod
    def answered(span: Span, status: int, code: str | None) -> None:
        """Note how a request was answered; of status 0, that it was not."""
        if status:
            span.set_attribute("http.response.status_code", status)
        if not 0 < status < 500:
            span.set_attribute("error.type", code or str(status or "cancelled"))
            span.set_status(StatusCode.ERROR)

    @contextmanager
    def exchange(self, statements: int) -> Iterator[Span]:
        """The span of an exchange with the database."""
        with self._tracer.start_as_current_span(
            "postgresql",
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.operation.batch.size": statements},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @staticmethod
    def failed(span: Span, sqlstate: str | None) -> None:
        """Note that an exchange failed: by PostgreSQL's code, or without one when the connection was lost."""
        span.set_attribute("error.type", sqlstate or "connection_lost")
        span.set_status(StatusCode.ERROR)

    def close(self) -> None:
        """Send what has not been sent. Blocks, for `TIMEOUT` at most or so."""
        self._provider.shutdown()
