"""What every event class is: a frozen body with its type, its topic and its key as data of the class."""

from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

from contracts.codes import Service

# A body is a fact of small size; lists in it are bounded so that no event outgrows a record (64 KB).
ITEMS_MAX = 500
CODES_MAX = 50


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class TopicKind(StrEnum):
    """Where an event is told: at home, to one other agency, or to the whole alliance."""

    OWN = "own"
    CHANNEL = "channel"
    CATALOGUE = "catalogue"


class SubjectKind(StrEnum):
    """First part of `ce_subject`: what the key is the id of."""

    CASES = "cases"
    PERSONS = "persons"
    HANDOVERS = "handovers"
    OFFERS = "offers"


class Part(BaseModel):
    """A piece of a body. Unknown fields are passed by (a newer writer may have added them), wrong types refused."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Event(Part):
    """A fact. Who said it, to whom and when stands in the envelope and the topic, never in the body."""

    type: ClassVar[str]  # as on the wire, written out once and whole
    owner: ClassVar[Service]  # the only service that tells it
    topic: ClassVar[TopicKind]
    subject_kind: ClassVar[SubjectKind]
    key_field: ClassVar[str]  # the field whose value keeps events in order; dotted where it lies in a part

    @property
    def key(self) -> UUID:
        """What must stay in order: the key of the Kafka record."""
        key: UUID = attrgetter(self.key_field)(self)
        return key

    @property
    def subject(self) -> str:
        """The attribute `ce_subject`, for example `handovers/0190…`."""
        return f"{self.subject_kind}/{self.key}"
