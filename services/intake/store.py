"""What the intake service remembers, and how whole cases are loaded and saved."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import insert, upsert
from chassis.executor import Kind
from contracts.codes import AgeBand, CompetenceArea, Destination, Need, PauseReason, Phase, Sphere, TargetGroup
from services.intake.domain import law, words
from services.intake.domain.case import (
    Case,
    DossierReason,
    DossierState,
    HeldItem,
    PhaseSource,
    RecordedNeed,
    State,
    Writes,
)
from services.intake.domain.commands import EndDossier, EraseReleases, Register, StoreDossier
from services.intake.domain.items import Item, Part, may_leave
from services.intake.domain.persons import Address, Person, name_key
from services.intake.domain.phases import SchoolFacts, Training
from services.intake.domain.words import Words, WordsState

CASE: Final = "case"
WORDS: Final = "words"
DUPLICATES_MAX: Final = 20  # more of the same name and day are a mistake of another kind
CONTACTS_MAX: Final = 500  # the latest; older ones stay in the database
Found = Mapping[UUID, tuple[Any, ...]]

# --- tables -----------------------------------------------------------------------------------------------------------

metadata = sa.MetaData()
_instant = sa.DateTime(timezone=True)

cases = sa.Table(
    "case",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("sphere", sa.Text),
    sa.Column("person", sa.Uuid, unique=True),
    sa.Column("local_number", sa.Text, unique=True),
    sa.Column("handover", sa.Uuid),
    sa.Column("sender", sa.Text),
    sa.Column("alliance", sa.Text),
    sa.Column("leads", sa.Boolean, nullable=False),
    sa.Column("phase", sa.SmallInteger),
    sa.Column("phase_source", sa.Text),
    sa.Column("school", JSONB(none_as_null=True)),
    sa.Column("age_band", sa.Text),
    sa.Column("no_needs", sa.Boolean, nullable=False),
    sa.Column("target_groups", ARRAY(sa.Text), nullable=False),
    sa.Column("contact_person", sa.Text),
    sa.Column("pause_reason", sa.Text),
    sa.Column("review_on", sa.Date),
    sa.Column("competence_area", sa.Text),
    sa.Column("destination", sa.Text),
    sa.Column("reopen_reason", sa.Text),
    sa.Column("opened_at", _instant),
    sa.Column("closed_at", _instant),
    sa.Column("dossier", sa.Text, nullable=False),
    sa.Column("dossier_reason", sa.Text),
    sa.Column("has_own", sa.Boolean, nullable=False),
    sa.Index("case_contact_person", "contact_person", "id"),
)

persons = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("given_names", sa.Text, nullable=False),
    sa.Column("family_name", sa.Text, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False),  # for the warning of duplicates
    sa.Column("birth_date", sa.Date, nullable=False),
    sa.Column("gender", sa.Text),
    sa.Column("street", sa.Text),
    sa.Column("postcode", sa.Text),
    sa.Column("place", sa.Text),
    sa.Column("address_protected", sa.Boolean, nullable=False),  # § 51 BMG
    sa.Column("phone", sa.Text),
    sa.Column("mail", sa.Text),
    sa.Column("contact_preference", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("interpreter_needed", sa.Boolean, nullable=False),
    sa.Column("release", sa.Uuid),  # set where all of it came with a dossier
    sa.Index("person_duplicates", "birth_date", "name_key"),
)

needs = sa.Table(
    "need",
    metadata,
    sa.Column("case", sa.Uuid, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("entrusted", sa.Boolean, nullable=False),
    sa.Column("received", sa.Boolean, nullable=False),
    sa.Column("recorded_at", _instant, nullable=False),
)

items = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case", sa.Uuid),
    sa.Column("handover", sa.Uuid),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("part", sa.Text, nullable=False),
    sa.Column("entrusted", sa.Boolean, nullable=False),
    sa.Column("special", sa.Boolean, nullable=False),
    sa.Column("professional_secret", sa.Boolean, nullable=False),
    sa.Column("entruster", sa.Text),
    sa.Column("collected_from", sa.Text, nullable=False),
    sa.Column("collection_basis", sa.Text),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("hash_key", sa.LargeBinary),
    sa.Column("recorded_at", _instant, nullable=False),
    sa.Column("release", sa.Uuid),
    sa.Column("source_item", sa.Uuid),
    sa.Column("source_agency", sa.Text),
    sa.Column("purpose", sa.Text),
    sa.Column("bases", ARRAY(sa.Text)),
    sa.Column("received_at", _instant),
    sa.CheckConstraint('"case" IS NOT NULL OR handover IS NOT NULL', name="item_belongs"),
    sa.Index("item_case", "case"),
    sa.Index("item_handover", "handover"),
)

contacts = sa.Table(
    "contact",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case", sa.Uuid, nullable=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("place", sa.Text),
    sa.Column("reached", sa.Boolean, nullable=False),
    sa.Index("contact_case", "case", "at"),
)

phase_changes = sa.Table(
    "phase_change",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("case", sa.Uuid, nullable=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("phase", sa.SmallInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Index("phase_change_case", "case", "id"),
)

releases = sa.Table(
    "received_release",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case", sa.Uuid, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("stored_at", _instant, nullable=False),
    sa.Column("erased_at", _instant),
    sa.Index("received_release_case", "case"),
)

words_written = sa.Table(
    "words",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("written", sa.Integer, nullable=False),
)

# --- loading ----------------------------------------------------------------------------------------------------------

_CASE = (
    sa.select(
        cases,
        persons.c.birth_date,
        persons.c.release.label("person_release"),
        persons.c.street.is_not(None).label("has_address"),
    )
    .select_from(cases.outerjoin(persons, persons.c.id == cases.c.person))
    .order_by(cases.c.id)
    .with_for_update(of=cases)
)


async def load(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Case]:
    """The cases with what the waiting commands may ask about; one nobody has heard of comes blank."""
    rows = {row.id: row for row in await tx.execute(_CASE.where(cases.c.id.in_(wanted)))}
    open_needs = await _grouped(tx, needs, rows) if rows else {}
    asking = [case for case in rows if _any_of(wanted[case], EndDossier, EraseReleases, StoreDossier)]
    held = await _grouped(tx, items, asking, items.c.release.is_not(None)) if asking else {}
    doubled = await _duplicates(tx, wanted)
    return {
        case: _case(case, rows.get(case), open_needs.get(case, ()), held.get(case, ()), duplicates=case in doubled)
        for case in wanted
    }


def _any_of(commands: Iterable[object], *kinds: type[object]) -> bool:
    return any(isinstance(command, kinds) for command in commands)


async def _grouped(
    tx: AsyncConnection, table: sa.Table, of: Iterable[UUID], *conditions: sa.ColumnElement[bool]
) -> Found:
    """Rows of a table by the case they belong to, in the order of their keys."""
    statement = sa.select(table).where(table.c.case.in_(list(of)), *conditions).order_by(*table.primary_key)
    found: dict[UUID, tuple[Any, ...]] = {}
    for row in await tx.execute(statement):
        found[row.case] = (*found.get(row.case, ()), row)
    return found


async def _duplicates(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> frozenset[UUID]:
    """Cases whose new person has the name and birth date of somebody known, or of somebody else in the same batch."""
    new: dict[UUID, tuple[Any, str]] = {}
    for case, commands in wanted.items():
        for command in commands:
            if isinstance(command, Register | StoreDossier) and command.person is not None:
                person = command.person
                new[case] = (person.birth_date, name_key(person.given_names, person.family_name))
    if not new:
        return frozenset()
    key = sa.tuple_(persons.c.birth_date, persons.c.name_key)
    known = sa.select(persons.c.birth_date, persons.c.name_key, cases.c.id).where(
        key.in_(set(new.values())), cases.c.person == persons.c.id
    )
    holders: dict[tuple[Any, str], set[UUID]] = defaultdict(set)
    for row in await tx.execute(known):
        holders[row.birth_date, row.name_key].add(row.id)
    together = Counter(new.values())
    return frozenset(case for case, key in new.items() if holders[key] - {case} or together[key] > 1)


def _case(
    case: UUID, row: Any, open_needs: tuple[Any, ...], held: tuple[Any, ...], *, duplicates: bool
) -> Case:
    if row is None:
        return Case(case, duplicates=duplicates)
    return Case(
        id=row.id,
        version=row.version,
        state=State(row.state),
        sphere=row.sphere and Sphere(row.sphere),
        person=row.person,
        birth_date=row.birth_date,
        person_release=row.person_release,
        has_address=bool(row.has_address),
        local_number=row.local_number,
        handover=row.handover,
        sender=row.sender,
        alliance=row.alliance,
        leads=row.leads,
        phase=row.phase and Phase(row.phase),
        phase_source=row.phase_source and PhaseSource(row.phase_source),
        school=row.school and _school(row.school),
        age_band=row.age_band and AgeBand(row.age_band),
        needs=tuple(_need(need) for need in open_needs),
        no_needs=row.no_needs,
        target_groups=frozenset(map(TargetGroup, row.target_groups)),
        contact_person=row.contact_person,
        pause_reason=row.pause_reason and PauseReason(row.pause_reason),
        review_on=row.review_on,
        competence_area=row.competence_area and CompetenceArea(row.competence_area),
        destination=row.destination and Destination(row.destination),
        reopen_reason=row.reopen_reason,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        dossier=DossierState(row.dossier),
        dossier_reason=row.dossier_reason and DossierReason(row.dossier_reason),
        has_own=row.has_own,
        held=tuple(HeldItem(item.id, item.source_item, item.release) for item in held),
        duplicates=duplicates,
    )


def _school(kept: Mapping[str, Any]) -> SchoolFacts:
    return SchoolFacts(kept["grade"], kept["final_year"], kept["left_school"], Training(kept["training"]))


def _need(row: Any) -> RecordedNeed:
    return RecordedNeed(Need(row.code), row.severity, row.entrusted, row.recorded_at, row.received)


async def load_words(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Words]:
    """How much was written under these references; the row is made first, because only a row can be locked."""
    blank = [{"id": reference, "version": 0, "written": 0} for reference in wanted]
    await tx.execute(pg_insert(words_written).on_conflict_do_nothing(), blank)
    statement = (
        sa.select(words_written)
        .where(words_written.c.id.in_(wanted))
        .order_by(words_written.c.id)
        .with_for_update()
    )
    known = {row.id: _words(row) for row in await tx.execute(statement)}
    return {reference: known.get(reference, Words(reference)) for reference in wanted}


def _words(row: Any) -> Words:
    return Words(row.id, row.version, WordsState.WRITTEN if row.written else WordsState.NONE, row.written)


# --- saving -----------------------------------------------------------------------------------------------------------


async def save(tx: AsyncConnection, changed: Sequence[tuple[Case, Case]]) -> None:
    """Write all changed cases with everything their decisions added or erased; one statement for each sort of thing."""
    writes = [(after, after.writes) for _, after in changed]
    await _erase(tx, persons, [case.person for case, write in writes if write.erase_person])
    await upsert(tx, persons, [_person_row(write.person) for _, write in writes if write.person is not None])
    await upsert(tx, cases, [_case_row(after) for _, after in changed])
    await _save_needs(tx, changed)
    await insert(tx, items, [_item_row(item, case.id) for case, write in writes for item in write.items])
    await _erase(tx, items, [item for _, write in writes for item in write.erase_items])
    await insert(tx, contacts, [{"case": case.id, **asdict(one)} for case, write in writes for one in write.contacts])
    await insert(
        tx, phase_changes, [{"case": case.id, **asdict(one)} for case, write in writes for one in write.phase_changes]
    )
    await insert(tx, releases, [{"case": case.id, **asdict(one)} for case, write in writes for one in write.releases])
    for case, write in writes:
        await _save_rarely(tx, case, write)


async def _save_rarely(tx: AsyncConnection, case: Case, write: Writes) -> None:
    """What no flood of commands brings: one statement per case is fine."""
    if write.erased_releases:
        ended = sa.update(releases).where(releases.c.id.in_(write.erased_releases), releases.c.case == case.id)
        await tx.execute(ended.values(erased_at=write.erased_at))
    if write.protect_address is not None:
        protect = sa.update(persons).where(persons.c.id == case.person)
        await tx.execute(protect.values(address_protected=write.protect_address))


async def _erase(tx: AsyncConnection, table: sa.Table, ids: Sequence[UUID | None]) -> None:
    if ids:
        await tx.execute(sa.delete(table).where(table.c.id.in_(sorted(id for id in ids if id is not None))))


async def _save_needs(tx: AsyncConnection, changed: Sequence[tuple[Case, Case]]) -> None:
    gone = [
        (after.id, need.code)
        for before, after in changed
        for need in before.needs
        if need.code not in {kept.code for kept in after.needs}
    ]
    if gone:
        await tx.execute(sa.delete(needs).where(sa.tuple_(needs.c.case, needs.c.code).in_(gone)))
    new = [
        {"case": after.id, **asdict(need)}
        for before, after in changed
        for need in after.needs
        if need not in before.needs
    ]
    await upsert(tx, needs, new)


def _case_row(case: Case) -> dict[str, Any]:
    school = None if case.school is None else asdict(case.school)
    beside = {"target_groups": sorted(case.target_groups), "school": school}
    return {column.name: getattr(case, column.name) for column in cases.c if column.name not in beside} | beside


def _person_row(person: Person) -> dict[str, Any]:
    address = person.address
    return {
        "id": person.id,
        "given_names": person.given_names,
        "family_name": person.family_name,
        "name_key": name_key(person.given_names, person.family_name),
        "birth_date": person.birth_date,
        "gender": person.gender,
        "street": address and address.street,
        "postcode": address and address.postcode,
        "place": address and address.place,
        "address_protected": address is not None and address.protected,
        "phone": person.phone,
        "mail": person.mail,
        "contact_preference": person.contact_preference,
        "language": person.language,
        "interpreter_needed": person.interpreter_needed,
        "release": person.release,
    }


def _item_row(item: Item, case: UUID | None) -> dict[str, Any]:
    came = item.provenance
    return {
        "id": item.id,
        "case": case or item.case,
        "handover": item.handover,
        "category": item.category,
        "part": item.part,
        "entrusted": item.entrusted,
        "special": item.special,
        "professional_secret": item.professional_secret,
        "entruster": item.entruster,
        "collected_from": item.collected_from,
        "collection_basis": item.collection_basis,
        "content": item.content,
        "hash": item.hash,
        "hash_key": item.hash_key,
        "recorded_at": item.recorded_at,
        "release": came and came.release,
        "source_item": came and came.source_item,
        "source_agency": came and came.agency,
        "purpose": came and came.purpose,
        "bases": came and list(came.bases),
        "received_at": came and came.received_at,
    }


async def save_words(tx: AsyncConnection, changed: Sequence[tuple[Words, Words]]) -> None:
    """Count the words and keep them."""
    rows = [{"id": after.id, "version": after.version, "written": after.count} for _, after in changed]
    await upsert(tx, words_written, rows)
    await insert(tx, items, [_item_row(item, None) for _, after in changed for item in after.written])


# --- answering --------------------------------------------------------------------------------------------------------


def answer(case: Case) -> Mapping[str, JsonValue]:
    """What a command's caller gets: ids, codes, numbers; names are only ever the answer to a GET."""
    return {
        "id": str(case.id),
        "state": case.state,
        "version": case.version,
        "allowed": list(law.possible(case.state)),
        "person": None if case.person is None else str(case.person),
        "local_number": case.local_number,
        "warnings": [str(warned) for warned in sorted(case.warned)],
    }


def answer_words(written: Words) -> Mapping[str, JsonValue]:
    """What an event that names the words needs: the last item's id, its size and its hash."""
    last = written.written[-1]
    return {
        "id": str(written.id),
        "state": written.state,
        "version": written.version,
        "allowed": list(words.WORDS.allowed(written.state)),
        "item": str(last.id),
        "bytes": len(last.content.encode()),
        "hash": last.hash,
    }


CASES: Final = Kind(CASE, load=load, save=save, decide=law.decide, answer=answer, reserves=law.reserves)
WRITTEN: Final = Kind(WORDS, load=load_words, save=save_words, decide=words.decide, answer=answer_words)


# --- looking ----------------------------------------------------------------------------------------------------------

Row = dict[str, Any]
_LIST = sa.select(
    cases.c.id,
    cases.c.local_number,
    cases.c.state,
    cases.c.phase,
    cases.c.contact_person,
    persons.c.given_names,
    persons.c.family_name,
).select_from(cases.outerjoin(persons, persons.c.id == cases.c.person))


async def one(tx: AsyncConnection, case: UUID) -> Row | None:
    """A whole case as it is shown, with its person, its open needs, and cases that may be of the same person."""
    row = (await tx.execute(sa.select(cases).where(cases.c.id == case))).mappings().first()
    if row is None:
        return None
    person = (await tx.execute(sa.select(persons).where(persons.c.id == row["person"]))).mappings().first()
    open_needs = await tx.execute(sa.select(needs).where(needs.c.case == case).order_by(needs.c.code))
    return {
        **row,
        "person_id": row["person"],
        "person": None if person is None else dict(person),
        "needs": [dict(need) for need in open_needs.mappings()],
        "allowed": list(law.possible(State(row["state"]))),
        "duplicates": [] if person is None else await _same_person(tx, case, person),
    }


async def _same_person(tx: AsyncConnection, case: UUID, person: sa.RowMapping) -> list[UUID]:
    statement = (
        sa.select(cases.c.id)
        .join(persons, persons.c.id == cases.c.person)
        .where(persons.c.birth_date == person["birth_date"], persons.c.name_key == person["name_key"])
        .where(cases.c.id != case)
        .order_by(cases.c.id)
        .limit(DUPLICATES_MAX)
    )
    return list((await tx.execute(statement)).scalars())


async def find(
    tx: AsyncConnection, wanted: Mapping[str, str | None], *, after: UUID | None, limit: int
) -> list[Row]:
    """Cases in which every column named has the value given (None: any), in the order of their ids, after that one."""
    conditions = [cases.c[name] == value for name, value in wanted.items() if value is not None]
    if after is not None:
        conditions.append(cases.c.id > after)
    rows = await tx.execute(_LIST.where(*conditions).order_by(cases.c.id).limit(limit))
    return [dict(row) for row in rows.mappings()]


async def items_of(tx: AsyncConnection, case: UUID) -> list[Row]:
    """Everything kept in a case."""
    rows = await tx.execute(sa.select(items).where(items.c.case == case).order_by(items.c.id))
    return [dict(row) for row in rows.mappings()]


async def contacts_of(tx: AsyncConnection, case: UUID) -> list[Row]:
    """The attempts to reach the young person, the latest first."""
    statement = sa.select(contacts).where(contacts.c.case == case).order_by(contacts.c.at.desc()).limit(CONTACTS_MAX)
    return [dict(row) for row in (await tx.execute(statement)).mappings()]


async def dossier_of(tx: AsyncConnection, case: UUID) -> Row | None:
    """State of the fetching, the releases that came, and how much of them is still here."""
    row = (await tx.execute(sa.select(cases.c.dossier, cases.c.dossier_reason).where(cases.c.id == case))).first()
    if row is None:
        return None
    came = await tx.execute(sa.select(releases).where(releases.c.case == case).order_by(releases.c.stored_at))
    kept = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.func.octet_length(items.c.content)), 0))
    count, size = (await tx.execute(kept.where(items.c.case == case, items.c.release.is_not(None)))).one()
    return {
        "state": row.dossier,
        "reason": row.dossier_reason,
        "releases": [dict(release) for release in came.mappings()],
        "received_items": count,
        "received_bytes": size,
    }


async def flags_of(tx: AsyncConnection, wanted: Sequence[UUID]) -> list[dict[str, JsonValue]]:
    """What the law asks of these items; those that may not leave at all are absent, like unknown ones."""
    return [_flags(row) for row in await _leaving(tx, wanted)]


async def contents_of(tx: AsyncConnection, wanted: Sequence[UUID]) -> list[dict[str, JsonValue]]:
    """The same, with what they say, where it was collected, and the release it once came by."""
    return [
        _flags(row)
        | {
            "content": row.content,
            "collected_from": ":".join(filter(None, (row.collected_from, row.collection_basis))),
            "received_by": None if row.release is None else str(row.release),
        }
        for row in await _leaving(tx, wanted)
    ]


def _flags(row: Any) -> dict[str, JsonValue]:
    return {
        "id": str(row.id),
        "category": row.category,
        "entrusted": row.entrusted,
        "special": row.special,
        "professional_secret": row.professional_secret,
        "entruster": row.entruster,
        "hash": row.hash,
    }


async def _leaving(tx: AsyncConnection, wanted: Sequence[UUID]) -> list[Any]:
    """These items, without those that would carry a protected address; words without a case look at the handover's."""
    of_case = cases.c.id == sa.func.coalesce(items.c.case, items.c.handover)
    statement = (
        sa.select(items, persons.c.street, persons.c.postcode, persons.c.place, persons.c.address_protected)
        .select_from(items.outerjoin(cases, of_case).outerjoin(persons, persons.c.id == cases.c.person))
        .where(items.c.id.in_(wanted))
        .order_by(items.c.id)
    )
    return [row for row in await tx.execute(statement) if may_leave(Part(row.part), row.content, _address(row))]


def _address(row: Any) -> Address | None:
    return row.street and Address(row.street, row.postcode, row.place, bool(row.address_protected))
