"""What may be said to the intake service: the bodies of its commands, checked, and what they become."""

import secrets
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from chassis.http import Body, Call, CommandAnswer, Content, Day, Instant, Name, Text
from contracts.codes import (
    CompetenceArea,
    ContactChannel,
    DataCategory,
    Destination,
    Giver,
    Need,
    PauseReason,
    Phase,
    Place,
    TargetGroup,
)
from services.intake.domain.case import RecordedNeed
from services.intake.domain.dossiers import as_content
from services.intake.domain.items import (
    ALWAYS_SPECIAL,
    HASH_KEY_BYTES,
    CollectedFrom,
    CollectionBasis,
    Item,
    keyed_hash,
)
from services.intake.domain.persons import Address, ContactPreference, Person
from services.intake.domain.phases import SchoolFacts, Training

CONTENT_BYTES_MAX: Final = 32 * 1024  # eight items fit into one answer of the door (256 KB)
ITEMS_AT_ONCE_MAX: Final = 50

Short = Annotated[Text, Field(max_length=200)]
LocalNumber = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,39}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")]  # RFC 5646
Gender = Literal["female", "male", "diverse", "none"]  # § 22(3) PStG: none is an entry of its own


class AddressBody(Body):
    """Where somebody lives; `protected` where the register gives no information (§ 51 BMG)."""

    street: Short
    postcode: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z][0-9A-Z -]{2,9}$")]
    place: Short
    protected: bool = False


class PersonBody(Body):
    """Whose case it is."""

    given_names: Name
    family_name: Name
    birth_date: Day
    gender: Gender | None = None
    address: AddressBody | None = None
    phone: Annotated[str, StringConstraints(pattern=r"^\+?[0-9 ()/-]{3,30}$")] | None = None
    mail: Annotated[Text, Field(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$")] | None = None
    contact_preference: ContactPreference | None = None
    language: Language | None = None
    interpreter_needed: bool = False

    def as_person(self, id: UUID) -> Person:
        """The person under that id."""
        fields = dict(self)
        address = None if self.address is None else Address(**dict(self.address))
        return Person(**fields | {"id": id, "address": address})


class ItemBody(Body):
    """One datum. `content` is an object of your own making; never without a category."""

    category: DataCategory
    content: Content
    entrusted: bool = False
    special: bool = False
    professional_secret: bool = False
    entruster: Giver | None = None
    collected_from: CollectedFrom = CollectedFrom.PERSON
    collection_basis: CollectionBasis | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.collected_from is CollectedFrom.THIRD_PARTY) != (self.collection_basis is not None):
            raise PydanticCustomError("collection_basis", "belongs to what a third party was asked, and only there")
        if self.entruster is not None and not self.entrusted:
            raise PydanticCustomError("entruster", "belongs to what was entrusted")
        if len(as_content(self.content).encode()) > CONTENT_BYTES_MAX:
            raise PydanticCustomError("content_size", "is larger than 32 KB")
        return self

    def as_item(self, call: Call, **beside: Any) -> Item:
        """The item, with what it belongs to in `beside`."""
        fields = dict(self) | {"special": self.special or self.category in ALWAYS_SPECIAL}
        return new_item(call, **fields | {"content": as_content(self.content)}, **beside)


def new_item(call: Call, content: str, **fields: Any) -> Item:
    """A new item with a fingerprint under a key of its own."""
    key = secrets.token_bytes(HASH_KEY_BYTES)
    return Item(
        id=call.new_id(), content=content, hash=keyed_hash(key, content), hash_key=key, recorded_at=call.now, **fields
    )


Items = Annotated[tuple[ItemBody, ...], Field(max_length=ITEMS_AT_ONCE_MAX)]
Severity = Annotated[int, Field(ge=0, le=3)]


class NeedBody(Body):
    """A need, from 0 (named) to 3 (acute)."""

    code: Need
    severity: Severity
    entrusted: bool = False

    def as_need(self, call: Call) -> RecordedNeed:
        """The need as of now."""
        return RecordedNeed(self.code, self.severity, self.entrusted, call.now)


class SchoolBody(Body):
    """What the phase is derived from."""

    grade: Annotated[int, Field(ge=1, le=13)] | None = None
    final_year: bool = False
    left_school: bool = False
    training: Training = Training.NONE

    def as_facts(self) -> SchoolFacts:
        """The facts the rule reads."""
        return SchoolFacts(**dict(self))


class RegisterBody(Body):
    """A new case. Without `local_number` one is made."""

    person: PersonBody
    items: Items = ()
    needs: Annotated[tuple[NeedBody, ...], Field(max_length=len(Need))] = ()
    no_needs: bool = False
    target_groups: frozenset[TargetGroup] = frozenset()
    school: SchoolBody | None = None
    local_number: LocalNumber | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.no_needs and self.needs:
            raise PydanticCustomError("no_needs", "cannot stand beside needs")
        return self


class ItemsBody(Body):
    """More is known."""

    items: Annotated[tuple[ItemBody, ...], Field(min_length=1, max_length=ITEMS_AT_ONCE_MAX)]


class ContactPersonBody(Body):
    """Who the young person talks to, by the name their token has."""

    contact_person: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]


class ContactBody(Body):
    """An attempt to reach the young person."""

    at: Instant
    channel: ContactChannel
    place: Place | None = None
    reached: bool


class PhaseBody(Body):
    """A phase the rule does not give, and why."""

    phase: Phase
    reason: Text


class ActivationBody(Body):
    """`no_needs`: it was asked, and there are none."""

    no_needs: bool = False


class NotResponsibleBody(Body):
    """Whose task it seems to be."""

    area: CompetenceArea


class PauseBody(Body):
    """Why work rests, and when somebody looks again."""

    reason: PauseReason
    review_on: Day


class CloseBody(Body):
    """Where the young person went; `unknown` is an answer, and counted."""

    destination: Destination


class ReopenBody(Body):
    """Why work begins again."""

    reason: Text


class ProtectionBody(Body):
    """Whether the register gives no information about the address (§ 51 BMG)."""

    protected: bool


class WordsBody(Body):
    """An answer, a note, a feedback to the other agency. `case`: whose they are about, where there is one here."""

    words: ItemBody
    case: UUID | None = None


class CaseAnswer(CommandAnswer):
    """What a command on a case answers: ids, codes and numbers, nobody's name."""

    person: UUID | None
    local_number: str | None
    warnings: list[str]


class WordsAnswer(CommandAnswer):
    """What an event needs to name the words."""

    item: UUID
    bytes: int
    hash: str
