"""The CloudEvents binding: written as the official SDK reads it, read from anybody without ever raising."""
from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from chassis.envelope import (
    BODY_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    SEQUENCE_MAX,
    Envelope,
    Reason,
    Record,
    Unreadable,
    from_record,
    key_of,
    to_headers,
)

KEY = UUID("019aa0b2-0000-7000-8000-000000000001")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = b'{"ball": 3}'


def an_envelope(**changes: object) -> Envelope:
    envelope = Envelope(
        id=UUID("019aa0b2-0000-7000-8000-0000000000aa"),
        type="test.ball.thrown.v1",
        source="urn:test:red:balls",
        subject=f"balls/{KEY}",
        time=datetime(2026, 11, 3, 9, 30, 0, 123000, tzinfo=UTC),
        dataschema="https://example.org/schemas/ball/thrown/1.json",
        subjectseq=7,
        extensions={"alliance": "musterland", "correlationid": str(KEY)},
        traceparent=TRACE,
    )
    return envelope._replace(**changes)  # type: ignore[arg-type]  # names are checked by the tests that use them


def headers(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    """Good headers with some replaced; `_` stands for the `-` of `content-type`."""
    known = {name.replace("-", "_"): name for name, _ in to_headers(an_envelope())}
    changed = {known.get(name, name): value for name, value in changes.items()}
    kept = [(name, changed.pop(name, value)) for name, value in to_headers(an_envelope())]
    return [*kept, *changed.items()]


def read(
    these: list[tuple[str, bytes | None]], *, key: bytes | None = key_of(KEY), value: bytes | None = BODY
) -> Envelope | Unreadable:
    return from_record("red.balls.events", 0, 1, key, these, value).envelope


def test_an_envelope_comes_back_as_it_was_written() -> None:
    record = from_record("red.balls.events", 3, 14, key_of(KEY), to_headers(an_envelope()), BODY)
    assert record == Record(
        an_envelope(), "red.balls.events", 3, 14, key_of(KEY), tuple(to_headers(an_envelope())), BODY
    )
    assert isinstance(record.envelope, Envelope)
    assert record.envelope.key == KEY


def test_the_official_sdk_reads_what_we_write() -> None:
    message = KafkaMessage(headers=dict(to_headers(an_envelope())), key=key_of(KEY), value=BODY)
    event = from_binary(message, JSONFormat(), CloudEvent)
    assert event.get_id() == str(an_envelope().id)
    assert event.get_type() == "test.ball.thrown.v1"
    assert event.get_source() == "urn:test:red:balls"
    assert event.get_subject() == f"balls/{KEY}"
    assert event.get_time() == an_envelope().time
    assert event.get_dataschema() == an_envelope().dataschema
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("subjectseq") == "7"
    assert event.get_extension("alliance") == "musterland"
    assert event.get_extension("traceparent") == TRACE
    assert event.get_data() == {"ball": 3}


def test_we_read_what_the_official_sdk_writes() -> None:
    attributes = {
        "id": str(an_envelope().id), "type": "test.ball.thrown.v1", "source": "urn:test:red:balls",
        "subject": f"balls/{KEY}", "time": an_envelope().time, "datacontenttype": "application/json",
        "dataschema": an_envelope().dataschema, "subjectseq": 7, "alliance": "musterland", "correlationid": str(KEY),
        "traceparent": TRACE, "specversion": "1.0",
    }
    message = to_binary(CloudEvent(attributes=attributes, data={"ball": 3}), JSONFormat(), lambda _: key_of(KEY))
    written = [(name, value) for name, value in message.headers.items()]
    record = from_record("red.balls.events", 0, 1, key_of(KEY), written, message.value)
    assert record.envelope == an_envelope()
    assert json.loads(record.value or b"") == {"ball": 3}


def test_times_of_any_zone_become_utc() -> None:
    east = an_envelope(time=datetime(2026, 11, 3, 10, 30, 0, 123000, tzinfo=timezone(timedelta(hours=1))))
    assert dict(to_headers(east))["ce_time"] == b"2026-11-03T09:30:00.123000Z"
    assert read(headers(ce_time=b"2026-11-03t10:30:00.123+01:00")) == an_envelope()


def test_the_hop_before_us_is_the_parent_and_not_the_first_hop() -> None:
    hop = TRACE.replace("b7ad6b7169203331", "00f067aa0ba902b7").encode()
    envelope = read(headers(traceparent=hop))
    assert isinstance(envelope, Envelope)
    assert envelope.traceparent == hop.decode()


def test_vendor_state_and_unknown_headers_go_no_further() -> None:
    noise = headers(tracestate=b"vendor=Zora", baggage=b"n=Zora", ce_tracestate=b"x=y", odd=None, b=b"\xff", ce_UP=b"1")
    record = from_record("red.balls.events", 0, 1, key_of(KEY), noise, BODY)
    assert record.envelope == an_envelope()
    assert {name for name, _ in record.headers} == {*dict(to_headers(an_envelope())), "ce_tracestate"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ce_specversion": b"0.3"}, Reason.SPECVERSION),
        ({"content_type": b"application/cloudevents+json"}, Reason.CONTENT_TYPE),
        ({"ce_id": b"7"}, Reason.ID),
        ({"ce_id": b"{019aa0b2-0000-7000-8000-0000000000aa}"}, Reason.ID),
        ({"ce_type": b"Zora was here"}, Reason.TYPE),
        ({"ce_source": b"urn with spaces"}, Reason.SOURCE),
        ({"ce_subject": b"balls"}, Reason.SUBJECT),
        ({"ce_subject": b"balls/------------------------------------"}, Reason.SUBJECT),
        ({"ce_subject": b"balls/019aa0b2-0000-7000-8000-000000000002"}, Reason.KEY),
        ({"ce_subjectseq": b"0"}, Reason.SEQUENCE),
        ({"ce_subjectseq": b"-1"}, Reason.SEQUENCE),
        ({"ce_subjectseq": "٣".encode()}, Reason.SEQUENCE),
        ({"ce_subjectseq": str(SEQUENCE_MAX + 1).encode()}, Reason.SEQUENCE),
        ({"ce_time": b"yesterday"}, Reason.TIME),
        ({"ce_time": b"2026-11-03T09:30:00"}, Reason.TIME),
        ({"ce_time": b"2026-02-31T09:30:00Z"}, Reason.TIME),
        ({"ce_time": b"0001-01-01T00:00:00+14:00"}, Reason.TIME),
        ({"ce_alliance": b"M\xfcller"}, Reason.HEADER_TEXT),
        ({"ce_alliance": b"nul\x00"}, Reason.HEADER_TEXT),
        ({"ce_alliance": None}, Reason.HEADER_TEXT),
        ({"ce_alliance": b"x" * (HEADER_BYTES_MAX + 1)}, Reason.HEADER_TEXT),
        ({"traceparent": b"\xff"}, Reason.HEADER_TEXT),
    ],
)
def test_a_wrong_attribute_makes_a_record_unreadable(changes: dict[str, bytes | None], reason: Reason) -> None:
    assert read(headers(**changes)) == Unreadable(reason)


def test_every_required_attribute_is_required() -> None:
    for name in ("specversion", "id", "type", "source", "subject", "time", "subjectseq"):
        without = [(header, value) for header, value in headers() if header != f"ce_{name}"]
        assert read(without) == Unreadable(Reason.MISSING), name


def test_a_header_that_is_there_twice_is_believed_in_neither_form() -> None:
    assert read([*headers(), ("ce_id", str(KEY).encode())]) == Unreadable(Reason.HEADER_TWICE)


def test_a_tombstone_a_giant_and_a_swarm_of_headers_are_unreadable_and_kept_small() -> None:
    assert read(headers(), value=None) == Unreadable(Reason.NO_BODY)
    giant = from_record("t", 0, 1, key_of(KEY), headers(), b"x" * (BODY_BYTES_MAX + 1))
    assert giant.envelope == Unreadable(Reason.TOO_LARGE)
    assert len(giant.value or b"") == BODY_BYTES_MAX
    swarm = from_record("t", 0, 1, key_of(KEY), [("ce_id", b"x")] * 10_000, BODY)
    assert swarm.envelope == Unreadable(Reason.TOO_MANY_HEADERS)
    assert len(swarm.headers) == HEADERS_MAX


def test_a_key_that_is_not_the_subject_is_unreadable() -> None:
    for key in (None, b"", KEY.bytes, str(KEY).upper().encode(), b"\xff" * 40):
        assert read(headers(), key=key) == Unreadable(Reason.KEY)


names = st.sampled_from([name for name, _ in to_headers(an_envelope())]) | st.text(max_size=12)
values = st.none() | st.binary(max_size=60) | st.sampled_from([value for _, value in to_headers(an_envelope())])


@given(
    key=st.none() | st.binary(max_size=40),
    these=st.lists(st.tuples(names, values), max_size=20),
    value=st.none() | st.binary(max_size=50),
)
def test_no_bytes_whatsoever_make_reading_raise(
    key: bytes | None, these: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    record = from_record("t", 0, 1, key, these, value)
    assert isinstance(record.envelope, Envelope | Unreadable)


@given(
    name=st.sampled_from([name for name, _ in to_headers(an_envelope())]),
    raw=st.binary(max_size=60) | st.text().map(str.encode),
)
def test_no_value_of_an_attribute_makes_reading_raise(name: str, raw: bytes) -> None:
    these = [(header, raw if header == name else value) for header, value in to_headers(an_envelope())]
    envelope = read(list(these))
    assert isinstance(envelope, Envelope | Unreadable)
    if isinstance(envelope, Envelope):
        assert envelope.key == KEY
