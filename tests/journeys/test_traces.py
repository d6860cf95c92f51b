"""Each automatic chain of events is one trace, over outbox, broker and agencies; spans say nothing but listed codes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from chassis.telemetry import ATTRIBUTES
from tests.journeys.journey import Journey
from tests.journeys.town import Town

CHANNEL = "musterland.jobcenter.to.jugendamt.handover"
EXPORT_SECONDS_MAX = 15.0  # services send their spans every five seconds
REQUESTED = "staffel.handover.requested.v1"

Place = tuple[str, str, str]  # service, name of the span, type of the event


async def test_the_copy_at_the_receiver_descends_from_the_proposal_at_the_sender(town: Town, asked: Journey) -> None:
    spans = await _the_trace_of(town, asked)
    copied = next(span for service, span in spans if _place(service, span) == _process(REQUESTED))
    by_id = {span.span_id: (service, span) for service, span in spans}
    assert _line_up(copied, by_id) == [
        ("jobcenter.handover", f"create {CHANNEL}", REQUESTED),
        ("jobcenter.handover", "process jobcenter.consent.events", "staffel.transmission.permitted.v1"),
        ("jobcenter.consent", "create jobcenter.consent.events", "staffel.transmission.permitted.v1"),
        ("jobcenter.consent", "errand read_items", ""),  # consent asks intake what the items are before it decides
        ("jobcenter.handover", "create jobcenter.handover.events", "staffel.handover.proposed.v1"),
        ("jobcenter.handover", "POST /handovers/{handover}/request", ""),
    ]


async def test_the_two_agencies_name_the_same_trace_in_their_timelines(town: Town, asked: Journey) -> None:
    told = await _traces(asked, "sender", "told")
    heard = await _traces(asked, "receiver", "heard")
    assert told == heard
    assert len(told) == 1


async def test_spans_carry_listed_attributes_only(town: Town, asked: Journey) -> None:
    await _the_trace_of(town, asked)
    spans = town.collector.spans()
    assert {service for service, _ in spans} == set(town.system.servers)
    assert {attribute.key for _, span in spans for attribute in span.attributes} <= ATTRIBUTES
    assert not [event for _, span in spans for event in span.events]  # an exception's text would stand there
    assert not [span.name for _, span in spans if asked.handover in span.name]


def _process(type_: str) -> Place:
    return ("jugendamt.handover", f"process {CHANNEL}", type_)


def _place(service: str, span: Span) -> Place:
    types = [each.value.string_value for each in span.attributes if each.key == "cloudevents.event_type"]
    return service, span.name, "".join(types)


def _line_up(span: Span, by_id: Mapping[bytes, tuple[str, Span]]) -> list[Place]:
    """What it descends from, its parent first; KeyError where a parent belongs to another trace."""
    line = []
    while span.parent_span_id:
        service, span = by_id[span.parent_span_id]
        line.append(_place(service, span))
    return line


async def _traces(journey: Journey, side: str, way: str) -> set[str]:
    desk = journey.sender if side == "sender" else journey.receiver
    entries = (await desk.get("handover", f"/handovers/{journey.handover}/timeline"))["entries"]
    return {entry["trace"] for entry in entries if (entry["way"], entry["type"]) == (way, REQUESTED)}


async def _the_trace_of(town: Town, journey: Journey) -> list[tuple[str, Span]]:
    """All spans of the trace in which the receiver was asked, as soon as they have come."""
    (trace,) = await _traces(journey, "sender", "told")
    async with asyncio.timeout(EXPORT_SECONDS_MAX):
        while True:
            found = [(service, span) for service, span in town.collector.spans() if span.trace_id.hex() == trace]
            services = {service for service, _ in found}
            if _process(REQUESTED) in {_place(*each) for each in found} and "jobcenter.consent" in services:
                return found
            await asyncio.sleep(0.2)
