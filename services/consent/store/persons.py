"""Persons and notices, loaded and saved whole."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import TEXTS, Statement, among, among_ids, as_rows, insert, rows_of, upsert
from chassis.executor import Kind
from chassis.transitions import Table
from contracts.codes import AgeBand
from contracts.ids import NoticeId, PersonId
from contracts.new_ids import new_id
from services.consent.domain import (
    CONSENTS,
    DUTIES,
    PERSONS,
    RECEPTIONS,
    RELEASES,
    RESTRICTIONS,
    TRANSMISSIONS,
    WAIVERS,
    Law,
)
from services.consent.domain import NOTICES as NOTICE_TABLE
from services.consent.domain.commands import (
    AnswerErased,
    AnswerRetained,
    GiveConsent,
    HearAnswer,
    HearErased,
    InvalidateConsent,
    LookAgain,
    NoteHandover,
    OweAnswer,
    RequestConsent,
    TellRelease,
    WithdrawClearance,
    WithdrawConsent,
    WithdrawGrants,
    WithdrawWaiver,
)
from services.consent.domain.duties import NOTHING_LEFT
from services.consent.domain.words import (
    Consent,
    Decision,
    Disclosed,
    Duty,
    Found,
    Notice,
    Person,
    PersonState,
    Reception,
    Release,
    Restriction,
    Transmission,
    Waiver,
)
from services.consent.store.rows import (
    bases_kept,
    consent_of,
    consent_row,
    disclosed_of,
    duty_of,
    duty_row,
    found_lines,
    found_row,
    grant_row,
    notice_of,
    or_none,
    reception_of,
    reception_row,
    release_of,
    restriction_of,
    restriction_row,
    stated_rows,
    transmission_of,
    transmission_row,
    waiver_of,
    waiver_row,
)
from services.consent.store.tables import (
    consent,
    consent_grant,
    decision,
    decision_item,
    duty,
    ledger,
    notice,
    person,
    reception,
    release,
    restriction,
    statutory_basis,
    transmission,
    waiver,
    withdrawal_intent,
)

PERSON = "person"  # the kinds of subjects of this service
NOTICE = "notice"

# --- notices ----------------------------------------------------------------------------------------------------------


async def load_notices(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Notice]:
    """The notices of these ids, locked; one that does not exist yet is blank."""
    query = sa.select(notice).where(among(notice.c.id, wanted)).order_by(notice.c.id).with_for_update()
    found = {row.id: notice_of(row) for row in await tx.execute(query)}
    return {each: found.get(each) or Notice(NoticeId(each)) for each in wanted}


async def save_notices(tx: AsyncConnection, changed: Sequence[tuple[Notice, Notice]]) -> None:
    """Write the notices that are new."""
    columns = notice.c.keys()
    await upsert(tx, notice, [{name: getattr(after, name) for name in columns} for _, after in changed])


# --- persons: load ----------------------------------------------------------------------------------------------------

ABOUT_NOTICES = (RequestConsent, GiveConsent)
ABOUT_LEDGER = (
    WithdrawConsent, WithdrawGrants, InvalidateConsent, OweAnswer, HearAnswer, AnswerRetained, AnswerErased, HearErased,
    LookAgain, WithdrawClearance,
)


def about_ledger(command: object) -> bool:
    """Whether who has received what matters to it; of a handover's moves only to those that leave nothing there."""
    if isinstance(command, NoteHandover):
        return not NOTHING_LEFT.isdisjoint({command.handover_state, command.recorded})
    return isinstance(command, ABOUT_LEDGER)


async def load_persons(tx: AsyncConnection, wanted: Mapping[UUID, Sequence[object]]) -> Mapping[UUID, Person]:
    """The persons of these ids with all their parts, locked; what commands do not ask about stays unloaded."""
    ids = sorted(wanted)
    rows = await _locked(tx, ids)
    known = {row.id for row in rows}
    parts = await _parts(tx, sorted(known)) if known else {}
    blank = {each: Person(PersonId(each)) for each in ids if each not in known}
    persons = blank | {row.id: _person(row, parts[row.id]) for row in rows}
    return await _with_asked(tx, persons, wanted)


async def _locked(tx: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Any]:
    """Lock in key order; an id without a row yet is locked by name, so that two cannot create it side by side."""
    rows = await _LOCKED(tx, {"ids": ids})
    missing = sorted(set(ids) - {row.id for row in rows})
    if not missing:
        return rows
    await _LOCK_BY_NAME(tx, {"ids": [str(each) for each in missing]})
    return await _LOCKED(tx, {"ids": ids})


_LOCKED = Statement(sa.select(person).where(among_ids(person.c.id)).order_by(person.c.id).with_for_update())
_LOCK_BY_NAME = Statement(
    "SELECT pg_advisory_xact_lock(hashtextextended(id, 0)) FROM (SELECT unnest(:ids) AS id ORDER BY 1) AS names",
    ids=TEXTS,
)

PARTS = (consent, consent_grant, transmission, statutory_basis, restriction, duty, reception)
_OF_PERSONS = rows_of(PARTS, "person")


async def person_at_the_door(tx: AsyncConnection, of: UUID) -> Person:
    """What a decision at the door looks at, read under the lock on the person's row that the caller holds."""
    row = (await tx.execute(sa.select(person).where(person.c.id == of))).one()
    return await _with_what_decides(tx, row)


async def decided_on(tx: AsyncConnection, of: UUID) -> tuple[Person, datetime] | None:
    """The same for a question that decides nothing, with the database's time; None where nobody of that id is known."""
    row = (await tx.execute(sa.select(person, sa.func.clock_timestamp().label("now")).where(person.c.id == of))).first()
    if row is None:
        return None
    return await _with_what_decides(tx, row), row.now


async def with_what_left(tx: AsyncConnection, of: UUID) -> Person:
    """The person with the whole ledger, for a look: nothing is locked."""
    row = (await tx.execute(sa.select(person).where(person.c.id == of))).one()
    lines = await _ledgers(tx, [of])
    return replace(await _with_what_decides(tx, row), ledger=tuple(lines.get(of, ())))


async def _with_what_decides(tx: AsyncConnection, row: Any) -> Person:
    """The person of this row."""
    return _person(row, (await _parts(tx, [row.id]))[row.id])


async def _parts(tx: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Sequence[Any]]]:
    """By person and table: its rows, in the order of their ids. Read when the persons are locked, and not before."""
    return {
        found.id: {table.name: as_rows(table, getattr(found, table.name)) for table in PARTS}
        for found in await _OF_PERSONS(tx, {"ids": ids})
    }


def _person(row: Any, parts: Mapping[str, Sequence[Any]]) -> Person:
    def mine(table: sa.Table) -> Sequence[Any]:
        return parts[table.name]

    stated = mine(statutory_basis)
    return Person(
        PersonId(row.id), row.version, PersonState(row.state), or_none(AgeBand, row.age_band), bool(row.insight_noted),
        consents=tuple(consent_of(each, mine(consent_grant)) for each in mine(consent)),
        transmissions=tuple(transmission_of(each, stated) for each in mine(transmission)),
        receptions=tuple(reception_of(each) for each in mine(reception)),
        duties=tuple(duty_of(each) for each in mine(duty)),
        restrictions=tuple(restriction_of(each) for each in mine(restriction)),
    )


async def _with_asked(
    tx: AsyncConnection, loaded: Mapping[UUID, Person], wanted: Mapping[UUID, Sequence[object]]
) -> Mapping[UUID, Person]:
    """Notices, releases, ledgers and waivers of those whose commands ask about them, each in one query."""
    named = {
        each: [command.sheet.notice for command in commands if isinstance(command, ABOUT_NOTICES)]
        for each, commands in wanted.items()
    }
    closing = [command.release for command in chain(*wanted.values()) if isinstance(command, TellRelease)]
    ending = [each for each, commands in wanted.items() if any(map(about_ledger, commands))]
    bound = [command.waiver for command in chain(*wanted.values()) if isinstance(command, WithdrawWaiver)]
    notices = await _notices_named(tx, set(chain(*named.values())))
    releases, ledgers = await _releases_named(tx, closing), await _ledgers(tx, ending)
    waivers = await _waivers_named(tx, bound)
    return {
        each: replace(
            of,
            notices=tuple(notices[notice] for notice in sorted(set(named[each])) if notice in notices),
            releases=tuple(releases.get(each, ())),
            ledger=tuple(ledgers.get(each, ())),
            waivers=tuple(waivers.get(each, ())),
        )
        for each, of in loaded.items()
    }


async def _notices_named(tx: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, Notice]:
    if not ids:
        return {}
    later = notice.alias()
    superseded = sa.exists().where(
        later.c.language == notice.c.language, later.c.plain_language == notice.c.plain_language,
        later.c.valid_from > notice.c.valid_from, later.c.valid_from <= sa.func.clock_timestamp(),
    )
    query = sa.select(notice, superseded.label("superseded")).where(among(notice.c.id, ids))
    return {row.id: notice_of(row) for row in await tx.execute(query)}


async def _releases_named(tx: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Release]]:
    """By person: a release under another person's name is nobody's."""
    found: dict[UUID, list[Release]] = defaultdict(list)
    if ids:
        query = sa.select(release).where(among(release.c.id, ids)).order_by(release.c.id)
        for row in await tx.execute(query):
            found[row.person].append(release_of(row))
    return found


async def _waivers_named(tx: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Waiver]]:
    """By person: one under another person's name is nobody's."""
    found: dict[UUID, list[Waiver]] = defaultdict(list)
    if ids:
        for row in await tx.execute(sa.select(waiver).where(among(waiver.c.id, ids)).order_by(waiver.c.id)):
            found[row.person].append(waiver_of(row))
    return found


async def _ledgers(tx: AsyncConnection, of: Collection[UUID]) -> Mapping[UUID, Sequence[Disclosed]]:
    found: dict[UUID, list[Disclosed]] = defaultdict(list)
    if of:
        query = (
            sa.select(ledger.c.item, ledger.c.bases, ledger.c.received_by, ledger.c.source_item, release)
            .join(release, release.c.id == ledger.c.release)
            .where(among(ledger.c.person, of))
            .order_by(ledger.c.release, ledger.c.item)
        )
        for row in await tx.execute(query):
            found[row.person].append(disclosed_of(row))
    return found


# --- persons: save ----------------------------------------------------------------------------------------------------


async def save_persons(tx: AsyncConnection, changed: Sequence[tuple[Person, Person]]) -> None:
    """Write what is different, each table once; decisions are only ever added."""
    afters = [after for _, after in changed]
    await upsert(tx, person, [
        {
            "id": a.id, "version": a.version, "state": a.state, "age_band": a.age_band,
            "insight_noted": a.insight_noted,
        }
        for a in afters
    ])
    consents = _changed(changed, "consents")
    await upsert(tx, consent, [consent_row(of, each) for of, _, each in consents])
    await upsert(tx, consent_grant, [grant_row(of, each, g) for of, _, each in consents for g in each.grants])
    await _cross_out(tx, consents)
    if any(older is not None for _, older, _ in consents):
        await forget_intents(tx, [each.id for _, _, each in consents])
    transmissions = _changed(changed, "transmissions")
    await upsert(tx, transmission, [transmission_row(of, each) for of, _, each in transmissions])
    await insert(tx, statutory_basis, [row for each in transmissions for row in stated_rows(*each)])
    await upsert(tx, reception, [reception_row(of, each) for of, _, each in _changed(changed, "receptions")])
    await upsert(tx, duty, [duty_row(of, each) for of, _, each in _changed(changed, "duties")])
    restricted = _changed(changed, "restrictions")
    await upsert(tx, restriction, [restriction_row(of, each) for of, _, each in restricted])
    await upsert(tx, waiver, [waiver_row(of, each) for of, _, each in _changed(changed, "waivers")])
    await _tell_releases(tx, [each.id for _, _, each in _changed(changed, "releases")])
    await add_decisions(tx, [(after.id, None, each) for after in afters for each in after.decisions])
    await _find_again(tx, [(after.id, each) for after in afters for each in after.found_again])


async def _find_again(tx: AsyncConnection, releases: Sequence[tuple[UUID, Found]]) -> None:
    """Releases known from their facts; one that this database has opened is closed and told by its fact."""
    if not releases:
        return
    rows = pg_insert(release)
    known = {"told": True, "completeness": rows.excluded.completeness,
             "closed_at": sa.func.coalesce(release.c.closed_at, rows.excluded.closed_at)}
    await tx.execute(rows.on_conflict_do_update(index_elements=["id"], set_=known), [
        found_row(of, each) for of, each in releases
    ])
    lines = [line for of, each in releases for line in found_lines(of, each)]
    if lines:
        await tx.execute(pg_insert(ledger).on_conflict_do_nothing(), lines)


def _changed(changed: Sequence[tuple[Person, Person]], name: str) -> list[tuple[UUID, Any, Any]]:
    """(person, older self or None, part) of every part that is new or different."""
    found: list[tuple[UUID, Any, Any]] = []
    for before, after in changed:
        older = {part.id: part for part in getattr(before, name)}
        found += [(after.id, older.get(p.id), p) for p in getattr(after, name) if older.get(p.id) != p]
    return found


async def _cross_out(tx: AsyncConnection, consents: Sequence[tuple[UUID, Consent | None, Consent]]) -> None:
    """What stood on the form that was handed out and not on the one that was signed, was never granted."""
    gone = [
        grant.id for _, older, newer in consents if older is not None
        for grant in older.grants if not newer.has(frozenset({grant.id}))
    ]
    if gone:
        await tx.execute(sa.delete(consent_grant).where(consent_grant.c.id.in_(sorted(gone))))


async def forget_intents(tx: AsyncConnection, consents: Sequence[UUID]) -> None:
    """Forget intents about these consents that have been carried out, or whose consent ended otherwise."""
    not_yet = sa.select(consent_grant.c.id).where(
        consent_grant.c.consent == withdrawal_intent.c.consent,
        consent_grant.c.id == sa.any_(withdrawal_intent.c.grants), consent_grant.c.withdrawn_at.is_(None),
    )
    open_still = sa.select(consent.c.id).where(
        consent.c.id == withdrawal_intent.c.consent,
        consent.c.state.in_(["requested", "given"]),
        sa.or_(withdrawal_intent.c.grants.is_(None), sa.exists(not_yet)),
    )
    await tx.execute(
        sa.delete(withdrawal_intent).where(
            withdrawal_intent.c.consent.in_(sorted(consents)), ~sa.exists(open_still)
        )
    )


async def _tell_releases(tx: AsyncConnection, ids: Sequence[UUID]) -> None:
    if ids:
        closed = sa.func.coalesce(release.c.closed_at, sa.func.clock_timestamp())
        told = sa.update(release).where(among(release.c.id, ids))
        await tx.execute(told.values(told=True, closed_at=closed, version=release.c.version + 1))


async def add_decisions(tx: AsyncConnection, made: Sequence[tuple[UUID, UUID | None, Decision]]) -> None:
    """Append decisions: (person, release or None, decision)."""
    rows = [(new_id(), of, by, each) for of, by, each in made]
    await insert(tx, decision, [
        {
            "id": key, "person": of, "transmission": each.transmission, "release": by, "at": each.at,
            "alliance": each.alliance, "alliance_version": each.alliance_version,
        }
        for key, of, by, each in rows
    ])
    await insert(tx, decision_item, [
        {
            "decision": key, "item": item.id, "verdict": item.verdict, "reason": item.reason,
            "bases": bases_kept(item.bases),
        }
        for key, _, _, each in rows
        for item in each.items
    ])


async def persons_of_handovers(tx: AsyncConnection, handovers: Sequence[UUID]) -> Mapping[UUID, Sequence[UUID]]:
    """Whose data these handovers are to carry, where this agency is the sender."""
    return {row.handover: (row.person,) for row in await _OF_HANDOVERS(tx, {"ids": list(handovers)})}


_OF_HANDOVERS = Statement(
    sa.select(transmission.c.handover, transmission.c.person).where(among_ids(transmission.c.handover))
)


# --- kinds ------------------------------------------------------------------------------------------------------------


def persons(law: Law) -> Kind[Person]:
    """How the executor loads, decides, saves and answers for a person."""
    return Kind(PERSON, load_persons, save_persons, law.decide, answer)


def answer(of: Person) -> Mapping[str, JsonValue]:
    """The part the last command was about; the version is the person's, under whose lock all of it changes."""
    part, table = of.spoken_of, TABLES.get(type(of.spoken_of))
    if part is None or table is None:
        return {"id": str(of.id), "state": of.state, "version": of.version, "allowed": list(PERSONS.allowed(of.state))}
    allowed: list[JsonValue] = list(table.allowed(part.state))
    return {"id": str(part.id), "state": part.state, "version": of.version, "allowed": allowed}


TABLES: Mapping[type, Table[Any]] = {
    Consent: CONSENTS, Transmission: TRANSMISSIONS, Reception: RECEPTIONS, Duty: DUTIES, Release: RELEASES,
    Restriction: RESTRICTIONS, Waiver: WAIVERS,
}


def _notice_answer(of: Notice) -> Mapping[str, JsonValue]:
    allowed: list[JsonValue] = list(NOTICE_TABLE.allowed(of.state))
    return {"id": str(of.id), "state": of.state, "version": of.version, "allowed": allowed}


NOTICES: Kind[Notice] = Kind(NOTICE, load_notices, save_notices, NOTICE_TABLE.decide, _notice_answer)
