"""How cases and words are saved, with everything a decision added or erased."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.crashpoints import reached
from chassis.database import among, insert, upsert
from services.intake.domain.case import Case, Writes
from services.intake.domain.information import GuardianInformation
from services.intake.domain.items import Item, Part
from services.intake.domain.persons import Person, name_key
from services.intake.domain.words import Words
from services.intake.store.tables import cases, contacts, items, needs, persons, phase_changes, releases, words_written

GUARDIAN = tuple(field.name for field in fields(GuardianInformation))
# What a person's row is where such a part of it has to go.
EMPTY: Mapping[Part, Mapping[str, Any]] = {
    Part.ADDRESS: {"street": None, "postcode": None, "place": None},  # protected stays protected (§ 51 BMG)
    Part.CONTACT: {
        "phone": None, "mail": None, "contact_preference": None, "language": None, "interpreter_needed": False,
    },
}


async def save(tx: AsyncConnection, changed: Sequence[tuple[Case, Case]]) -> None:
    """Write all changed cases with everything their decisions added or erased; one statement for each sort of thing."""
    writes = [(after, after.writes) for _, after in changed]
    await _erase(tx, persons, [case.person for case, write in writes if write.erase_person])
    await upsert(tx, persons, [_person_row(write.person) for _, write in writes if write.person is not None])
    await upsert(tx, cases, [_case_row(after) for _, after in changed])
    await _save_needs(tx, changed)
    await insert(tx, items, [_item_row(item, case.id) for case, write in writes for item in write.items])
    erased = [item for _, write in writes for item in write.erase_items]
    await _erase(tx, items, erased)
    if erased:
        reached("erase.after_delete")
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
        known = pg_insert(releases)
        mark = known.on_conflict_do_update(set_={"erased_at": known.excluded.erased_at}, index_elements=["case", "id"])
        erased = {"case": case.id, "sender": case.sender or "", "items": 0, "erased_at": write.erased_at}
        await tx.execute(mark, [{"id": release, **erased} for release in sorted(write.erased_releases)])
    if write.erase_parts:
        emptied = {name: empty for part in write.erase_parts for name, empty in EMPTY[part].items()}
        await tx.execute(sa.update(persons).where(persons.c.id == case.person).values(emptied))
    for information in write.information:
        settled = {f"information_{name}": value for name, value in asdict(information).items() if name != "releases"}
        of = sa.update(releases).where(releases.c.case == case.id, among(releases.c.id, information.releases))
        await tx.execute(of.values(settled))
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
    guardian = dict.fromkeys(GUARDIAN) if case.guardian is None else asdict(case.guardian)
    beside = {"target_groups": sorted(case.target_groups), "school": school}
    beside |= {f"guardian_{name}": value for name, value in guardian.items()}
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
