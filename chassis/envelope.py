"""What stands around a fact on a topic: CloudEvents 1.0 in Kafka's binary mode, written exactly and read from anybody.

Binding: CloudEvents 1.0.2 and its Kafka protocol binding, section 3.2 (binary content mode). By hand, because it is
short and runs for every event; the official SDK judges it in the tests. Reading never raises: a record that is no event
of ours becomes `Unreadable` with a reason from a closed list, and is somebody's to look at.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

HEADERS_MAX = 64  # four times what an event needs; each costs time and memory before anybody knows what it is
HEADER_BYTES_MAX = 2048  # per header: the longest of ours is a schema's URI
BODY_BYTES_MAX = 1024 * 1024  # far above a topic's limit, far below what a small batch can decompress to
SEQUENCE_MAX = 2**31 - 1  # what the column holds

JSON = "application/json"

Headers = Sequence[tuple[str, bytes | None]]


class Reason(StrEnum):
    """Why a record is no event."""

    UNDECODABLE = "undecodable"  # the client library could not take the batch apart; the record's bytes are not known
    TOO_LARGE = "too-large"
    TOO_MANY_HEADERS = "too-many-headers"
    HEADER_TWICE = "header-twice"
    HEADER_TEXT = "header-text"  # null, too long, not UTF-8, or with control characters
    MISSING = "attribute-missing"
    SPECVERSION = "specversion"
    CONTENT_TYPE = "content-type"
    ID = "id"
    TYPE = "type"
    SOURCE = "source"
    SUBJECT = "subject"
    SEQUENCE = "subjectseq"
    TIME = "time"
    KEY = "key"
    NO_BODY = "no-body"


class Unreadable(NamedTuple):
    """A record that is no event, and why."""

    reason: Reason


class Envelope(NamedTuple):
    """The attributes of one event. `extensions` are the other CloudEvents extensions, as text."""

    id: UUID
    type: str
    source: str
    subject: str
    """`<kind in the plural>/<uuid>`; the uuid is the record's key."""
    time: datetime
    """When it was said, UTC."""
    dataschema: str
    subjectseq: int
    """1, 2, 3 … per topic and subject."""
    extensions: Mapping[str, str]
    traceparent: str | None

    @property
    def key(self) -> UUID:
        """The subject's id: what must stay in order."""
        return UUID(self.subject.rpartition("/")[2])


class Record(NamedTuple):
    """One record of a topic as it was read.

    Of an event, `headers` are those that have a meaning: nobody has looked at the others, so nobody keeps them. Of an
    `Unreadable` they are all up to a limit, and `value` may be only its beginning.
    """

    envelope: Envelope | Unreadable
    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers
    value: bytes | None


def key_of(subject: UUID) -> bytes:
    """The record key of a subject: the text of the id, as every client and console shows it."""
    return str(subject).encode()


def to_headers(envelope: Envelope) -> list[tuple[str, bytes]]:
    """The record's headers; the body goes beside them untouched."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(envelope.id).encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_subject", envelope.subject.encode()),
        ("ce_time", envelope.time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("ce_dataschema", envelope.dataschema.encode()),
        ("ce_subjectseq", str(envelope.subjectseq).encode()),
        ("content-type", JSON.encode()),
    ]
    headers += [(f"ce_{name}", value.encode()) for name, value in envelope.extensions.items()]
    if envelope.traceparent is not None:
        trace = envelope.traceparent.encode()
        headers += [("ce_traceparent", trace), ("traceparent", trace)]
    return headers


def from_record(
    topic: str, partition: int, offset: int, key: bytes | None, headers: Headers, value: bytes | None
) -> Record:
    """Whatever was on the topic, with its envelope where it has one; never raises, whatever the bytes."""
    envelope = _envelope(key, headers, value)
    if isinstance(envelope, Unreadable):
        kept, value = tuple(headers[:HEADERS_MAX]), None if value is None else value[:BODY_BYTES_MAX]
    else:
        kept = tuple([pair for pair in headers if _attribute(pair[0]) is not None])
    return Record(envelope, topic, partition, offset, key, kept, value)


_REQUIRED = frozenset(("specversion", "id", "type", "source", "subject", "time", "subjectseq"))
_KNOWN = frozenset((*_REQUIRED, "dataschema", "traceparent", "tracestate", ":content-type", ":traceparent"))
_PLAIN = {"content-type": ":content-type", "traceparent": ":traceparent"}  # headers of meaning that are no attributes
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")  # goes into spans and logs, so it must not be free text
_SOURCE = re.compile(r"[\x21-\x7e]+")  # a URI-reference has no spaces
_SUBJECT = re.compile(rf"[a-z_]{{1,40}}/({_UUID.pattern})")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # no CloudEvents string has them, and PostgreSQL's text cannot hold NUL


def _envelope(key: bytes | None, headers: Headers, value: bytes | None) -> Envelope | Unreadable:
    if value is None or len(value) > BODY_BYTES_MAX:
        return Unreadable(Reason.NO_BODY if value is None else Reason.TOO_LARGE)
    texts = _texts(headers)
    if isinstance(texts, Unreadable):
        return texts
    reason = _wrong(texts, key)
    if reason is not None:
        return Unreadable(reason)
    time = _utc(texts["time"])
    if time is None:
        return Unreadable(Reason.TIME)
    return Envelope(
        id=UUID(texts["id"]),
        type=texts["type"],
        source=texts["source"],
        subject=texts["subject"],
        time=time,
        dataschema=texts.get("dataschema", ""),
        subjectseq=int(texts["subjectseq"]),
        extensions={name: text for name, text in texts.items() if name not in _KNOWN},
        traceparent=texts.get(":traceparent") or texts.get("traceparent"),
    )


def _texts(headers: Headers) -> dict[str, str] | Unreadable:
    """The headers that matter, as text, without `ce_`; the others get a colon in front. Foreign ones are passed by."""
    if len(headers) > HEADERS_MAX:
        return Unreadable(Reason.TOO_MANY_HEADERS)
    texts: dict[str, str] = {}
    for header, raw in headers:
        name = _attribute(header)
        if name is None:
            continue
        if name in texts:
            return Unreadable(Reason.HEADER_TWICE)
        text = _text(raw)
        if text is None:
            return Unreadable(Reason.HEADER_TEXT)
        texts[name] = text
    return texts


@lru_cache(maxsize=256)  # our own names are few; a stranger's inventions push each other out
def _attribute(header: str) -> str | None:
    """The name under which a header counts; None for those that mean nothing to us."""
    if header.startswith("ce_"):
        return header[3:] if _ATTRIBUTE.fullmatch(header, 3) else None
    return _PLAIN.get(header)


def _text(raw: bytes | None) -> str | None:
    if raw is None or len(raw) > HEADER_BYTES_MAX:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() or not _CONTROL.search(text) else None


def _wrong(texts: Mapping[str, str], key: bytes | None) -> Reason | None:  # noqa: PLR0911  # one line per attribute
    """The first attribute that is not as it must be."""
    if not texts.keys() >= _REQUIRED:
        return Reason.MISSING
    if texts["specversion"] != "1.0":
        return Reason.SPECVERSION
    content_type = texts.get(":content-type", JSON)
    if content_type != JSON and not content_type.startswith(f"{JSON};"):
        return Reason.CONTENT_TYPE
    if not _UUID.fullmatch(texts["id"]):
        return Reason.ID
    if not _is_type(texts["type"]):
        return Reason.TYPE
    if not _is_source(texts["source"]):
        return Reason.SOURCE
    subject = _SUBJECT.fullmatch(texts["subject"])
    if not subject:
        return Reason.SUBJECT
    number = texts["subjectseq"]
    if not _NUMBER.fullmatch(number) or int(number) > SEQUENCE_MAX:
        return Reason.SEQUENCE
    if key != subject[1].encode():
        return Reason.KEY
    return None


@lru_cache(maxsize=256)  # there are few of them
def _is_type(text: str) -> bool:
    return _TYPE.fullmatch(text) is not None


@lru_cache(maxsize=256)
def _is_source(text: str) -> bool:
    return _SOURCE.fullmatch(text) is not None


def _utc(text: str) -> datetime | None:
    """An RFC 3339 time."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # the 31st of February; an offset at the edge of the calendar
        return None
