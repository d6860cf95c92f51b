"""The note for the file (Aktenvermerk) of each release: what, to whom, when, why, on which basis; and nothing more."""

from datetime import datetime
from uuid import UUID

from chassis.http.pages import HTML
from contracts.calendar import GERMANY
from contracts.codes import Role
from contracts.new_ids import new_id
from tests.consent.builders import TASK
from tests.consent.conftest import Consenting, token
from tests.consent.test_tasks import WORD, state
from tests.counted import counted

SAID = "Zora Beispiel-Zimt"  # what an item says, and no note repeats


async def note(consenting: Consenting, release: UUID) -> str:
    """The note of a release, with its text on one line."""
    answer = await consenting.client.get(f"/releases/{release}/note", headers=token(Role.CASEWORKER))
    assert (answer.status_code, answer.headers["content-type"]) == (200, HTML), answer.text
    return " ".join(answer.text.split())


async def released(consenting: Consenting, handover: UUID) -> UUID:
    """The release by which the dossier of that handover left last."""
    fetched = await consenting.fetch(handover)
    assert fetched.status_code == 200, fetched.text
    rows = await consenting.rows("SELECT id FROM release WHERE handover = :of ORDER BY opened_at", of=handover)
    release: UUID = rows[-1].id
    return release


async def test_a_release_on_a_consent_is_noted_with_the_consent_its_date_and_no_content(consenting: Consenting) -> None:
    """Art. 5(2), 7(1) GDPR: the agency can show what it told, and that the person had agreed."""
    person = await consenting.a_person()
    items = [consenting.neighbours.put(SAID, category=of) for of in ("master_data", "master_data", "school")]
    consent = await consenting.given(person)
    handover = await consenting.proposed(person, items)
    release = await released(consenting, handover)
    said = await note(consenting, release)
    day = datetime.now(GERMANY).strftime("%d.%m.%Y")
    for expected in (
        "Jobcenter Musterland (SGB II (Grundsicherung))",
        "Jugendamt Landkreis Musterland (SGB VIII (Kinder- und Jugendhilfe))",
        "Hilfe nach SGB VIII",
        f"Übergabe {handover}",
        "<td>Stammdaten</td><td>2</td><td>0</td>",
        "<td>Schule</td><td>1</td><td>0</td>",
        f"Einwilligung (§ 67b SGB X) vom {day}, schriftlich, erklärt durch: Der junge Mensch selbst",
        f"(Kennung {consent})",
        "vollständig übermittelt",
        "Bündnis musterland, Version 1",
    ):
        assert expected in said, expected
    assert SAID not in said
    assert "Warum es erforderlich war" not in said


async def test_a_release_on_a_task_is_noted_with_the_task_and_why_it_was_necessary(consenting: Consenting) -> None:
    """§ 69(1) Nr. 1 SGB X. Who has said so is on record, and not in a paper that others come to read."""
    person = await consenting.a_person()
    handover = await consenting.proposed(person, [consenting.neighbours.put(category="contact")])
    await state(consenting, person, handover, necessity=f"{WORD} <b>geht</b> vor.", not_endangering=True)
    release = await released(consenting, handover)
    await state(consenting, person, handover, necessity="Später anders begründet.")
    said = await note(consenting, release)
    assert f"für die Aufgabe nach {TASK}" in said
    assert f"{WORD} &lt;b&gt;geht&lt;/b&gt; vor. Der Erfolg einer Hilfe wird nicht gefährdet" in said
    assert "Später anders" not in said
    assert "person:tests" not in said
    (row,) = await consenting.rows("SELECT stated_by FROM statutory_basis ORDER BY stated_at LIMIT 1")
    assert row.stated_by == "person:tests"


async def test_a_note_is_about_its_own_release_and_no_other(consenting: Consenting) -> None:
    person = await consenting.a_person()
    await consenting.given(person)
    first = await released(consenting, await consenting.proposed(person, [consenting.neighbours.put()]))
    others = [consenting.neighbours.put(), consenting.neighbours.put(category="school")]
    await released(consenting, await consenting.proposed(person, others))
    said = await note(consenting, first)
    assert "<td>Stammdaten</td><td>1</td>" in said
    assert "Schule" not in said


async def test_what_had_come_from_elsewhere_is_counted(consenting: Consenting) -> None:
    person = await consenting.a_person()
    items = [consenting.neighbours.put(), consenting.neighbours.put(received_by=str(new_id()))]
    await consenting.given(person)
    release = await released(consenting, await consenting.proposed(person, items))
    assert "<td>Stammdaten</td><td>2</td><td>1</td>" in await note(consenting, release)


async def test_of_what_a_restored_database_knows_from_the_fact_alone_the_note_says_so(consenting: Consenting) -> None:
    person = await consenting.a_person()
    await consenting.given(person)
    release = await released(consenting, await consenting.proposed(person, [consenting.neighbours.put()]))
    await consenting.rows("UPDATE ledger SET category = NULL, hash = NULL, bases = '[]'")
    await consenting.rows("UPDATE release SET alliance_version = 0, completeness = 'unknown'")
    said = await note(consenting, release)
    assert said.count("nicht mehr bekannt") == 3
    assert "wie viel angekommen ist, ist nicht bekannt" in said


async def test_a_note_prints_as_it_is_and_fetches_nothing(consenting: Consenting) -> None:
    person = await consenting.a_person()
    await consenting.given(person)
    release = await released(consenting, await consenting.proposed(person, [consenting.neighbours.put()]))
    said = await note(consenting, release)
    assert "@page { size: A4" in said
    assert '<html lang="de">' in said
    assert not [word for word in ("<script", "<link", "src=", "://") if word in said]


async def test_a_note_of_many_items_is_one_question_to_the_database(consenting: Consenting) -> None:
    person = await consenting.a_person()
    items = [consenting.neighbours.put() for _ in range(30)]
    await consenting.given(person)
    release = await released(consenting, await consenting.proposed(person, items))
    statements = counted(consenting.engine)
    assert "<td>Stammdaten</td><td>30</td>" in await note(consenting, release)
    assert len([each for each in statements if "FROM release" in each]) == len(statements) == 1


async def test_notes_are_for_the_agencys_own_staff_and_of_releases_that_were(consenting: Consenting) -> None:
    person = await consenting.a_person()
    await consenting.given(person)
    release = await released(consenting, await consenting.proposed(person, [consenting.neighbours.put()]))
    for role, expected in ((Role.DATA_PROTECTION_OFFICER, 200), (Role.COORDINATION, 403), (Role.YOUNG_PERSON, 403)):
        answer = await consenting.client.get(f"/releases/{release}/note", headers=token(role))
        assert answer.status_code == expected, role
    gone = await consenting.client.get(f"/releases/{new_id()}/note", headers=token(Role.CASEWORKER))
    assert (gone.status_code, gone.json()["type"]) in {
        (404, "/problems/consent/unknown-release"), (409, "/problems/consent/not-heard-of-yet")
    }
