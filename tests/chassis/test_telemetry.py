"""What may be seen from outside: one trace per chain, attributes of a closed list, logs without anybody's words."""
from __future__ import annotations

import contextvars
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import telemetry
from chassis.telemetry import JsonFormatter

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARY = "Zora-Canary Beispiel-Zimt"


@pytest.fixture
def seen() -> Iterator[Callable[[], list[ReadableSpan]]]:
    exporter = InMemorySpanExporter()
    telemetry.configure("red.balls", "0", None, exporter=exporter)
    yield lambda: list(exporter.get_finished_spans())
    telemetry.shutdown()
    telemetry.configure("red.balls", "0", None)


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


Seen = Callable[[], list[ReadableSpan]]


def test_request_create_send_and_process_are_one_trace(seen: Seen) -> None:
    with telemetry.request("POST", "/balls/{ball}", {"traceparent": TRACE}):
        created = telemetry.create("red.balls.events", "test.ball.thrown.v1")
    with telemetry.process("red.balls.events", "test.ball.thrown.v1", created, group="blue.balls"):
        again = telemetry.create("blue.balls.events", "test.ball.caught.v1")
    spans = {span.name: span for span in seen()}
    assert {span.context.trace_id for span in spans.values() if span.context} == {int(TRACE[3:35], 16)}
    assert spans["POST /balls/{ball}"].kind is SpanKind.SERVER
    assert spans["create red.balls.events"].kind is SpanKind.PRODUCER
    process = spans["process red.balls.events"]
    assert process.kind is SpanKind.CONSUMER
    assert process.parent is not None
    assert f"{process.parent.span_id:016x}" == created.split("-")[2]
    assert attributes(process) == {
        "messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": "red.balls.events", "messaging.consumer.group.name": "blue.balls",
        "cloudevents.event_type": "test.ball.thrown.v1",
    }
    assert again.split("-")[1] == created.split("-")[1]


def test_a_round_of_the_relay_links_to_what_it_carries(seen: Seen) -> None:
    with telemetry.send(3, [TRACE, None, "rubbish"]):
        pass
    (span,) = seen()
    assert span.kind is SpanKind.CLIENT
    assert attributes(span)["messaging.batch.message_count"] == 3
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE[3:35]]


def test_a_batch_links_to_a_bounded_number(seen: Seen) -> None:
    telemetry.receive("blue.balls", 500, [TRACE] * 500).end()
    assert len(seen()[0].links) == telemetry.LINKS_MAX


def test_an_error_is_a_class_and_never_its_text(seen: Seen) -> None:
    with pytest.raises(ValueError, match="Zora"), telemetry.request("GET", "/balls", {}):
        raise ValueError(CANARY)
    (span,) = seen()
    assert attributes(span)["error.type"] == "ValueError"
    assert "Zora" not in span.to_json()


def test_an_attribute_that_is_not_on_the_list_is_a_bug(seen: Seen) -> None:
    with telemetry.request("GET", "/balls", {}) as traced:
        with pytest.raises(KeyError):
            traced.set("messaging.kafka.message.key", "019aa0b2")
        with pytest.raises(ValueError, match="free text"):
            traced.set("http.route", CANARY)
    assert "Zora" not in seen()[0].to_json()


def test_a_method_nobody_knows_is_not_repeated(seen: Seen) -> None:
    telemetry.request("ZORA", "/balls", {}).end()
    assert seen()[0].name == "_OTHER /balls"


def test_baggage_and_tracestate_stop_at_the_border(seen: Seen) -> None:
    with telemetry.request("GET", "/balls", {"traceparent": TRACE, "tracestate": "v=Zora", "baggage": "n=Zora"}):
        said = telemetry.create("red.balls.events", "test.ball.thrown.v1")
    assert said.startswith(TRACE[:35])
    assert "Zora" not in seen()[0].to_json()


def test_trace_ids_go_on_where_nothing_is_recorded() -> None:
    telemetry.configure("red.balls", "0", None)
    with telemetry.request("POST", "/balls", {"traceparent": TRACE}):
        created = telemetry.create("red.balls.events", "test.ball.thrown.v1")
    assert created[:35] == TRACE[:35]
    assert created[36:52] != TRACE[36:52]
    assert created.endswith("-01")


def test_two_services_in_one_process_keep_their_own_names() -> None:
    exporters = {name: InMemorySpanExporter() for name in ("red.balls", "blue.balls")}

    def life(name: str) -> None:
        telemetry.configure(name, "0", None, exporter=exporters[name])
        telemetry.request("GET", "/balls", {}).end()
        telemetry.shutdown()

    for name in exporters:
        contextvars.copy_context().run(life, name)
    for name, exporter in exporters.items():
        assert exporter.get_finished_spans()[0].resource.attributes["service.name"] == name


NO_TRACE = "00-" + "0" * 32 + "-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "said", [None, "", "rubbish", NO_TRACE, "ff" + TRACE[2:], TRACE.upper(), TRACE + "-more", "x" * 9999]
)
def test_what_is_no_traceparent_starts_a_new_trace(said: str | None) -> None:
    assert telemetry.parse(said) is None


def a_record(logger: str, message: str, args: tuple[object, ...] = ()) -> logging.LogRecord:
    return logging.LogRecord(logger, logging.WARNING, __file__, 1, message, args, None)


def line(logger: str, message: str, *args: object, **extra: object) -> dict[str, object]:
    record = a_record(logger, message, args)
    record.__dict__.update(extra)
    shown: dict[str, object] = json.loads(JsonFormatter().format(record))
    return shown


def test_a_log_line_is_json_with_fields_of_a_closed_list() -> None:
    shown = line("chassis.relay", "topic is missing", topic="red.balls.events", attempt=2, person=CANARY)
    assert shown["message"] == "topic is missing"
    assert shown["topic"] == "red.balls.events"
    assert shown["attempt"] == 2
    assert shown["unlisted"] == ["person"]
    assert "Zora" not in json.dumps(shown)


def test_free_text_in_a_listed_field_is_not_shown() -> None:
    assert line("chassis.relay", "topic is missing", topic=CANARY)["topic"] == "not shown"


def test_arguments_of_foreign_loggers_are_not_filled_in() -> None:
    assert "Zora" not in json.dumps(line("aiokafka.producer", "Sending (key=%s value=%s)", CANARY, CANARY))
    assert "Zora" not in json.dumps(line("some.library", f"an f-string about {CANARY}"))


def test_the_text_of_an_exception_is_not_logged() -> None:
    record = a_record("chassis.relay", "failed")
    try:
        int(CANARY)
    except ValueError:
        record.exc_info = sys.exc_info()
    shown = json.loads(JsonFormatter().format(record))
    assert shown["error"] == "ValueError"
    assert shown["stack"][-1].endswith("test_the_text_of_an_exception_is_not_logged")
    assert "Zora" not in json.dumps(shown)


def test_a_line_names_the_trace_it_belongs_to() -> None:
    with telemetry.request("GET", "/balls", {"traceparent": TRACE}):
        assert line("chassis.relay", "said")["trace_id"] == TRACE[3:35]
