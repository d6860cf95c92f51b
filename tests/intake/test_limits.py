"""§ 31a SGB III at the receiver: only what it lists is kept, and that for six months at the most."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chassis.database import transaction
from chassis.deadlines import due
from chassis.executor import Step, Work
from chassis.service import Tools
from chassis.transitions import Arm, Decided, Disarm, Refused, Said
from contracts.codes import DataCategory, HandoverState, LegalBasis, Need, Sphere
from contracts.consent import ConsentErasureDemanded
from contracts.ids import CaseId, DutyId, HandoverRef, ItemId, ReleaseId
from contracts.intake import CaseItemsErased
from contracts.new_ids import new_id
from services.intake.domain import Reason, memory
from services.intake.domain import commands as asked
from services.intake.domain.case import Case, DossierReason, DossierState, State
from services.intake.domain.commands import NoteRefusal, StoreDossier
from services.intake.domain.items import Part
from services.intake.domain.law import ALL
from services.intake.domain.limits import erase_at, may_be_kept
from services.intake.store import CASE
from services.intake.store.limits import arm, look_after_time_limits
from tests.intake.builders import (
    CONSENTED,
    NOW,
    a_need,
    a_person,
    after,
    an_item,
    announce,
    decide,
    end,
    erase,
    register,
    store,
    told,
)
from tests.intake.conftest import Intake, Keys, settings, somebody
from tests.intake.test_cases import ITEM, announced, moved, received_bytes
from tests.intake.test_errands import Outside, a_dossier, fetch, gives, refusal, sealed

ALONE = ("sgb_iii_31a",)
BOTH = (*ALONE, *CONSENTED)
SCHOOL = (DataCategory.SCHOOL, '{"school_leaving":"4711"}')
OUTLIVED = asked.EraseOutlived()
DUE = datetime(2027, 5, 22, 22, 0, tzinfo=UTC)  # 23 May in Germany: NOW is 23 November


def a_case(*bases: tuple[str, ...]) -> Case:
    """Registered from a dossier of several parts, each on its bases; the first part names the person."""
    case = Case(new_id())
    parts = [store(case.id, SCHOOL, part=True, named=number == 0, bases=of) for number, of in enumerate(bases)]
    return after(case, announce(case.id), *parts)


def erased(decision: object) -> set[UUID]:
    assert isinstance(decision, Decided), decision
    return {
        item for tell in decision.tells if isinstance(tell.fact, CaseItemsErased) for item in tell.fact.items
    }


# --- what goes --------------------------------------------------------------------------------------------------------


def test_what_came_on_31a_alone_is_erased_after_six_months_and_the_person_it_named_with_it() -> None:
    """R15, § 31a(3) SGB III: erased six months after it was collected, at the latest."""
    case = a_case(ALONE)
    decision = decide(case, OUTLIVED, now=DUE)
    assert told(decision) == ["staffel.case.items_erased.v1"]
    assert erased(decision) == {item.source_item for item in case.held}
    assert isinstance(decision, Decided)
    gone = decision.subject
    assert (gone.held, gone.birth_date, gone.writes.erase_person) == ((), None, True)
    assert gone.writes.erase_items == {item.id for item in case.held}
    assert Disarm("time_limit") in decision.deadlines
    fact = decision.tells[0].fact
    assert isinstance(fact, CaseItemsErased)
    assert (fact.duty, fact.time_limit_of) == (None, LegalBasis.SGB_III_31A)


def test_what_also_came_on_another_basis_and_what_is_our_own_stays() -> None:
    """R15, § 31a(3) SGB III; § 67c SGB X: what is here on another ground, too, is kept on that one."""
    case = after(a_case(BOTH, ALONE), asked.AddItems((an_item(),)))
    second = case.held[-1]
    decision = decide(case, OUTLIVED, now=DUE)
    assert erased(decision) == {second.source_item}
    assert isinstance(decision, Decided)
    kept = decision.subject
    assert (kept.held, kept.birth_date) == (tuple(item for item in case.held if item != second), case.birth_date)
    assert kept.writes.erase_items == {second.id}
    assert not kept.writes.erase_person


def test_who_was_registered_by_hand_keeps_the_name_when_the_dossier_goes() -> None:
    case = Case(new_id())
    case = after(case, announce(case.id), register(), store(case.id, SCHOOL, bases=ALONE))
    left = after(case, OUTLIVED, now=DUE)
    assert (left.held, left.birth_date, left.writes.erase_person) == ((), case.birth_date, False)


@pytest.mark.parametrize("state", [State.REGISTERED, State.CLARIFYING, State.ACTIVE])
def test_who_becomes_a_client_is_registered_by_hand_and_outlives_the_dossier(state: State) -> None:
    """R15, § 31a(3) SGB III; § 67a(2) SGB X: what the person says themselves did not come from the Land."""
    case = replace(a_case(ALONE), state=state)
    ours = after(case, register(person=a_person(birth_date=NOW.date().replace(year=2010))))
    assert (ours.state, ours.person, ours.held) == (state, case.person, case.held)
    decision = decide(ours, OUTLIVED, now=DUE)
    assert erased(decision) == {item.source_item for item in case.held}
    assert isinstance(decision, Decided)
    assert (decision.subject.birth_date, decision.subject.writes.erase_person) == (ours.birth_date, False)
    again = decide(ours, register())
    assert isinstance(again, Refused)
    assert again.reason == Reason.REGISTERED_ALREADY


def test_who_is_registered_by_hand_keeps_what_is_known_of_the_case() -> None:
    case = after(a_case(BOTH), asked.RecordNeed(a_need(Need.HOUSING)))
    ours = after(case, register(needs=(), no_needs=False, local_number=None))
    assert {need.code for need in case.needs} <= {need.code for need in ours.needs}
    assert (ours.local_number, ours.handover, ours.leads) == (case.local_number, case.handover, case.leads)


def test_where_only_the_address_came_on_31a_the_name_stays() -> None:
    case = a_case(BOTH)
    held = tuple(replace(i, bases=frozenset(ALONE if i.part is Part.ADDRESS else BOTH)) for i in case.held)
    decision = decide(replace(case, held=held), OUTLIVED, now=DUE)
    assert isinstance(decision, Decided)
    left = decision.subject
    assert left.writes.erase_parts == {Part.ADDRESS}
    assert (left.has_address, left.birth_date) == (False, case.birth_date)


def test_before_its_day_nothing_goes_and_what_is_here_is_looked_at_again() -> None:
    case = a_case(ALONE)
    early = decide(case, OUTLIVED, now=DUE - timedelta(seconds=1))
    assert early == Decided(case, deadlines=(Arm("time_limit", DUE),))


def test_what_came_later_goes_later_and_one_deadline_is_enough_for_all() -> None:
    case = a_case(ALONE, BOTH, ALONE)
    later = replace(case.held[-1], received_at=NOW + timedelta(days=30))
    decision = decide(replace(case, held=(*case.held[:-1], later)), OUTLIVED, now=DUE)
    assert isinstance(decision, Decided)
    assert later in decision.subject.held
    assert [each for each in decision.deadlines if each.kind == "time_limit"] == [
        Arm("time_limit", datetime(2027, 6, 22, 22, 0, tzinfo=UTC))
    ]


def test_storing_arms_it_where_something_is_limited_and_nowhere_else() -> None:
    for bases, expected in ((ALONE, Arm("time_limit", DUE)), (BOTH, Disarm("time_limit"))):
        case = after(Case(reference := new_id()), announce(reference))
        decision = decide(case, store(reference, SCHOOL, bases=bases))
        assert isinstance(decision, Decided)
        assert expected in decision.deadlines


@pytest.mark.parametrize("state", ALL)
def test_it_goes_in_every_state(state: State) -> None:
    left = after(replace(a_case(ALONE), state=state), OUTLIVED, now=DUE)
    assert (left.state, left.held) == (state, ())


def test_a_case_whose_handover_is_over_goes_with_the_last_of_it() -> None:
    ended = after(a_case(ALONE), end((case := a_case(ALONE)).id, purge=False))
    assert ended.dossier is DossierState.ENDED
    decision = decide(replace(ended, id=case.id, handover=case.id), OUTLIVED, now=DUE)
    assert told(decision) == ["staffel.case.discarded.v1", "staffel.case.items_erased.v1"]


@pytest.mark.parametrize(
    ("received_at", "day"),
    [
        ("2026-01-10T12:00:00+00:00", "2026-07-10"),
        ("2026-08-31T12:00:00+00:00", "2027-02-28"),  # § 188(3) BGB: February has no 31st
        ("2027-08-30T12:00:00+00:00", "2028-02-29"),
        ("2026-05-31T22:30:00+00:00", "2026-12-01"),  # in Germany it is June already
        ("2026-12-31T23:30:00+00:00", "2027-07-01"),
        ("2026-11-23T09:00:00+00:00", "2027-05-23"),  # a Sunday: § 193 BGB adds no day
    ],
)
def test_six_months_are_of_the_calendar_in_germany_and_end_when_their_last_day_begins(
    received_at: str, day: str
) -> None:
    """R15, § 31a(3) SGB III; §§ 187(1), 188(2), (3) BGB: at the latest, so no hour later."""
    at = erase_at(datetime.fromisoformat(received_at))
    assert at.tzinfo is UTC
    assert at in {datetime.fromisoformat(f"{day}T00:00:00+0{offset}:00") for offset in (1, 2)}


# --- what a restored database knows again -----------------------------------------------------------------------------


def test_of_a_backup_exactly_that_goes_again_which_had_gone_and_what_is_left_has_its_deadline() -> None:
    case = a_case(BOTH, ALONE, ALONE)
    gone, left = case.held[-1], case.held[-2]
    fact = CaseItemsErased(
        case=CaseId(case.id), handover=HandoverRef(case.id), duty=None, items=(ItemId(gone.source_item),),
        time_limit_of=LegalBasis.SGB_III_31A,
    )
    remembered = memory.items_erased(case, Said(new_id(), "", NOW, "", fact))
    assert remembered.subject.held == tuple(item for item in case.held if item != gone)
    assert remembered.subject.dossier is DossierState.PENDING
    assert remembered.deadlines == (Arm("time_limit", erase_at(left.received_at)),)


# --- on a database ----------------------------------------------------------------------------------------------------


async def came(intake: Intake, *bases: tuple[str, ...]) -> UUID:
    """A case whose dossier came in parts, each on its bases."""
    reference = await announced(intake)
    for number, of in enumerate(bases):
        await intake.run(Step(CASE, reference, store(reference, SCHOOL, part=True, named=number == 0, bases=of)))
    return reference


async def long_ago(intake: Intake, months: int = 6) -> None:
    await intake.rows("UPDATE item SET received_at = now() - make_interval(months => :months)", months=months)


async def deadlines(intake: Intake) -> list[tuple[UUID, datetime]]:
    rows = await intake.rows("SELECT subject, due_at FROM deadline WHERE kind = 'time_limit' ORDER BY due_at")
    return [(row.subject, row.due_at) for row in rows]


async def test_many_items_are_one_deadline_by_the_clock_of_the_database(intake: Intake) -> None:
    case = await came(intake, ALONE, ALONE, BOTH)
    assert await deadlines(intake) == [(case, DUE)]
    await long_ago(intake, months=2)
    await intake.run(Step(CASE, case, OUTLIVED))
    (armed,) = await deadlines(intake)
    assert timedelta(days=115) < armed[1] - datetime.now(UTC) < timedelta(days=125)
    await long_ago(intake)
    await intake.run(Step(CASE, case, OUTLIVED))
    assert await deadlines(intake) == []
    left = (await intake.get(f"/cases/{case}/items")).json()["items"]
    assert [(item["category"], item["bases"]) for item in left] == [("school", list(BOTH))]
    assert (await intake.get(f"/cases/{case}")).json()["person"] is None
    assert await intake.rows("SELECT 1 FROM person") == []


async def fire(intake: Intake) -> int:
    """What the running service does with the deadlines that are due; how many there were."""
    async with intake.engine.connect() as tx:
        causes = await due(tx)
    for cause in causes:
        step = intake.service.deadlines[cause.kind].step(cause.subject)
        await intake.executor.run(Work(cause, (step,)))
    return len(causes)


async def test_the_service_erases_it_when_it_is_due_once_and_looks_every_day_for_what_has_no_deadline(
    intake: Intake,
) -> None:
    await came(intake, ALONE)
    await long_ago(intake)
    await intake.rows("UPDATE deadline SET due_at = now() WHERE kind = 'time_limit'")
    assert [await fire(intake), await fire(intake)] == [1, 0]
    assert await received_bytes(intake) == 0
    assert intake.service.background == (look_after_time_limits,)


async def test_the_view_says_beforehand_when_it_goes_and_afterwards_that_it_went(intake: Intake) -> None:
    case = await came(intake, ALONE, BOTH)
    await intake.command("POST", f"/cases/{case}/items", {"items": [ITEM]})
    seen = (await intake.get(f"/cases/{case}/dossier")).json()
    assert (seen["erased_by"], seen["received_items"]) == ("2027-05-23", 5)
    await long_ago(intake)
    await intake.run(Step(CASE, case, OUTLIVED))
    seen = (await intake.get(f"/cases/{case}/dossier")).json()
    assert (seen["erased_by"], seen["received_items"]) == (None, 1)
    assert [release["erased_at"] is None for release in seen["releases"]] == [False, True]
    (derived,) = (await intake.get(f"/cases/{case}/derived")).json()["records"]
    assert derived["category"] == "school", "for a human to look at: was it written down from what is gone?"
    assert len((await intake.get("/information-duties")).json()["owed"]) == 2, "Art. 14 GDPR: that is still owed"


async def test_what_is_told_of_it_is_ids_and_the_norm(intake: Intake) -> None:
    case = await came(intake, ALONE)
    await long_ago(intake)
    await intake.run(Step(CASE, case, OUTLIVED))
    assert await received_bytes(intake) == 0
    (fact,) = await intake.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb AS body FROM event_log WHERE type LIKE '%items_erased%'"
    )
    assert set(fact.body) == {"case", "handover", "duty", "items", "time_limit_of"}
    assert (fact.body["time_limit_of"], len(fact.body["items"])) == ("sgb_iii_31a", 4)


async def test_who_asks_for_it_later_is_answered_that_it_is_gone(intake: Intake) -> None:
    """A duty that consent hears of afterwards must not wait for ever."""
    case = await came(intake, ALONE)
    (release,) = await intake.rows("SELECT id FROM received_release")
    await long_ago(intake)
    await intake.run(Step(CASE, case, OUTLIVED))
    demand = erase(case, release.id)
    await intake.hear(ConsentErasureDemanded(
        handover=HandoverRef(case), duty=DutyId(demand.duty), releases=(ReleaseId(release.id),), items=()
    ), 1)
    duties = await intake.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb -> 'duty' AS duty FROM event_log WHERE type LIKE '%items_erased%'"
    )
    assert [row.duty for row in duties] == [None, str(demand.duty)]


async def test_a_client_registered_by_hand_is_there_after_the_dossier_is_gone(intake: Intake) -> None:
    case = await came(intake, ALONE)
    body = {"person": somebody(given_names="Zora Mia")}
    answer = await intake.command("POST", f"/cases/{case}/registration", body)
    assert (answer.status_code, answer.json()["state"]) == (200, "registered")
    again = await intake.command("POST", f"/cases/{case}/registration", body)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/intake/registered-already")
    await long_ago(intake)
    await intake.run(Step(CASE, case, OUTLIVED))
    assert (await intake.get(f"/cases/{case}")).json()["person"]["given_names"] == "Zora Mia"
    left = (await intake.get(f"/cases/{case}/items")).json()["items"]
    assert {item["part"] for item in left} == {"identity", "address", "contact"}
    assert {item["release"] for item in left} == {None}


async def test_a_protected_address_stays_protected_when_somebody_is_registered_by_hand(intake: Intake) -> None:
    """§ 51 BMG: nobody lifts it by forgetting a box, and no street goes by forgetting the street."""
    case = await came(intake, BOTH)
    await intake.command("PUT", f"/cases/{case}/address-protection", {"protected": True})
    path = f"/cases/{case}/registration"
    nowhere = await intake.command("POST", path, {"person": somebody(address=None)})
    assert (nowhere.status_code, nowhere.json()["type"]) == (409, "/problems/intake/address-missing")
    assert (await intake.command("POST", path, {"person": somebody()})).status_code == 200
    assert (await intake.get(f"/cases/{case}")).json()["person"]["address_protected"] is True
    kept = (await intake.get(f"/cases/{case}/items")).json()["items"]
    leaving = (await intake.items("content", *(item["id"] for item in kept))).json()
    assert len(leaving) == len(kept) - 2, "neither what came nor what was said"
    assert "Gasse" not in str(leaving)


async def test_an_end_that_erases_everything_leaves_no_deadline(intake: Intake) -> None:
    case = await came(intake, ALONE)
    await intake.hear(moved(case, HandoverState.ACCEPTED, HandoverState.GIVEN_BACK), 2)
    assert await deadlines(intake) == []


async def test_what_a_version_without_deadlines_has_stored_is_found_and_what_is_due_gets_an_hour(
    intake: Intake,
) -> None:
    """An older process that runs beside this one for a while cannot read such a deadline: none falls due before."""
    old, new, _, due_already = [await came(intake, bases) for bases in (ALONE, ALONE, BOTH, ALONE)]
    await intake.rows("DELETE FROM deadline WHERE subject <> :new", new=new)
    before = datetime.now(UTC)
    received_at = {old: before - timedelta(days=90), new: before, due_already: before - timedelta(days=700)}
    for case, at in received_at.items():
        await intake.rows('UPDATE item SET received_at = :at WHERE "case" = :case', at=at, case=case)
    for _ in range(2):
        async with transaction(intake.engine) as tx:
            await arm(tx)
    soon, *others = await deadlines(intake)
    assert soon[0] == due_already
    assert timedelta(0) <= soon[1] - before - timedelta(hours=1) < timedelta(minutes=5)
    assert sorted(others) == sorted([(old, erase_at(received_at[old])), (new, DUE)])


@pytest.mark.parametrize(
    ("bases", "sphere", "expected"),
    [
        (ALONE, Sphere.SGB_III, ["spätestens sechs Monate danach", "Sie können dem widersprechen"]),
        (ALONE, Sphere.SCHULE, ["spätestens sechs Monate danach"]),
        (BOTH, Sphere.SGB_III, []),
    ],
)
async def test_the_letter_says_for_how_long_and_that_one_may_object(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, bases: tuple[str, ...], sphere: Sphere, expected: list[str]
) -> None:
    """R15, § 31a(2) SGB III; Art. 14(2)(a) GDPR: the person is to be told of the right to object."""
    monkeypatch.setitem(vars(intake.tools.settings), "sphere", sphere)
    case = await came(intake, bases)
    said = " ".join((await intake.get(f"/cases/{case}/information")).text.split())
    wanted = ("spätestens sechs Monate danach", "Sie können dem widersprechen")
    assert [each for each in wanted if each in said] == expected


# --- what is kept at all ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "bases", "way", "kept"),
    [
        (DataCategory.MASTER_DATA, ALONE, (Sphere.SCHULE, Sphere.SGB_III), True),
        (DataCategory.SCHOOL, ALONE, (Sphere.SCHULE, Sphere.SGB_III), True),
        (DataCategory.CONTACT, ALONE, (Sphere.SCHULE, Sphere.SGB_III), False),
        (DataCategory.HEALTH, ALONE, (Sphere.SCHULE, Sphere.SGB_III), False),
        (DataCategory.HEALTH, (*ALONE, *ALONE), (Sphere.SCHULE, Sphere.SGB_III), False),
        (DataCategory.HEALTH, BOTH, (Sphere.SCHULE, Sphere.SGB_III), True),
        (DataCategory.MASTER_DATA, ALONE, (Sphere.SGB_III, Sphere.SCHULE), True),
        (DataCategory.SCHOOL, ALONE, (Sphere.SGB_III, Sphere.SCHULE), False),
        (DataCategory.MASTER_DATA, ALONE, (Sphere.SGB_II, Sphere.SGB_III), False),
        (DataCategory.MASTER_DATA, ALONE, (None, Sphere.SGB_III), False),
        (DataCategory.HEALTH, CONSENTED, (None, Sphere.SGB_III), True),
    ],
)
def test_on_31a_only_its_list_is_kept_and_only_on_its_two_ways(
    category: DataCategory, bases: Iterable[str], way: tuple[Sphere | None, Sphere], kept: bool
) -> None:
    """R15, § 31a(1), (2) SGB III: these data, from the Land and back to it."""
    assert may_be_kept(category, tuple(bases), *way) is kept


@pytest.fixture
def agentur(tools: Tools, keys: Keys, tmp_path: Path) -> Tools:
    """What errands of the Agentur work with."""
    return replace(tools, settings=settings(tmp_path, keys, "agentur"))


def from_school(keys: Keys, *items: tuple[str, Any, tuple[str, ...]]) -> Outside:
    """The school's door gives out these."""
    kind = a_dossier()["items"][0] | {"flags": []}
    said = [
        kind | {"id": str(new_id()), "category": category, "content": content, "bases": list(bases)}
        for category, content, bases in items
    ]
    return gives(sealed(keys.sealing[0], a_dossier(items=said), recipient="agentur"))


IDENTITY = ("master_data", json.dumps({"given_names": "Zora", "family_name": "X", "birth_date": "2009-05-04"}))


async def test_what_a_sender_adds_to_the_list_is_stored_nowhere_and_not_confirmed(agentur: Tools, keys: Keys) -> None:
    """R15, § 31a(1) SGB III: whatever the sender's own rules say, here the list is looked at again."""
    outside = from_school(
        keys, (*IDENTITY, ALONE), ("contact", {"phone": "4711"}, ALONE), ("health", {}, ALONE), ("needs", {}, BOTH)
    )
    step = await fetch(agentur, outside, sender="schule")
    assert step is not None
    assert isinstance(step.command, StoreDossier)
    assert [item.category for item in step.command.items] == ["master_data", "needs"]
    assert step.command.person is not None
    assert (step.command.person.given_names, step.command.person.phone) == ("Zora", None)


async def test_where_nothing_of_it_is_on_the_list_that_is_shown(agentur: Tools, keys: Keys) -> None:
    outside = from_school(keys, ("contact", {"phone": "4711"}, ALONE))
    assert refusal(await fetch(agentur, outside, sender="schule")) is DossierReason.NOT_LISTED


async def test_nobody_else_sends_anything_on_31a(tools: Tools, keys: Keys) -> None:
    items = [item | {"bases": list(ALONE)} for item in a_dossier()["items"]]
    step = await fetch(tools, gives(sealed(keys.sealing[0], a_dossier(items=items))))
    assert step is not None
    assert step.command == NoteRefusal(DossierReason.NOT_LISTED)
