"""What the intake service is asked: cases and what is known in them, words between agencies, items for own consent."""

import json
import secrets
import time
from collections.abc import AsyncGenerator, Iterable
from datetime import date
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.executor import Step
from chassis.http import Body, Call, CommandAnswer, Day, Instant, Name, Routes, StreamingAnswer, Text, people, services
from chassis.service import Tools
from chassis.transitions import Refused
from contracts.codes import (
    AgeBand,
    CompetenceArea,
    ContactChannel,
    DataCategory,
    Destination,
    Giver,
    Need,
    PauseReason,
    Phase,
    Place,
    Role,
    Service,
    TargetGroup,
)
from contracts.events import ITEMS_MAX
from services.intake import store
from services.intake.domain import Reason, commands
from services.intake.domain.case import Contact, DossierReason, DossierState, PhaseSource, RecordedNeed, State
from services.intake.domain.dossiers import CATEGORY_OF, as_content, contents_of
from services.intake.domain.items import (
    ALWAYS_SPECIAL,
    HASH_KEY_BYTES,
    CollectedFrom,
    CollectionBasis,
    Item,
    Part,
    keyed_hash,
)
from services.intake.domain.persons import Address, ContactPreference, Person
from services.intake.domain.phases import SchoolFacts, Training
from services.intake.domain.words import Write
from services.intake.store import CASE, WORDS

STAFF: Final = people(Role.CASEWORKER, Role.TEAM_LEAD)
STAFF_AND_COORDINATION: Final = people(Role.CASEWORKER, Role.TEAM_LEAD, Role.COORDINATION)
OWN_CONSENT: Final = services(Service.CONSENT)
CONTENT_BYTES_MAX: Final = 32 * 1024  # eight items fit into one answer of the door (256 KB)
ITEMS_AT_ONCE_MAX: Final = 50
INTERNAL_SECONDS_MAX: Final = 5.0  # longer than the lease of a release: who is slower has lost its reader already

routes = Routes()

Short = Annotated[Text, Field(max_length=200)]
LocalNumber = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,39}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")]  # RFC 5646
Gender = Literal["female", "male", "diverse", "none"]  # § 22(3) PStG: none is an entry of its own


# --- bodies -----------------------------------------------------------------------------------------------------------


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
    mail: Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$")] | None = None
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
    content: dict[str, JsonValue]
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
        """A new item with a fingerprint under a key of its own."""
        fields = dict(self) | {"special": self.special or self.category in ALWAYS_SPECIAL}
        return _item(call, **fields | {"content": as_content(self.content)}, **beside)


def _item(call: Call, content: str, **fields: Any) -> Item:
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


# --- commands ---------------------------------------------------------------------------------------------------------


@routes.command("POST", "/cases", allow=STAFF, status=201, answer=CaseAnswer)
def register(call: Call, body: RegisterBody, resources: Tools) -> Step:
    """Register a case: somebody has come. The answer warns of an unexpected age and of a possible duplicate."""
    return Step(CASE, call.new_id(), _registration(call, body, call.new_id(), resources))


@routes.command("POST", "/cases/{case}/registration", allow=STAFF, answer=CaseAnswer)
def register_announced(call: Call, case: UUID, body: RegisterBody, resources: Tools) -> Step:
    """Register a case that a handover announced, when the person comes before the dossier."""
    return Step(CASE, case, _registration(call, body, case, resources), call.if_match)


def _registration(call: Call, body: RegisterBody, person: UUID, resources: Tools) -> commands.Register:
    who = body.person.as_person(person)
    repeated = (_item(call, said, category=CATEGORY_OF[part], part=part) for part, said in contents_of(who).items())
    return commands.Register(
        by=call.caller.name,
        sphere=resources.settings.sphere,
        person=who,
        items=(*repeated, *(item.as_item(call) for item in body.items)),
        needs=tuple(need.as_need(call) for need in body.needs),
        no_needs=body.no_needs,
        target_groups=body.target_groups,
        school=None if body.school is None else body.school.as_facts(),
        local_number=body.local_number,
    )


@routes.command("PUT", "/cases/{case}/contact-person", allow=STAFF, answer=CaseAnswer)
def assign_contact_person(call: Call, case: UUID, body: ContactPersonBody) -> Step:
    """Say who the young person talks to; clarifying whose task it is begins."""
    return Step(CASE, case, commands.AssignContactPerson(body.contact_person), call.if_match)


@routes.command("POST", "/cases/{case}/contacts", allow=STAFF, answer=CaseAnswer)
def record_contact(call: Call, case: UUID, body: ContactBody) -> Step:
    """Record that the young person was tried to be reached, or was."""
    contact = Contact(call.new_id(), body.at, call.caller.name, body.channel, body.place, body.reached)
    return Step(CASE, case, commands.RecordContact(contact), call.if_match)


@routes.command("POST", "/cases/{case}/needs", allow=STAFF, answer=CaseAnswer)
def record_need(call: Call, case: UUID, body: NeedBody) -> Step:
    """Record a need, or see it differently: the latest word about a code counts."""
    return Step(CASE, case, commands.RecordNeed(body.as_need(call)), call.if_match)


@routes.command("DELETE", "/cases/{case}/needs/{code}", allow=STAFF, answer=CaseAnswer)
def resolve_need(call: Call, case: UUID, code: Need) -> Step:
    """Say that a need is no longer there."""
    return Step(CASE, case, commands.ResolveNeed(code), call.if_match)


@routes.command("PUT", "/cases/{case}/school", allow=STAFF, answer=CaseAnswer)
def record_school_facts(call: Call, case: UUID, body: SchoolBody) -> Step:
    """Say how it stands with school and training; the phase follows by rule."""
    return Step(CASE, case, commands.RecordSchoolFacts(call.caller.name, body.as_facts()), call.if_match)


@routes.command("PUT", "/cases/{case}/phase", allow=STAFF, answer=CaseAnswer)
def override_phase(call: Call, case: UUID, body: PhaseBody) -> Step:
    """Set the phase by hand, with the reason."""
    return Step(CASE, case, commands.OverridePhase(call.caller.name, body.phase, body.reason), call.if_match)


@routes.command("POST", "/cases/{case}/items", allow=STAFF, answer=CaseAnswer)
def add_items(call: Call, case: UUID, body: ItemsBody) -> Step:
    """Add what is known, datum by datum."""
    return Step(CASE, case, commands.AddItems(tuple(item.as_item(call) for item in body.items)), call.if_match)


@routes.command("PUT", "/cases/{case}/address-protection", allow=STAFF, answer=CaseAnswer)
def protect_address(call: Call, case: UUID, body: ProtectionBody) -> Step:
    """Say whether the address may leave at all (§ 51 BMG)."""
    return Step(CASE, case, commands.ProtectAddress(body.protected), call.if_match)


@routes.command("POST", "/cases/{case}/activation", allow=STAFF, answer=CaseAnswer)
def confirm_responsibility(call: Call, case: UUID, body: ActivationBody) -> Step:
    """Confirm that the case is ours: it needs a contact person, a phase, and a need or that there are none."""
    return Step(CASE, case, commands.ConfirmResponsibility(body.no_needs), call.if_match)


@routes.command("POST", "/cases/{case}/non-responsibility", allow=STAFF, answer=CaseAnswer)
def declare_not_responsible(call: Call, case: UUID, body: NotResponsibleBody) -> Step:
    """Say that it is somebody else's task (§ 16(2) SGB I)."""
    return Step(CASE, case, commands.DeclareNotResponsible(body.area), call.if_match)


@routes.command("POST", "/cases/{case}/pause", allow=STAFF, answer=CaseAnswer)
def pause(call: Call, case: UUID, body: PauseBody) -> Step:
    """Let work rest until a day."""
    return Step(CASE, case, commands.Pause(body.reason, body.review_on), call.if_match)


@routes.command("POST", "/cases/{case}/resumption", allow=STAFF, answer=CaseAnswer)
def resume(call: Call, case: UUID) -> Step:
    """Go on."""
    return Step(CASE, case, commands.Resume(), call.if_match)


@routes.command("POST", "/cases/{case}/closing", allow=STAFF, answer=CaseAnswer)
def close(call: Call, case: UUID, body: CloseBody) -> Step:
    """End work here."""
    return Step(CASE, case, commands.Close(body.destination), call.if_match)


@routes.command("POST", "/cases/{case}/reopening", allow=STAFF, answer=CaseAnswer)
def reopen(call: Call, case: UUID, body: ReopenBody, resources: Tools) -> Step:
    """Begin again, while the case is kept."""
    return Step(CASE, case, commands.Reopen(body.reason, resources.settings.retention), call.if_match)


@routes.command("POST", "/cases/{case}/dossier", allow=STAFF, answer=CaseAnswer)
def fetch_dossier(call: Call, case: UUID) -> Step:
    """Ask the sender's door once more."""
    return Step(CASE, case, commands.FetchDossier(), call.if_match)


@routes.command("POST", "/handovers/{handover}/words", allow=STAFF, status=201, answer=WordsAnswer)
def write(call: Call, handover: UUID, body: WordsBody) -> Step:
    """Write to the other agency: an event then names the words, and they go by the door like everything else."""
    item = body.words.as_item(call, handover=handover, case=body.case)
    return Step(WORDS, handover, Write(item))


# --- views ------------------------------------------------------------------------------------------------------------


class PersonView(BaseModel):
    """Who somebody is."""

    given_names: str
    family_name: str
    birth_date: date
    gender: str | None
    street: str | None
    postcode: str | None
    place: str | None
    address_protected: bool
    phone: str | None
    mail: str | None
    contact_preference: ContactPreference | None
    language: str | None
    interpreter_needed: bool
    release: UUID | None


class NeedView(BaseModel):
    """An open need."""

    code: Need
    severity: int
    entrusted: bool
    received: bool
    recorded_at: Instant


class CaseView(BaseModel):
    """A case. `person`, needs and numbers are shown to those who work with people, to nobody else."""

    id: UUID
    version: int
    state: State
    phase: Phase | None
    phase_source: PhaseSource | None
    age_band: AgeBand | None
    leads: bool
    handover: UUID | None
    sender: str | None
    dossier: DossierState
    dossier_reason: DossierReason | None
    opened_at: Instant | None
    closed_at: Instant | None
    allowed: list[str]
    local_number: str | None = None
    person_id: UUID | None = None
    person: PersonView | None = None
    needs: list[NeedView] | None = None
    target_groups: list[TargetGroup] | None = None
    contact_person: str | None = None
    pause_reason: PauseReason | None = None
    review_on: date | None = None
    destination: Destination | None = None
    duplicates: list[UUID] | None = None


class CaseLine(BaseModel):
    """A case in a list."""

    id: UUID
    local_number: str | None
    state: State
    phase: Phase | None
    contact_person: str | None
    given_names: str | None
    family_name: str | None


class CaseList(BaseModel):
    """Some cases, in the order of their ids; `next` continues where there are more."""

    cases: list[CaseLine]
    next: UUID | None


class ItemView(BaseModel):
    """One datum, with where it came from and on which basis."""

    id: UUID
    category: DataCategory
    part: Part
    content: JsonValue
    entrusted: bool
    special: bool
    professional_secret: bool
    entruster: Giver | None
    collected_from: CollectedFrom
    collection_basis: str | None
    hash: str
    recorded_at: Instant
    release: UUID | None
    source_item: UUID | None
    source_agency: str | None
    purpose: str | None
    bases: list[str] | None
    received_at: Instant | None


class ItemList(BaseModel):
    """All that is kept in a case."""

    items: list[ItemView]


class ContactView(BaseModel):
    """An attempt to reach the young person."""

    id: UUID
    at: Instant
    by: str
    channel: ContactChannel
    place: Place | None
    reached: bool


class ContactList(BaseModel):
    """All of them, the latest first."""

    contacts: list[ContactView]


class ReleaseView(BaseModel):
    """A dossier that came, and when it was erased."""

    id: UUID
    sender: str
    items: int
    stored_at: Instant
    erased_at: Instant | None


class DossierView(BaseModel):
    """How far the dossier has got, and what is left of it here."""

    state: DossierState
    reason: DossierReason | None
    releases: list[ReleaseView]
    received_items: int
    received_bytes: int


@routes.view("/cases/{case}", allow=STAFF_AND_COORDINATION)
async def read(call: Call, tx: AsyncConnection, case: UUID) -> CaseView | Refused:
    """One case. Coordination sees states and codes, and nobody's name."""
    found = await store.one(tx, case)
    if found is None:
        return Refused(Reason.UNKNOWN_CASE, unknown=case)
    return CaseView.model_validate(found if STAFF.admits(call.caller) else {name: found[name] for name in _NAMELESS})


_NAMELESS: Final = tuple(name for name, field in CaseView.model_fields.items() if field.is_required())


@routes.view("/cases", allow=STAFF)
async def find(
    call: Call,
    tx: AsyncConnection,
    *,
    local_number: LocalNumber | None = None,
    state: State | None = None,
    contact_person: Short | None = None,
    after: UUID | None = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 50,
) -> CaseList:
    """Cases of this agency, all or those that match."""
    wanted = {"local_number": local_number, "state": state, "contact_person": contact_person}
    rows = await store.find(tx, wanted, after=after, limit=limit + 1)
    lines = [CaseLine.model_validate(row) for row in rows[:limit]]
    return CaseList(cases=lines, next=lines[-1].id if len(rows) > limit else None)


@routes.view("/cases/{case}/items", allow=STAFF)
async def items(call: Call, tx: AsyncConnection, case: UUID) -> ItemList:
    """What is kept in a case, each datum with its provenance."""
    rows = await store.items_of(tx, case)
    return ItemList(items=[ItemView.model_validate(row | {"content": json.loads(row["content"])}) for row in rows])


@routes.view("/cases/{case}/contacts", allow=STAFF)
async def contacts(call: Call, tx: AsyncConnection, case: UUID) -> ContactList:
    """The attempts to reach the young person."""
    return ContactList(contacts=[ContactView.model_validate(row) for row in await store.contacts_of(tx, case)])


@routes.view("/cases/{case}/dossier", allow=STAFF_AND_COORDINATION)
async def dossier(call: Call, tx: AsyncConnection, case: UUID) -> DossierView | Refused:
    """How the dossier of the handover stands: fetched, refused, erased."""
    found = await store.dossier_of(tx, case)
    return Refused(Reason.UNKNOWN_CASE, unknown=case) if found is None else DossierView.model_validate(found)


# --- for own consent --------------------------------------------------------------------------------------------------


class AskedItems(Body):
    """Which items are asked for; unknown ones are absent from the answer."""

    items: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=ITEMS_MAX)]
    handover: UUID | None = None  # not looked at: what is known of an item is the same under every handover


@routes.stream("POST", "/internal/items/flags", allow=OWN_CONSENT, body=AskedItems)
async def flags(call: Call, resources: Tools, body: AskedItems) -> StreamingAnswer:
    """What the law asks of these items at this instant."""
    async with resources.engine.connect() as tx:
        return _whole(await store.flags_of(tx, body.items))


@routes.stream("POST", "/internal/items/content", allow=OWN_CONSENT, body=AskedItems)
async def content(call: Call, resources: Tools, body: AskedItems) -> StreamingAnswer:
    """The same with what they say and where they came from; for a release that is being opened."""
    async with resources.engine.connect() as tx:
        return _whole(await store.contents_of(tx, body.items))


def _whole(rows: Iterable[dict[str, JsonValue]]) -> StreamingAnswer:
    """Answered in one piece and never stored, like everything that says something about somebody."""
    body = json.dumps(list(rows), ensure_ascii=False).encode()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    async def closed(whole: bool) -> None:  # noqa: FBT001  # the chassis says whether every byte has left
        """Nothing has to be written down: own consent keeps the ledger."""

    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return StreamingAnswer(pieces(), time.monotonic() + INTERNAL_SECONDS_MAX, closed, headers=headers)
