"""What is measured: ages rather than counts, because an age says by itself that something is wrong.

Sent to an OTLP/HTTP collector where one is set, and nowhere otherwise. Nothing is done per event but counting, and that
once per batch; ages are asked for in one query every few seconds (`stand`). Attributes pass the allow-list of
`telemetry`: topics, classes and codes, never a subject. `INSTRUMENTS` is all there is; the reference is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry.metrics import CallbackOptions, Observation

from chassis.telemetry import EXPORT_TIMEOUT_SECONDS, seen

if TYPE_CHECKING:  # some megabytes, which a service without a collector never uses
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader

MEASURE_SECONDS = 5.0  # between two looks at the database
EXPORT_SECONDS = 10.0  # between two exports: every one has something to say
STALE_SECONDS = 30.0  # after this without a new one a gauge says nothing: an old number would silence the alarms

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500)

Kind = Literal["counter", "histogram", "gauge"]
Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One thing that is measured; `alarm` says from where on somebody must look, in words."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    attributes: tuple[str, ...] = ()
    alarm: str = ""


INSTRUMENTS: Final = (
    Instrument(
        "messaging.client.operation.duration", "histogram", "s",
        "How long a round of the relay waited for the broker, and a commit of offsets.",
        ("messaging.operation.name", "messaging.system"),
    ),
    Instrument(
        "messaging.client.sent.messages", "counter", "{message}", "Facts the broker has acknowledged.",
        ("messaging.destination.name", "messaging.operation.name", "messaging.system"),
    ),
    Instrument(
        "messaging.client.consumed.messages", "counter", "{message}",
        "Records taken from the broker, repeats included.",
        ("messaging.consumer.group.name", "messaging.destination.name", "messaging.operation.name", "messaging.system"),
    ),
    Instrument(
        "messaging.process.duration", "histogram", "s", "How long a transaction took that applied heard events.",
        ("messaging.consumer.group.name", "messaging.operation.name", "messaging.system"),
    ),
    Instrument(
        "standing.age", "gauge", "s", "How long ago the last look at the database was that all ages of it come from.",
        alarm="60 s",
    ),
    Instrument(
        "service.shut.age", "gauge", "s",
        "How long `/ready` has said no because the database is a restored one, because nobody could say yet whether "
        "it is, or because another process has come under the same instance; 0: none of these.",
        alarm="60 s",
    ),
    Instrument("outbox.backlog", "gauge", "{event}", "Facts that the broker has not got yet."),
    Instrument(
        "outbox.oldest.age", "gauge", "s",
        "Age of the oldest fact that the broker has not got, those of held subjects apart.",
        alarm="60 s",
    ),
    Instrument(
        "outbox.hold.keys", "gauge", "{subject}",
        "Subjects of which the broker will never take the first unsent record.",
        alarm="1",
    ),
    Instrument("relay.batch.size", "histogram", "{event}", "Facts in one round of the relay."),
    Instrument(
        "inbox.duplicates", "counter", "{event}", "Events that were heard again and had no second effect.",
        ("messaging.consumer.group.name",),
    ),
    Instrument(
        "lane.parked", "gauge", "{lane}",
        "Held lanes. `retrying`: the clock tries again; `missing`: an event before it has not come; `human`: others.",
        ("chassis.lane.state",),
    ),
    Instrument(
        "lane.parked.oldest.age", "gauge", "s", "Age of the lane of that state that has been held longest.",
        ("chassis.lane.state",), alarm="`human` 1 s, `missing` 60 s, `retrying` 1 h",
    ),
    Instrument(
        "sequence.gaps", "counter", "{event}", "Events before which one was missing.",
        ("messaging.consumer.group.name",),
    ),
    Instrument(
        "sequence.forks", "counter", "{event}", "Events under a number that another one had already.",
        ("messaging.consumer.group.name",), alarm="1",
    ),
    Instrument("unreadable.records", "gauge", "{record}", "Records of the last day that are no events.", alarm="1"),
    Instrument("consumer.lag.records", "gauge", "{record}", "Records on our partitions that are not durable here yet."),
    Instrument(
        "consumer.lag.seconds", "gauge", "s", "Age of the oldest record that was fetched and is not durable yet.",
        alarm="60 s",
    ),
    Instrument(
        "consumer.deaf.age", "gauge", "s",
        "How long the consumer has not read everything: it has no place, a topic is missing or not ours to read, or a "
        "partition waits for what the broker no longer has; 0: it reads everything, or is stopped by the brake.",
        alarm="60 s",
    ),
    Instrument(
        "consumer.brake.age", "gauge", "s", "How long the consumer has been stopped by too much trouble; 0: it runs.",
        alarm="1 s",
    ),
    Instrument(
        "consumer.unheard.age", "gauge", "s",
        "How long what another party says has not been heard, because it alone was too much trouble; 0: all are.",
        alarm="1 s",
    ),
    Instrument(
        "event.e2e.duration", "histogram", "s",
        "From the moment the fact was said to the commit that applied it; of the oldest event of each transaction.",
        ("messaging.consumer.group.name",),
    ),
    Instrument(
        "deadline.overdue", "gauge", "s", "How late the deadline is that has waited longest.", alarm="5 min"
    ),
    Instrument(
        "errand.failing", "gauge", "{errand}", "Errands that were tried five times or more.",
        alarm="1 for 15 min",
    ),
    Instrument(
        "errand.failing.age", "gauge", "s", "How long the oldest of these has been under way.", alarm="1 h"
    ),
    Instrument(
        "undone.oldest.age", "gauge", "s",
        "How long the oldest thing has waited that was begun here and must be carried out, by what it is.",
        ("chassis.undone",), alarm="60 s",
    ),
    Instrument("executor.queue", "gauge", "{item}", "Commands and heard events that wait for a transaction."),
)  # fmt: skip
BY_NAME: Final = MappingProxyType({each.name: each for each in INSTRUMENTS})
MESSAGING: Final = {"messaging.system": "kafka"}


class _Gauge:
    """The last value under each combination of attributes, until it is stale: then nothing is said at all."""

    def __init__(self) -> None:
        self._last: dict[frozenset[tuple[str, str | int]], tuple[float, float]] = {}

    def set(self, value: float, attributes: Attributes) -> None:
        self._last[frozenset(attributes.items())] = (value, monotonic())

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        """Asked at each export, in the exporter's thread."""
        oldest = monotonic() - STALE_SECONDS
        return [Observation(value, dict(key)) for key, (value, at) in list(self._last.items()) if at >= oldest]


class _Metrics:
    """The instruments of one service."""

    def __init__(self, provider: MeterProvider) -> None:
        self.provider = provider
        meter = provider.get_meter("chassis")
        self.add: dict[str, Callable[[float, Attributes], None]] = {}
        for each in INSTRUMENTS:
            match each.kind:
                case "counter":
                    self.add[each.name] = meter.create_counter(each.name, each.unit, each.meaning).add
                case "gauge":
                    gauge = _Gauge()
                    meter.create_observable_gauge(each.name, [gauge.observe], each.unit, each.meaning)
                    self.add[each.name] = gauge.set
                case "histogram":
                    bounds = SECONDS if each.unit == "s" else RECORDS
                    self.add[each.name] = meter.create_histogram(
                        each.name, each.unit, each.meaning, explicit_bucket_boundaries_advisory=bounds
                    ).record


_metrics: ContextVar[_Metrics | None] = ContextVar("metrics", default=None)


def configure(service: str, instance: str, endpoint: str | None, *, reader: MetricReader | None = None) -> None:
    """Say whose metrics these are, for the current context and every task started from it; see `telemetry.configure`.

    `reader` is where tests look.
    """
    if endpoint is None and reader is None:
        _metrics.set(None)
        return
    # Here: they bring an HTTP client and protobuf, which a service without a collector never uses.
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # see above

    readers = [] if reader is None else [reader]
    if endpoint is not None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415  # see above
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415  # see above

        otlp = OTLPMetricExporter(endpoint=f"{endpoint.rstrip('/')}/v1/metrics", timeout=EXPORT_TIMEOUT_SECONDS)
        readers.append(PeriodicExportingMetricReader(otlp, export_interval_millis=EXPORT_SECONDS * 1000))
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    _metrics.set(_Metrics(MeterProvider(readers, resource=resource, shutdown_on_exit=False)))


def on() -> bool:
    """Whether anybody looks."""
    return _metrics.get() is not None


def shutdown() -> None:
    """Send what is there and stop; blocks, so call it in a thread at the very end."""
    metrics = _metrics.get()
    if metrics is not None:
        metrics.provider.shutdown()


def measured(name: str, value: float, attributes: Attributes | None = None) -> None:
    """Add to a counter, set a gauge, or record one value. KeyError for what is in no table."""
    metrics = _metrics.get()
    given = attributes or {}
    instrument = BY_NAME[name]
    if unlisted := given.keys() - set(instrument.attributes):
        raise KeyError(f"{sorted(unlisted)} are no attributes of {name}")
    if metrics is not None:
        metrics.add[name](value, seen(given))


def count_by_topic(name: str, topics: Iterable[str], attributes: Attributes) -> None:
    """Count messages, each under its topic."""
    if not on():
        return
    counts: dict[str, int] = {}
    for topic in topics:
        counts[topic] = counts.get(topic, 0) + 1
    for topic, count in counts.items():
        measured(name, count, {**MESSAGING, **attributes, "messaging.destination.name": topic})
