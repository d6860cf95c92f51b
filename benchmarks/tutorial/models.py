"""The tables as classes, as an ORM wants them: the mechanism's written here, the services' from their own rooms."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Identity, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.consent.store import tables as consent
from services.handover.store import tables as handover
from services.intake.store import tables as intake


class Base(DeclarativeBase):
    """Columns are written in Python's types."""

    type_annotation_map = {  # noqa: RUF012  # as SQLAlchemy wants it
        datetime: DateTime(timezone=True),
        str: Text,
        list[str]: ARRAY(Text),
        list[list[str]]: JSONB,
        dict[str, Any]: JSONB,
    }
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


def _key(**more: Any) -> Any:
    return mapped_column(primary_key=True, **more)


class EventLog(Base):
    """What was said."""

    __tablename__ = "event_log"
    pos: Mapped[int] = _key(type_=BigInteger, server_default=Identity(always=True))
    event_id: Mapped[UUID]
    topic: Mapped[str]
    key: Mapped[UUID]
    seq: Mapped[int]
    type: Mapped[str]
    headers: Mapped[list[list[str]]]
    payload: Mapped[bytes]


class Outbox(Base):
    """What has not been published yet."""

    __tablename__ = "outbox"
    pos: Mapped[int] = _key(type_=BigInteger, autoincrement=False)
    topic: Mapped[str]
    key: Mapped[UUID]


class Publication(Base):
    """What has been published, numbered per topic."""

    __tablename__ = "publication"
    topic: Mapped[str] = _key()
    number: Mapped[int] = _key(type_=BigInteger, autoincrement=False)
    pos: Mapped[int] = mapped_column(BigInteger)
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)


class StreamHead(Base):
    """The last number given to a fact of a subject."""

    __tablename__ = "stream_head"
    topic: Mapped[str] = _key()
    key: Mapped[UUID] = _key()
    last: Mapped[int]


class Inbox(Base):
    """What was heard."""

    __tablename__ = "inbox"
    consumer: Mapped[str] = _key()
    event_id: Mapped[UUID] = _key()
    subject: Mapped[UUID] = _key()
    topic: Mapped[str]
    key: Mapped[UUID]
    seq: Mapped[int]
    type: Mapped[str]
    traceparent: Mapped[str]
    said_at: Mapped[datetime]


class Lane(Base):
    """Up to which number a subject was heard."""

    __tablename__ = "lane"
    consumer: Mapped[str] = _key()
    topic: Mapped[str] = _key()
    key: Mapped[UUID] = _key()
    last_seq: Mapped[int]
    last_id: Mapped[UUID]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), onupdate=func.clock_timestamp())


class HeardUpTo(Base):
    """Where reading of a partition goes on."""

    __tablename__ = "heard_up_to"
    consumer: Mapped[str] = _key()
    topic: Mapped[str] = _key()
    partition: Mapped[int] = _key(autoincrement=False)
    next_offset: Mapped[int] = mapped_column(BigInteger)
    written_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), onupdate=func.clock_timestamp())


class Deadline(Base):
    """What is due when."""

    __tablename__ = "deadline"
    kind: Mapped[str] = _key()
    subject: Mapped[UUID] = _key()
    id: Mapped[UUID]
    due_at: Mapped[datetime]


class Errand(Base):
    """What has to be asked over the network."""

    __tablename__ = "errand"
    name: Mapped[str] = _key()
    subject: Mapped[UUID] = _key()
    key: Mapped[str] = _key()
    id: Mapped[UUID]
    about: Mapped[dict[str, Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    taken_by: Mapped[str | None]
    traceparent: Mapped[str]
    next_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Reservation(Base):
    """Who holds what there is one of."""

    __tablename__ = "reservation"
    name: Mapped[str] = _key()
    key: Mapped[str] = _key()
    holder: Mapped[UUID]


class Answer(Base):
    """What a command was answered."""

    __tablename__ = "answer"
    principal: Mapped[str] = _key()
    key: Mapped[str] = _key()
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    headers: Mapped[list[list[str]]]
    body: Mapped[bytes]


class ServiceSecret(Base):
    """Random bytes of the service."""

    __tablename__ = "service_secret"
    name: Mapped[str] = _key()
    value: Mapped[bytes]


class Handover(Base):
    """A handover, at either side."""

    __table__ = handover.handovers


class KnownCase(Base):
    """What the handover service knows of a case."""

    __table__ = handover.known_cases


class Person(Base):
    """A person of whom consent knows."""

    __table__ = consent.person


class Consent(Base):
    """A consent."""

    __table__ = consent.consent


class Grant(Base):
    """What a consent grants."""

    __table__ = consent.consent_grant


class Transmission(Base):
    """A question whether items may go."""

    __table__ = consent.transmission


class Decision(Base):
    """The answer to it."""

    __table__ = consent.decision


class DecisionItem(Base):
    """The answer for one item."""

    __table__ = consent.decision_item


class Reception(Base):
    """What may come from elsewhere."""

    __table__ = consent.reception


class Case(Base):
    """A case of the agency."""

    __table__ = intake.cases


class Registered(Base):
    """A person of whom intake knows."""

    __table__ = intake.persons


class Need(Base):
    """What a young person needs."""

    __table__ = intake.needs


class Item(Base):
    """A piece of the dossier."""

    __table__ = intake.items
