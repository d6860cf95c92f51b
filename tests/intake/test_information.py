"""The duty to inform (Art. 14 GDPR, § 82a SGB X): owed when a dossier is stored, told by a letter, then on record."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from chassis.executor import Step
from chassis.http.pages import HTML
from chassis.transitions import Refused
from contracts.codes import ContactChannel, DataCategory, HandoverState, Role
from contracts.consent import ConsentErasureDemanded
from contracts.ids import DutyId, HandoverRef, ReleaseId
from contracts.new_ids import new_id
from services.intake.domain import Case, Reason, State
from services.intake.domain import commands as asked
from services.intake.domain.information import Exemption
from services.intake.domain.law import ALL
from services.intake.store import CASE
from tests.counted import counted
from tests.intake.builders import NOW, SENDER, a_person, after, announce, decide, received, store
from tests.intake.conftest import Intake, token
from tests.intake.test_cases import announced, moved

SCHOOL = (DataCategory.SCHOOL, '{"school":"Musterschule-4711"}')  # what an item says, and no letter repeats
WHY = "Sonst wäre der Aufenthalt 4711 bekannt."


# --- the law ----------------------------------------------------------------------------------------------------------


def told(*releases: UUID, at: datetime | None = None) -> asked.RecordInformation:
    return asked.RecordInformation(frozenset(releases), "worker-1", ContactChannel.LETTER, at)


def excused(*releases: UUID) -> asked.ExcuseInformation:
    return asked.ExcuseInformation(frozenset(releases), "lead-1", Exemption.TASK_ENDANGERED, WHY)


def stored() -> tuple[Case, UUID]:
    """A case with a dossier of which nobody was told yet."""
    case = Case(new_id())
    dossier = store(case.id)
    return after(case, announce(case.id), dossier), dossier.release


@pytest.mark.parametrize("settle", [told, excused])
def test_what_was_stored_is_owed_until_it_is_settled_once(settle: Any) -> None:
    case, release = stored()
    assert case.owed == {release}
    settled = after(case, settle(release))
    assert settled.owed == frozenset()
    refused = decide(settled, settle(release))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INFORMATION_NOT_OWED


@pytest.mark.parametrize("settle", [told, excused])
def test_nobody_is_told_of_what_never_came(settle: Any) -> None:
    case, release = stored()
    refused = decide(case, settle(release, new_id()))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INFORMATION_NOT_OWED


def test_nobody_has_been_told_in_the_future() -> None:
    case, release = stored()
    refused = decide(case, told(release, at=NOW + timedelta(seconds=1)))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_YET
    assert after(case, told(release, at=NOW)).writes.information[-1].at == NOW


@pytest.mark.parametrize("state", ALL)
def test_it_can_be_settled_in_every_state_also_when_the_case_is_gone(state: State) -> None:
    """The duty began when the data came (Art. 14(3) GDPR); what becomes of the case ends it not."""
    case, release = stored()
    settled = after(replace(case, state=state), told(release))
    assert (settled.state, settled.owed) == (state, frozenset())


# --- over HTTP --------------------------------------------------------------------------------------------------------


async def came(intake: Intake, *more: tuple[DataCategory, str], part: bool = False) -> tuple[UUID, UUID]:
    """A case and the release of its dossier."""
    reference = await announced(intake)
    dossier = store(reference, *more, part=part)
    await intake.run(Step(CASE, reference, dossier))
    return reference, dossier.release


async def letter(intake: Intake, case: UUID) -> str:
    """The letter, with its text on one line."""
    answer = await intake.get(f"/cases/{case}/information")
    assert (answer.status_code, answer.headers["content-type"]) == (200, HTML), answer.text
    return " ".join(answer.text.split())


async def owed(intake: Intake, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.get("/information-duties", **query)).json()["owed"]
    return found


async def record(intake: Intake, case: UUID, *releases: UUID, **more: Any) -> httpx.Response:
    body = {"releases": [str(each) for each in releases], "channel": "letter", **more}
    return await intake.command("POST", f"/cases/{case}/information", body)


async def excuse(intake: Intake, case: UUID, release: UUID, role: Role) -> httpx.Response:
    body = {"releases": [str(release)], "exemption": Exemption.SECRET_BY_NATURE, "why": WHY}
    return await intake.command("POST", f"/cases/{case}/information/exemption", body, **token(role))


async def test_the_letter_says_who_collected_what_from_whom_for_what_and_on_which_basis(intake: Intake) -> None:
    """Art. 14(1), (2) GDPR: controller, purposes and basis, categories, recipients, storage, rights, source."""
    case, release = await came(intake, SCHOOL, SCHOOL)
    said = await letter(intake, case)
    for expected in (
        "Zora Beispiel-Zimt<br>Erfundene Gasse 7<br>99999 Musterhausen",
        "Jugendamt Landkreis Musterland (SGB VIII (Kinder- und Jugendhilfe))",
        "Jobcenter Musterland, ",
        "<td>Schule</td><td>2</td><td>bei Ihnen</td><td>Stabilisierung</td><td>Einwilligung (§ 67b SGB X)</td>",
        "<td>Stammdaten</td><td>2</td>",
        "Art. 15 DSGVO", "Art. 16 DSGVO", "Art. 17 und 18 DSGVO", "Art. 21 DSGVO", "Art. 7 Abs. 3 DSGVO",
        "Art. 77 DSGVO, § 81 SGB X", "§ 84 SGB X", "keine automatisierte Entscheidung", "Datenschutzbeauftragte",
        str(release),
    ):
        assert expected in said, expected
    assert "4711" not in said
    assert not [word for word in ("<script", "<link", "src=", "://") if word in said]


async def test_it_is_owed_for_a_month_and_settled_when_it_is_recorded(intake: Intake) -> None:
    case, release = await came(intake)
    (line,) = await owed(intake)
    assert (line["case"], line["release"], line["sender"], line["items"]) == (str(case), str(release), SENDER, 3)
    assert (line["erased_at"], line["overdue"]) == (None, False)
    before = await intake.told()
    answer = await record(intake, case, release)
    assert answer.status_code == 200, answer.text
    assert await owed(intake) == []
    again = await record(intake, case, release)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/intake/information-not-owed")
    nothing = await intake.get(f"/cases/{case}/information")
    assert (nothing.status_code, nothing.json()["type"]) == (409, "/problems/intake/information-not-owed")
    (shown,) = (await intake.get(f"/cases/{case}/dossier")).json()["releases"]
    assert (shown["information_channel"], shown["information_exemption"]) == ("letter", None)
    assert shown["information_at"] is not None
    (row,) = await intake.rows("SELECT information_by FROM received_release")
    assert row.information_by == "worker-1"
    assert await intake.told() == before


@pytest.mark.parametrize(
    ("stored_at", "due_on"),
    [
        ("2026-01-10T12:00:00+00:00", date(2026, 2, 10)),
        ("2026-01-31T22:30:00+00:00", date(2026, 2, 28)),  # § 188(3) BGB: February has no 31st
        ("2026-01-31T23:30:00+00:00", date(2026, 3, 1)),  # in Germany it is February already
        ("2026-06-30T22:30:00+00:00", date(2026, 8, 1)),  # and in summer an hour more
    ],
)
async def test_a_month_is_one_of_the_calendar_in_germany(intake: Intake, stored_at: str, due_on: date) -> None:
    await came(intake)
    await intake.rows("UPDATE received_release SET stored_at = CAST(:at AS text)::timestamptz", at=stored_at)
    (line,) = await owed(intake)
    assert (line["due_on"], line["overdue"]) == (due_on.isoformat(), due_on < datetime.now(UTC).date())


async def test_what_is_late_is_listed_alone_on_demand(intake: Intake) -> None:
    late, _ = await came(intake)
    await intake.rows("UPDATE received_release SET stored_at = stored_at - interval '2 months'")
    await came(intake)
    assert [line["overdue"] for line in await owed(intake)] == [True, False]
    assert [line["case"] for line in await owed(intake, overdue=True)] == [str(late)]


async def test_at_the_first_contact_the_person_is_told_at_the_latest(intake: Intake) -> None:
    """Art. 14(3)(b) GDPR. An attempt that reached nobody, or came before the data, is no first contact."""
    case, _ = await came(intake)
    await intake.rows("UPDATE received_release SET stored_at = now() - interval '10 days'")
    await intake.command("PUT", f"/cases/{case}/contact-person", {"contact_person": "worker-1"})
    month = (await owed(intake))[0]["due_on"]
    now = datetime.now(UTC)
    for days, reached in ((20, True), (5, False)):
        body = {"at": (now - timedelta(days=days)).isoformat(), "channel": "phone", "reached": reached}
        assert (await intake.command("POST", f"/cases/{case}/contacts", body)).status_code == 200
    assert (await owed(intake))[0]["due_on"] == month
    body = {"at": (now - timedelta(days=3)).isoformat(), "channel": "in_person", "reached": True}
    await intake.command("POST", f"/cases/{case}/contacts", body)
    (line,) = await owed(intake, contact_person="worker-1")
    assert line["overdue"]
    assert line["due_on"] < month
    assert await owed(intake, contact_person="worker-2") == []


async def test_what_is_erased_before_anybody_was_told_is_still_owed_and_says_so(intake: Intake) -> None:
    case, release = await came(intake, SCHOOL)
    await intake.hear(moved(case, HandoverState.ACTIVE, HandoverState.STOPPED, lead=True), 2)
    await intake.hear(ConsentErasureDemanded(
        handover=HandoverRef(case), duty=DutyId(new_id()), releases=(ReleaseId(release),), items=()
    ), 1)
    (line,) = await owed(intake)
    assert line["erased_at"] is not None
    said = await letter(intake, case)
    assert "inzwischen gelöscht (" in said
    assert "Die Angaben zur Person sind inzwischen gelöscht" in said
    assert "Zora" not in said
    assert (await record(intake, case, release)).status_code == 200


async def test_a_case_that_is_gone_leaves_a_duty_that_can_only_be_excused(intake: Intake) -> None:
    case, release = await came(intake)
    await intake.hear(moved(case, HandoverState.ACCEPTED, HandoverState.GIVEN_BACK), 2)
    assert (await intake.get(f"/cases/{case}")).json()["state"] == "discarded"
    assert [line["release"] for line in await owed(intake)] == [str(release)]
    assert (await excuse(intake, case, release, Role.TEAM_LEAD)).status_code == 200
    assert await owed(intake) == []


async def test_parts_of_a_dossier_are_in_one_letter_and_recorded_as_the_letter_named_them(intake: Intake) -> None:
    """What comes between the letter and the record is not taken for told."""
    case, first = await came(intake, part=True)
    second = store(case, SCHOOL, named=False)
    await intake.run(Step(CASE, case, second))
    said = await letter(intake, case)
    assert str(first) in said
    assert str(second.release) in said
    assert (await record(intake, case, first)).status_code == 200
    assert [line["release"] for line in await owed(intake)] == [str(second.release)]
    said = await letter(intake, case)
    assert "<td>Schule</td><td>1</td>" in said
    assert "Stammdaten" not in said


async def test_not_to_tell_is_for_those_who_answer_for_it_and_its_reason_goes_to_nobody(intake: Intake) -> None:
    """§ 82a(3) SGB X: the reasons are written down."""
    case, release = await came(intake)
    assert (await excuse(intake, case, release, Role.CASEWORKER)).status_code == 403
    answer = await excuse(intake, case, release, Role.DATA_PROTECTION_OFFICER)
    assert answer.status_code == 200, answer.text
    (shown,) = (await intake.get(f"/cases/{case}/dossier")).json()["releases"]
    assert (shown["information_exemption"], shown["information_channel"]) == ("sgb_x_82a_1_2", None)
    assert "4711" not in f"{answer.text}{shown}"
    kept = await intake.rows("SELECT convert_from(body, 'UTF8') AS body FROM answer")
    events = await intake.rows("SELECT convert_from(payload, 'UTF8') AS body FROM event_log")
    assert not [row for row in (*kept, *events) if "4711" in row.body]
    (row,) = await intake.rows("SELECT information_why AS why, information_by AS by FROM received_release")
    assert (row.why, row.by) == (WHY, "worker-1")


async def test_a_protected_address_is_in_no_letter(intake: Intake) -> None:
    """§ 51 BMG."""
    case, _ = await came(intake)
    await intake.command("PUT", f"/cases/{case}/address-protection", {"protected": True})
    said = await letter(intake, case)
    assert "Gasse" not in said
    draft, paper = said.split("</aside>")
    assert "persönlich übergeben" in draft
    assert "geschützt" not in paper, "nor that there is one, to whoever else sees the paper"


async def test_for_a_child_the_letter_goes_to_the_guardians(intake: Intake) -> None:
    """§ 36 SGB I: from 15 on the young person acts."""
    case = await announced(intake)
    young = a_person(birth_date=date(datetime.now(UTC).year - 13, 1, 1))
    dossier = replace(store(case), person=replace(young, id=case))
    await intake.run(Step(CASE, case, dossier))
    said = await letter(intake, case)
    draft, paper = said.split("</aside>")
    assert "<br>Personensorgeberechtigte von Zora Beispiel-Zimt<br>…" in paper
    assert "Gasse" not in paper, "where a child lives is not where those live who have custody"
    assert "Name und Anschrift der Personensorgeberechtigten ergänzen" in draft
    for words in ("bekommen, für das Sie sorgeberechtigt sind", "beim Kind selbst", "Situation des Kindes",
                  "Die Rechte des Kindes", "wenn Sie für das Kind eingewilligt haben"):
        assert words in " ".join(paper.split()), words
    for words in ("Angaben über Sie", "bei Ihnen", "Ihre Rechte", "Ihr Kind"):
        assert words not in paper, words


async def test_words_of_another_agency_cannot_become_a_part_of_the_letter(intake: Intake) -> None:
    case = await announced(intake)
    forged = a_person(id=case, given_names="<img src=x>")
    dossier = replace(store(case), person=forged)
    await intake.run(Step(CASE, case, dossier))
    assert "&lt;img src=x&gt;" in await letter(intake, case)


async def test_a_letter_about_many_items_is_one_question_to_the_database(intake: Intake) -> None:
    case, _ = await came(intake, *[SCHOOL] * 30)
    statements = counted(intake.engine)
    assert "<td>Schule</td><td>30</td>" in await letter(intake, case)
    assert len(statements) == 1, statements


async def test_storing_a_dossier_writes_no_row_more_than_before(intake: Intake) -> None:
    """What is owed is the line of the release that came; no handover pays for it."""
    case, _ = await came(intake)
    counts = "SELECT (SELECT count(*) FROM received_release) AS releases, (SELECT count(*) FROM deadline) AS deadlines"
    (row,) = await intake.rows(counts)
    assert (row.releases, row.deadlines) == (1, 1)  # the deadline is the next birthday
    assert await intake.rows("SELECT 1 FROM errand WHERE subject = :case AND name <> 'fetch_dossier'", case=case) == []


async def test_the_list_is_cut_and_says_so_and_is_not_for_coordination(intake: Intake) -> None:
    await intake.rows(
        'INSERT INTO "case" (id, version, state, leads, no_needs, target_groups, dossier, has_own) '
        "SELECT gen_random_uuid(), 1, 'registered', false, false, '{}', 'stored', false FROM generate_series(1, 201)"
    )
    await intake.rows(
        'INSERT INTO received_release ("case", id, sender, items, stored_at) '
        'SELECT id, gen_random_uuid(), \'jobcenter\', 1, now() FROM "case"'
    )
    answer = (await intake.get("/information-duties")).json()
    assert (len(answer["owed"]), answer["more"]) == (200, True)
    for role, status in ((Role.COORDINATION, 403), (Role.DATA_PROTECTION_OFFICER, 200)):
        assert (await intake.get("/information-duties", role)).status_code == status


def test_what_is_received_says_that_it_came_from_elsewhere() -> None:
    """Every received item has its provenance, which is what the letter is made from."""
    assert all(item.provenance for item in received(new_id(), a_person(), SCHOOL))
