"""The guardian of whoever is 15 to 17 is informed (§ 36(1) SGB I): owed, settled once, and over at 18."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from chassis.executor import Step
from chassis.transitions import Decided, Refused, Said
from contracts.codes import ContactChannel, HandoverState, Role, Sphere
from contracts.ids import CaseId
from contracts.intake import CaseGuardianInformed
from contracts.new_ids import new_id
from services.intake.domain import Case, Reason, State, memory
from services.intake.domain import commands as asked
from services.intake.domain.information import GuardianInformation, concerns_a_guardian
from services.intake.domain.law import ONCE_KNOWN
from services.intake.store import CASE
from tests.intake.builders import NOW, a_person, after, announce, decide, end, register, store
from tests.intake.builders import told as told_by
from tests.intake.conftest import Intake, somebody
from tests.intake.test_cases import announced, moved

WHY = "Der Vater hat 4711 gesagt, dass er sie schlagen wird."
TOLD = asked.RecordGuardianInformation("worker-1", ContactChannel.LETTER)
SPARED = asked.ExcuseGuardianInformation("worker-1", WHY)
BOTH = pytest.mark.parametrize("settle", [TOLD, SPARED], ids=["told", "spared"])
TODAY = NOW.date()


def aged(years: int, **changed: Any) -> Case:
    """Somebody registered today at that age."""
    born = TODAY.replace(year=TODAY.year - years)
    return after(Case(new_id()), register(person=a_person(birth_date=born), **changed))


def owed(case: Case, *, now: datetime = NOW) -> bool:
    decision = decide(case, TOLD, now=now)
    if isinstance(decision, Refused):
        assert decision.reason == Reason.GUARDIAN_NOT_CONCERNED
    return isinstance(decision, Decided)


# --- the law ----------------------------------------------------------------------------------------------------------


def test_of_whoever_comes_at_15_to_17_the_guardian_is_to_be_informed() -> None:
    """R7, § 36(1) SGB I: whoever is 15 may apply; the agency shall inform the guardian of it."""
    assert [owed(aged(years)) for years in (14, 15, 16, 17, 18)] == [False, True, True, True, False]


def test_it_is_over_at_18() -> None:
    """R7, § 36(1) SGB I; § 2 BGB: nobody is the guardian of somebody of age."""
    case = aged(17)
    birthday = datetime(TODAY.year + 1, TODAY.month, TODAY.day, tzinfo=UTC) - timedelta(hours=1)  # midnight in Germany
    assert owed(case, now=birthday - timedelta(seconds=1))
    assert not owed(case, now=birthday)


def test_a_birthday_while_the_case_is_open_brings_no_duty_but_another_birth_date_does() -> None:
    """R7, § 36(1) SGB I: for a child of 14 the guardian has come along."""
    later = NOW + timedelta(days=400)
    assert not owed(aged(14), now=later)
    case = Case(new_id())
    child_of_14 = a_person(birth_date=TODAY.replace(year=TODAY.year - 14))
    child = after(case, announce(case.id), register(person=child_of_14))
    nameless = replace(child, birth_date=None)
    person = a_person(birth_date=TODAY.replace(year=TODAY.year - 15))
    known_anew = after(nameless, replace(store(case.id), person=person), now=later)
    assert known_anew.known_at == later
    assert owed(known_anew, now=later)


@pytest.mark.parametrize(("sphere", "expected"), [(s, s not in {Sphere.SCHULE, Sphere.DRITTE}) for s in Sphere])
def test_it_is_owed_by_those_who_grant_benefits_and_by_no_school(sphere: Sphere, *, expected: bool) -> None:
    """R7, § 36(1) SGB I; § 12 SGB I: the duty is a Leistungsträger's."""
    assert owed(aged(16, sphere=sphere)) is expected


@BOTH
def test_it_is_settled_once(settle: Any) -> None:
    settled = after(aged(16), settle)
    again = decide(settled, settle)
    assert isinstance(again, Refused)
    assert again.reason == Reason.GUARDIAN_NOT_CONCERNED


def test_that_it_was_done_is_told_by_the_id_of_the_case_and_that_it_was_not_is_told_to_nobody() -> None:
    case = aged(16)
    decision = decide(case, TOLD)
    assert isinstance(decision, Decided)
    assert [tell.fact for tell in decision.tells] == [CaseGuardianInformed(case=CaseId(case.id))]
    assert decision.subject.guardian == GuardianInformation(NOW, "worker-1", ContactChannel.LETTER)
    assert told_by(decide(case, SPARED)) == []
    assert after(case, SPARED).guardian == GuardianInformation(NOW, "worker-1", why=WHY)


def test_nobody_was_informed_in_the_future() -> None:
    ahead = replace(TOLD, at=NOW + timedelta(seconds=1))
    refused = decide(aged(16), ahead)
    assert isinstance(refused, Refused)
    assert refused.reason == Reason.NOT_YET


@BOTH
@pytest.mark.parametrize("state", ONCE_KNOWN)
def test_what_becomes_of_the_case_ends_the_duty_not(state: State, settle: Any) -> None:
    assert after(replace(aged(16), state=state), settle).guardian is not None


def test_the_words_go_with_the_case() -> None:
    """Art. 17 GDPR: why it would have been contrary to the welfare of somebody is about somebody."""
    case = Case(new_id())
    received = after(case, announce(case.id), store(case.id), SPARED)
    discarded = after(received, end(case.id, purge=True))
    assert (discarded.state, discarded.guardian) == (State.DISCARDED, None)


def test_a_restored_database_knows_that_it_was_done_and_no_longer_how() -> None:
    case = aged(16)
    said = Said(new_id(), "", NOW, "", CaseGuardianInformed(case=CaseId(case.id)))
    remembered = memory.guardian_informed(case, said)
    assert (remembered.subject.guardian, remembered.lost) == (
        GuardianInformation(NOW), ("how-the-guardian-was-informed",)
    )
    assert not owed(remembered.subject)
    known = after(case, TOLD)
    assert memory.guardian_informed(known, said).subject is known


# --- over HTTP --------------------------------------------------------------------------------------------------------


def born(years: int, days: int = 0) -> str:
    """The birth date of somebody who was that old so many days ago (days < 0: will be)."""
    today = datetime.now(UTC).date()
    leap_day = (today.month, today.day) == (2, 29)
    return str(date(today.year - years, today.month, 28 if leap_day else today.day) - timedelta(days=days))


async def duties(intake: Intake, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.get("/guardian-duties", **query)).json()["owed"]
    return found


async def settle(intake: Intake, case: object, how: str = "", **body: Any) -> httpx.Response:
    said = body or {"channel": "letter"}
    return await intake.command("POST", f"/cases/{case}/guardian-information{how}", said)


async def of_age(intake: Intake, years: int) -> str:
    return str((await intake.registered(person=somebody(birth_date=born(years))))["id"])


async def test_it_is_listed_until_it_is_recorded(intake: Intake) -> None:
    case = await of_age(intake, 16)
    (duty,) = await duties(intake)
    assert (duty["task"], duty["case"], duty["contact_person"]) == ("inform_guardian", case, None)
    seen = (await intake.get(f"/cases/{case}/guardian-information")).json()
    assert (seen["task"], seen["settled_at"], seen["ends_on"]) == ("inform_guardian", None, duty["ends_on"])
    assert date.fromisoformat(duty["ends_on"]).year == date.fromisoformat(born(16)).year + 18
    at = "2026-01-05T10:00:00Z"
    answer = await settle(intake, case, channel="phone", informed_at=at)
    assert answer.status_code == 200, answer.text
    assert await duties(intake) == []
    seen = (await intake.get(f"/cases/{case}/guardian-information")).json()
    assert (seen["task"], seen["settled_at"], seen["channel"], seen["left_out"]) == (None, at, "phone", False)
    assert (await intake.told())[-1] == "staffel.case.guardian_informed.v1"
    again = await settle(intake, case)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/intake/guardian-not-concerned")


async def test_why_it_is_left_out_stays_in_the_database_and_goes_to_nobody(intake: Intake) -> None:
    case = await of_age(intake, 16)
    before = await intake.told()
    answer = await settle(intake, case, "/exemption", why=WHY)
    assert answer.status_code == 200, answer.text
    seen = await intake.get(f"/cases/{case}/guardian-information")
    assert (seen.json()["task"], seen.json()["left_out"], seen.json()["channel"]) == (None, True, None)
    assert await intake.told() == before
    kept = await intake.rows("SELECT convert_from(body, 'UTF8') AS body FROM answer")
    events = await intake.rows("SELECT convert_from(payload, 'UTF8') AS body FROM event_log")
    assert not [said for said in (seen.text, *(row.body for row in (*kept, *events))) if "4711" in said]
    (row,) = await intake.rows('SELECT guardian_why AS why, guardian_by AS by FROM "case"')
    assert (row.why, row.by) == (WHY, "worker-1")


async def test_the_words_are_erased_with_the_case(intake: Intake) -> None:
    case = await announced(intake)
    dossier = store(case)
    young = replace(a_person(birth_date=date.fromisoformat(born(16))), id=case, release=dossier.release)
    await intake.run(Step(CASE, case, replace(dossier, person=young)))
    assert (await settle(intake, case, "/exemption", why=WHY)).status_code == 200
    await intake.hear(moved(case, HandoverState.ACCEPTED, HandoverState.GIVEN_BACK), 2)
    (row,) = await intake.rows('SELECT state, guardian_why AS why, guardian_at AS at FROM "case"')
    assert (row.state, row.why, row.at) == ("discarded", None, None)


async def test_a_guardian_is_shown_no_protected_address(intake: Intake) -> None:
    """R7, § 51 BMG; § 36(1) SGB I: neither what is listed nor what is shown of one case says where somebody lives."""
    hidden = somebody(birth_date=born(16))["address"] | {"protected": True}
    case = (await intake.registered(person=somebody(birth_date=born(16), address=hidden)))["id"]
    said = [await intake.get("/guardian-duties"), await intake.get(f"/cases/{case}/guardian-information")]
    said += [await settle(intake, case), await intake.get(f"/cases/{case}/guardian-information")]
    events = await intake.rows("SELECT convert_from(payload, 'UTF8') AS body FROM event_log")
    for text in (*(answer.text for answer in said), *(row.body for row in events)):
        assert not [word for word in ("Gasse", "99999", "Musterhausen", "Zora") if word in text]


@pytest.mark.parametrize(
    ("birth_date", "opened_at", "listed"),
    [
        (born(15), None, True),
        (born(15, days=-2), None, False),
        (born(18, days=-2), None, True),
        (born(18), None, False),
        (born(15, days=10), timedelta(days=30), False),  # 14 when they came
        (born(18, days=-10), timedelta(days=30), True),
    ],
)
async def test_the_database_counts_years_as_the_law_does(
    intake: Intake, birth_date: str, opened_at: timedelta | None, *, listed: bool
) -> None:
    """R7, § 36(1) SGB I; §§ 187(2), 188(2) BGB: a case of an older version counts from the day it was opened."""
    case = UUID(str((await intake.registered(person=somebody(birth_date=birth_date)))["id"]))
    if opened_at is not None:
        older = 'UPDATE "case" SET known_at = NULL, opened_at = now() - CAST(:ago AS interval)'
        await intake.rows(older, ago=opened_at)
    assert [line["case"] for line in await duties(intake)] == ([str(case)] if listed else [])
    assert (await settle(intake, case)).status_code == (200 if listed else 409)


@pytest.mark.parametrize(
    ("birth_date", "day", "concerned"),
    [
        (date(2008, 2, 29), date(2023, 2, 28), False),  # § 188(2) BGB: the year is over with the end of that day
        (date(2008, 2, 29), date(2023, 3, 1), True),
        (date(2008, 2, 29), date(2026, 2, 28), True),
        (date(2008, 2, 29), date(2026, 3, 1), False),
    ],
)
async def test_who_was_born_on_29_february_is_older_on_1_march_for_us_and_for_the_database(
    intake: Intake, birth_date: date, day: date, *, concerned: bool
) -> None:
    assert concerns_a_guardian(Sphere.SGB_II, birth_date, day, day) is concerned
    (row,) = await intake.rows(
        "SELECT extract(year FROM age(CAST(:day AS date), CAST(:birth_date AS date))) AS years",
        day=day, birth_date=birth_date,
    )
    assert (15 <= row.years < 18) is concerned


async def test_the_list_is_for_those_who_work_with_people_and_of_one_contact_person_on_demand(intake: Intake) -> None:
    case = await of_age(intake, 16)
    await intake.command("PUT", f"/cases/{case}/contact-person", {"contact_person": "worker-1"})
    assert [line["case"] for line in await duties(intake, contact_person="worker-1")] == [case]
    assert await duties(intake, contact_person="worker-2") == []
    for path in ("/guardian-duties", f"/cases/{case}/guardian-information"):
        for role in (Role.COORDINATION, Role.DATA_PROTECTION_OFFICER):
            assert (await intake.get(path, role)).status_code == 403
    assert (await intake.get(f"/cases/{new_id()}/guardian-information")).status_code == 404
