"""What may be seen of the work from outside: spans with allow-listed attributes, trace ids that survive every hop.

Only `traceparent` (W3C Trace Context) crosses a border: baggage and tracestate can carry anything and are dropped, in
both directions. Names and attributes follow OpenTelemetry's semantic conventions for messaging, HTTP and CloudEvents.
No key and no body is an attribute, ever: what is not in `ATTRIBUTES` raises at the call, and so does a value that looks
like free text.
"""
from __future__ import annotations

import json
import logging
import random
import re
import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

if TYPE_CHECKING:  # some megabytes, which a service without a collector never uses
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

ATTRIBUTES = frozenset({
    "chassis.lane.state",
    "chassis.parked",
    "chassis.subjectseq",
    "chassis.undone",
    "cloudevents.event_id",
    "cloudevents.event_type",
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "messaging.batch.message_count",
    "messaging.consumer.group.name",
    "messaging.destination.name",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
})
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})  # others are free text: `_OTHER`
LINKS_MAX = 64  # per span of a batch: enough to find one's way, not enough to make a span of 500 records a document
SELDOM_SECONDS = 30.0  # between two lines of a library that repeats itself
QUEUE_SPANS_MAX = 2048  # waiting for the collector; more than that is dropped, never kept in memory
EXPORT_TIMEOUT_SECONDS = 10

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAFE = re.compile(r"[\w./{}:*+-]{1,200}", re.ASCII)  # topics, routes, codes, class names; free text has spaces


@dataclass(frozen=True, slots=True)
class _Telemetry:
    provider: TracerProvider
    tracer: trace.Tracer


_telemetry: ContextVar[_Telemetry | None] = ContextVar("telemetry", default=None)
_service: ContextVar[str | None] = ContextVar("service", default=None)


def configure(
    service: str, instance: str, endpoint: str | None, *, share: float = 0.1, exporter: SpanExporter | None = None
) -> None:
    """Say whose spans and log lines these are, for the current context and every task started from it.

    Four services can share a process, each with its own name. `endpoint` is the base URL of an OTLP/HTTP collector;
    `share` of the traces that begin here are sent there, others follow their parent. Without one nothing is recorded,
    but trace ids exist all the same. `exporter` is where tests look: it gets every span at once.
    """
    _service.set(service)
    if endpoint is None and exporter is None:
        _telemetry.set(None)
        return
    # Here: a service without a collector uses none of it.
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # see above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # see above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor  # noqa: PLC0415  # see above
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415  # see above

    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    sampler = ParentBased(TraceIdRatioBased(1.0 if exporter else share))
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    if endpoint is not None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # see above

        otlp = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(otlp, max_queue_size=QUEUE_SPANS_MAX))
    _telemetry.set(_Telemetry(provider, provider.get_tracer("chassis")))


def shutdown() -> None:
    """Send what is waiting and stop; blocks, so call it in a thread at the very end."""
    telemetry = _telemetry.get()
    if telemetry is not None:
        telemetry.provider.shutdown()


class Traced:
    """One span: `with traced:` makes it current and ends it; or `traced.end()` where pieces of work overlap.

    `traceparent` is what later work names as its parent.
    """

    __slots__ = ("_span", "_token", "traceparent")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[otel_context.Context] | None = None
        self.traceparent = _written(span.get_span_context())

    def __enter__(self) -> Self:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None
        self.end(None if kind is None else kind.__qualname__)

    def set(self, name: str, value: str | int) -> None:
        """Add one attribute; KeyError or ValueError where it is none that may be seen."""
        self._span.set_attributes(seen({name: value}))

    def failed(self, error_type: str) -> None:
        """The work came to nothing; `error_type` is a class name or code from a closed list, never a message."""
        self.set("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, error_type: str | None = None) -> None:
        """The work is over; with `error_type` it has failed."""
        if error_type is not None:
            self.failed(error_type)
        self._span.end()


def request(method: str, route: str, headers: Mapping[str, str]) -> Traced:
    """An HTTP request being answered. `route` is the template (`/things/{thing}`), never the path asked for."""
    known = method if method in METHODS else "_OTHER"
    return _traced(
        f"{known} {route}",
        SpanKind.SERVER,
        parse(headers.get("traceparent")),
        {"http.request.method": known, "http.route": route},
    )


def create(topic: str, type: str, parent: str | None = None) -> str:
    """The creation context of one fact: stored with it, parent of everything that is done because of it.

    `parent` is the traceparent of the request or event that led to it; without one the current span is.
    """
    traced = _traced(
        f"create {topic}",
        SpanKind.PRODUCER,
        parse(parent) or _current(),
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "create",
            "messaging.operation.type": "create",
            "messaging.destination.name": topic,
            "cloudevents.event_type": type,
        },
    )
    traced.end()
    return traced.traceparent


def send(count: int, created: Iterable[str | None], *, topic: str | None = None) -> Traced:
    """One round of the relay; `created` are the creation contexts of its records, `topic` only where all share it."""
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": count,
    }
    return _batch("send", topic, attributes, created)


def receive(group: str, count: int, created: Iterable[str | None], *, topic: str | None = None) -> Traced:
    """One batch taken from the broker by consumer group `group`; the other arguments as for `send`."""
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        "messaging.consumer.group.name": group,
        "messaging.batch.message_count": count,
    }
    return _batch("receive", topic, attributes, created)


def process(
    topic: str, type: str, traceparent: str | None, *, group: str | None = None, links: Iterable[str | None] = ()
) -> Traced:
    """One event being dealt with; its parent is the creation context that came with it, so a chain is one trace."""
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "cloudevents.event_type": type,
    }
    if group is not None:
        attributes["messaging.consumer.group.name"] = group
    linked = [Link(context) for context in map(parse, links) if context is not None]
    return _traced(f"process {topic}", SpanKind.CONSUMER, parse(traceparent), attributes, linked)


def errand(name: str, traceparent: str | None) -> Traced:
    """Work outside any transaction that a decision has asked for; its parent is what led to the decision."""
    return _traced(f"errand {name}", SpanKind.INTERNAL, parse(traceparent), {})


def here() -> str | None:
    """The span that is current, as later work names it; None outside of any."""
    context = _current()
    return None if context is None else _written(context)


def parse(traceparent: str | None) -> SpanContext | None:
    """A W3C traceparent, or None for whatever else was said. Never tracestate."""
    if traceparent is None or len(traceparent) > 256:  # noqa: PLR2004  # 55 are needed; later versions may be longer
        return None
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    flags = TraceFlags(int(match[4], 16) & TraceFlags.SAMPLED)
    context = SpanContext(int(match[2], 16), int(match[3], 16), is_remote=True, trace_flags=flags)
    return context if context.is_valid else None


def _current() -> SpanContext | None:
    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


def _written(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _batch(
    name: str, topic: str | None, attributes: dict[str, str | int], created: Iterable[str | None]
) -> Traced:
    if topic is not None:
        attributes["messaging.destination.name"] = topic
    if _telemetry.get() is None:  # reading 500 traceparents only pays where somebody will see the links
        return _traced(name, SpanKind.CLIENT, _current(), attributes)
    links: list[Link] = []
    for context in map(parse, created):
        if context is not None and len(links) < LINKS_MAX:
            links.append(Link(context))
    return _traced(f"{name} {topic}" if topic else name, SpanKind.CLIENT, _current(), attributes, links)


def _traced(
    name: str,
    kind: SpanKind,
    parent: SpanContext | None,
    attributes: Mapping[str, str | int],
    links: Iterable[Link] = (),
) -> Traced:
    listed = seen(attributes)
    telemetry = _telemetry.get()
    if telemetry is None:
        return Traced(_unrecorded(parent))
    within = otel_context.Context()
    if parent is not None:
        within = trace.set_span_in_context(NonRecordingSpan(parent), within)
    return Traced(telemetry.tracer.start_span(name, within, kind, listed, list(links)))


def _unrecorded(parent: SpanContext | None) -> Span:
    """A span nobody will see, whose ids go on: a tenth of a recorded one's cost. The sampling flag passes through."""
    trace_id = parent.trace_id if parent else _an_id(128)
    flags = parent.trace_flags if parent else TraceFlags(0)
    return NonRecordingSpan(SpanContext(trace_id, _an_id(64), is_remote=False, trace_flags=flags))


def _an_id(bits: int) -> int:
    """Any number but 0, which W3C Trace Context calls invalid."""
    return random.getrandbits(bits) or 1  # ids keep no secret, and are drawn for every event


@lru_cache(maxsize=1024)  # topics, types, routes: the same few, thousands of times a second
def _is_safe(value: str) -> bool:
    return _SAFE.fullmatch(value) is not None


def seen(attributes: Mapping[str, str | int]) -> Mapping[str, str | int]:
    """The one place that lets attributes pass."""
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise KeyError(f"{name} may not be an attribute of a span")
        if isinstance(value, str) and not _is_safe(value):
            raise ValueError(f"{name} looks like free text")
    return attributes


# --- the log ---------------------------------------------------------------------------------------------------------

FIELDS = frozenset({
    "attempt", "causation_id", "consumer", "correlation_id", "count", "deadline", "errand", "error_class", "event_id",
    "event_type", "file", "frames", "instance", "lane", "method", "number", "offset", "partition", "party", "port",
    "pos", "reason", "route", "seconds", "seq", "service", "status", "subject", "subject_kind", "topic",
})
OWN = ("chassis", "contracts", "deploy", "services")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and fields of a closed list.

    The message is the constant text of the call, arguments are never filled in: other people's loggers put keys, bodies
    and rows into them. An exception is its class and where it was, never its text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line without its line feed."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if (service := _service.get()) is not None:
            line["service"] = service
        context = _current()
        if context is not None:
            line["trace_id"] = f"{context.trace_id:032x}"
            line["span_id"] = f"{context.span_id:016x}"
        for name, value in record.__dict__.items():
            if name in FIELDS:
                line[name] = _shown(value)
        unlisted = sorted(name for name in record.__dict__ if name not in FIELDS and name not in _STANDARD)
        if unlisted and record.name.startswith(OWN):
            line["unlisted"] = [_shown(name) for name in unlisted]
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__qualname__
            line["stack"] = _stack(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: int = logging.INFO) -> None:
    """Let everything this process logs go to standard output, formatted by `JsonFormatter`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiokafka", "uvicorn", "httpx"):  # what they do in good health fills a log and helps nobody at night
        logging.getLogger(noisy).setLevel(logging.WARNING)
    handler.addFilter(Seldom("aiokafka"))


class Seldom(logging.Filter):
    """Lets one line of a library through in a while: without its broker aiokafka writes a gigabyte a day.

    What the broker's absence means here is said by the relay and the consumer in words of their own.
    """

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library, self._until, self._held_back = library, 0.0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; `count` tells how many before it were not."""
        if record.name.partition(".")[0] != self._library:
            return True
        if monotonic() < self._until:
            self._held_back += 1
            return False
        record.count, self._held_back, self._until = self._held_back, 0, monotonic() + SELDOM_SECONDS
        return True


def _message(record: logging.LogRecord) -> str:
    """Own messages are constants (ruff G keeps them so); a foreign one without arguments may be a filled-in string."""
    if record.name.partition(".")[0] in OWN or record.args:
        return str(record.msg)
    return f"{record.module}:{record.lineno}"


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return value if isinstance(value, str) and _SAFE.fullmatch(value) else "not shown"


def _stack(where: TracebackType | None) -> list[str]:
    """The last places the exception came through: file, line, function."""
    places = []
    while where is not None:
        code = where.tb_frame.f_code
        places.append(f"{'/'.join(code.co_filename.rsplit('/', 3)[-3:])}:{where.tb_lineno} {code.co_name}")
        where = where.tb_next
    return places[-12:]
