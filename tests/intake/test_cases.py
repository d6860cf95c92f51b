"""Cases over HTTP on a real database: what is kept, what is shown to whom, what is told, what an end erases."""

import asyncio
import json
import unicodedata
from dataclasses import replace
from uuid import UUID

import pytest

from chassis.executor import Step
from contracts.codes import DataCategory, HandoverState, Role, Side
from contracts.consent import ConsentErasureDemanded
from contracts.handover import HandoverChanged
from contracts.ids import DutyId, HandoverRef, ItemId, ReleaseId
from contracts.new_ids import new_id
from services.intake.domain.case import DossierReason
from services.intake.domain.commands import NoteRefusal, ReachAgeBand
from services.intake.domain.items import Part
from services.intake.store import CASE
from tests.intake.builders import changed, store
from tests.intake.conftest import Intake, somebody

S = HandoverState
ITEM = {"category": "school", "content": {"school": "Musterschule", "grade": 10}}
NEED = {"code": "training_search", "severity": 2}
WHOLE = {"items": [ITEM], "needs": [NEED], "school": {"grade": 10}}


async def active(intake: Intake) -> str:
    case = str((await intake.registered(**WHOLE))["id"])
    await intake.command("PUT", f"/cases/{case}/contact-person", {"contact_person": "worker-1"})
    answer = await intake.command("POST", f"/cases/{case}/activation", {})
    assert answer.json()["state"] == "active", answer.text
    return case


async def announced(intake: Intake) -> UUID:
    event = changed(Side.RECEIVER, S.ACCEPTING, S.ACCEPTED)
    await intake.hear(event, 1)
    return event.handover


def moved(reference: UUID, before: S, state: S, *, lead: bool = False) -> HandoverChanged:
    return changed(Side.RECEIVER, before, state, handover=HandoverRef(reference), lead=lead)


# --- our own ----------------------------------------------------------------------------------------------------------


async def test_a_case_goes_from_registration_to_its_end(intake: Intake) -> None:
    case = await active(intake)
    await intake.command("POST", f"/cases/{case}/pause", {"reason": "illness", "review_on": "2100-01-01"})
    await intake.command("POST", f"/cases/{case}/resumption")
    await intake.command("POST", f"/cases/{case}/closing", {"destination": "training"})
    reopened = await intake.command("POST", f"/cases/{case}/reopening", {"reason": "Ausbildung abgebrochen"})
    assert reopened.json()["version"] == 7
    assert await intake.told() == [
        f"staffel.case.{fact}.v1"
        for fact in ("registered", "clarifying", "activated", "paused", "activated", "closed", "activated")
    ]


async def test_answers_of_commands_and_what_is_kept_of_them_name_nobody(intake: Intake) -> None:
    answer = await intake.registered(**WHOLE)
    assert set(answer) == {"id", "state", "version", "allowed", "person", "local_number", "warnings"}
    kept = await intake.rows("SELECT convert_from(body, 'UTF8') AS body FROM answer")
    told = await intake.rows("SELECT convert_from(payload, 'UTF8') AS body FROM event_log")
    for row in (*kept, *told):
        assert not {"Zora", "Zimt", "2009", "Gasse", "Musterschule"} & set(row.body.replace('"', " ").split())


async def test_a_caseworker_sees_the_person_and_coordination_nobody(intake: Intake) -> None:
    """R1, § 35 SGB I: whoever coordinates sees ids and codes, and nobody's data."""
    case = await active(intake)
    seen = (await intake.get(f"/cases/{case}")).json()
    assert (seen["person"]["family_name"], seen["phase"]) == ("Beispiel-Zimt", 2)
    assert [need["code"] for need in seen["needs"]] == ["training_search"]
    blind = (await intake.get(f"/cases/{case}", Role.COORDINATION)).json()
    assert blind["state"] == "active"
    assert [blind[name] for name in ("person", "local_number", "needs", "contact_person", "person_id")] == [None] * 5
    for path in ("/cases", f"/cases/{case}/items", f"/cases/{case}/contacts"):
        assert (await intake.get(path, Role.COORDINATION)).status_code == 403


async def test_a_case_is_found_by_its_local_number(intake: Intake) -> None:
    await intake.registered(local_number="A-17")
    made = (await intake.registered())["local_number"]
    found = (await intake.get("/cases", local_number=made)).json()
    assert [line["local_number"] for line in found["cases"]] == [made]
    everything = (await intake.get("/cases", limit=1)).json()
    rest = (await intake.get("/cases", after=everything["next"])).json()
    assert [len(everything["cases"]), len(rest["cases"]), rest["next"]] == [1, 1, None]


async def test_a_local_number_is_given_once(intake: Intake) -> None:
    await intake.registered(local_number="A-17")
    again = await intake.command("POST", "/cases", {"person": somebody(), "local_number": "A-17"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/intake/local-number-taken")


async def test_names_are_stored_composed_and_duplicates_warned_of(intake: Intake) -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë")
    first = await intake.registered(person=somebody(given_names=decomposed))
    second = await intake.registered(person=somebody(given_names="zoë", family_name="BEISPIEL-ZIMT"))
    assert (first["warnings"], second["warnings"]) == ([], ["possible-duplicate"])
    seen = (await intake.get(f"/cases/{first['id']}")).json()
    assert (seen["person"]["given_names"], seen["duplicates"]) == ("Zoë", [second["id"]])


async def test_the_same_person_registered_twice_at_once_is_warned_of(intake: Intake) -> None:
    both = await asyncio.gather(intake.registered(), intake.registered())
    assert ["possible-duplicate"] in [answer["warnings"] for answer in both]


async def test_what_is_known_has_category_flags_and_where_it_comes_from(intake: Intake) -> None:
    """R2, § 67a(2) SGB X: from the person first; where somebody else was asked, on which ground."""
    case = (await intake.registered())["id"]
    told_by_school = {
        "category": "health", "content": {"note": "Attest"}, "entrusted": True, "entruster": "guardian",
        "collected_from": "third_party", "collection_basis": "sgb_x_67a_2_2b",
    }
    added = await intake.command("POST", f"/cases/{case}/items", {"items": [told_by_school]})
    assert added.status_code == 200, added.text
    items = (await intake.get(f"/cases/{case}/items")).json()["items"]
    assert [item["part"] for item in items] == ["identity", "address", "contact", "other"]
    health = items[-1]
    assert (health["special"], health["entruster"], health["collection_basis"]) == (True, "guardian", "sgb_x_67a_2_2b")
    assert (health["content"], health["release"]) == ({"note": "Attest"}, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"category": "school", "content": {}, "collected_from": "third_party"},
        {"category": "school", "content": {}, "collection_basis": "consent"},
        {"category": "school", "content": {}, "entruster": "self"},
        {"category": "school", "content": {"text": "x" * 33_000}},
        {"category": "gossip", "content": {}},
        {"content": {}},
        {"category": "school", "content": "words"},
    ],
)
async def test_an_item_that_does_not_hold_together_is_refused(intake: Intake, wrong: dict[str, object]) -> None:
    answer = await intake.command("POST", "/cases", {"person": somebody(), "items": [wrong]})
    assert answer.status_code == 422
    assert "gossip" not in answer.text


@pytest.mark.parametrize(
    "person",
    [
        somebody(given_names="   "),
        somebody(given_names="Zo\u202era"),
        somebody(given_names="Zora\U0001f600"),
        somebody(given_names="x" * 201),
        somebody(birth_date="2009-05-04T00:00:00Z"),
        somebody(birth_date=1241395200),
        somebody(agency="other"),
        somebody(mail="zora"),
        somebody(birth_date="2999-01-01"),
        {},
    ],
)
async def test_nobody_is_registered_from_bad_input_and_nothing_of_it_is_repeated(
    intake: Intake, person: dict[str, object]
) -> None:
    answer = await intake.command("POST", "/cases", {"person": person})
    assert answer.status_code == 422
    assert "Zora" not in answer.text
    assert await intake.rows('SELECT 1 FROM "case"') == []


async def test_the_history_of_contacts_and_phases_stays_in_the_case(intake: Intake) -> None:
    case = await active(intake)
    tried = {"at": "2026-11-20T10:00:00+01:00", "channel": "phone", "reached": False}
    await intake.command("POST", f"/cases/{case}/contacts", tried)
    await intake.command("PUT", f"/cases/{case}/phase", {"phase": 4, "reason": "Schule abgebrochen"})
    await intake.command("PUT", f"/cases/{case}/school", {"grade": 10, "final_year": True})
    contacts = (await intake.get(f"/cases/{case}/contacts")).json()["contacts"]
    assert [(one["at"], one["by"], one["reached"]) for one in contacts] == [("2026-11-20T09:00:00Z", "worker-1", False)]
    history = await intake.rows("SELECT phase, source, reason FROM phase_change ORDER BY id")
    assert [tuple(row) for row in history] == [(2, "rule", None), (4, "hand", "Schule abgebrochen"), (3, "rule", None)]


async def test_a_need_is_seen_differently_and_resolved(intake: Intake) -> None:
    case = await active(intake)
    await intake.command("POST", f"/cases/{case}/needs", {"code": "debts", "severity": 1, "entrusted": True})
    await intake.command("POST", f"/cases/{case}/needs", {"code": "training_search", "severity": 3})
    resolved = await intake.command("DELETE", f"/cases/{case}/needs/debts")
    assert resolved.status_code == 200, resolved.text
    needs = (await intake.get(f"/cases/{case}")).json()["needs"]
    assert [(need["code"], need["severity"]) for need in needs] == [("training_search", 3)]


async def test_a_case_nobody_knows_is_not_found(intake: Intake) -> None:
    old = "01890000-0000-7000-8000-000000000000"
    assert (await intake.get(f"/cases/{old}")).status_code == 404
    assert (await intake.command("POST", f"/cases/{old}/resumption")).status_code == 404


async def test_a_stale_tab_changes_nothing(intake: Intake) -> None:
    case = await active(intake)
    stale = await intake.command("POST", f"/cases/{case}/needs", NEED, **{"If-Match": '"1"'})
    assert stale.status_code == 412


async def test_a_birthday_arms_the_next_one(intake: Intake) -> None:
    case = await active(intake)
    before = await intake.rows("SELECT due_at FROM deadline WHERE subject = :case", case=UUID(case))
    assert [row.due_at.isoformat() for row in before] == ["2027-05-03T22:00:00+00:00"]
    await intake.run(Step(CASE, UUID(case), ReachAgeBand()))
    assert (await intake.told())[-1] == "staffel.case.activated.v1"


async def test_the_receivers_first_contact_ends_our_lead(intake: Intake) -> None:
    case = await active(intake)
    await intake.hear(changed(Side.SENDER, S.ACCEPTED, S.ACTIVE, case=UUID(case), lead=False), 1)
    assert (await intake.get(f"/cases/{case}")).json()["state"] == "handed_over"
    assert (await intake.told())[-1] == "staffel.case.handed_over.v1"


# --- for own consent --------------------------------------------------------------------------------------------------


async def test_own_consent_reads_flags_and_contents_and_nobody_else_does(intake: Intake) -> None:
    case = (await intake.registered(items=[ITEM]))["id"]
    items = (await intake.get(f"/cases/{case}/items")).json()["items"]
    wanted = [item["id"] for item in items]
    flags = (await intake.items("flags", *wanted, new_id())).json()
    assert [row["id"] for row in flags] == wanted
    assert set(flags[0]) == {
        "id", "category", "entrusted", "special", "professional_secret", "entruster", "hash", "person", "received_by",
        "source_item",
    }
    assert flags[0]["person"] == (await intake.get(f"/cases/{case}")).json()["person_id"]
    said = (await intake.items("content", wanted[-1])).json()[0]
    assert json.loads(said["content"]) == ITEM["content"]
    assert (said["collected_from"], said["received_by"]) == ("person", None)
    by_a_person = await intake.client.post("/internal/items/content", json={"items": wanted})
    assert by_a_person.status_code == 401
    caseworker = await intake.command("POST", "/internal/items/content", {"items": wanted})
    assert caseworker.status_code == 403


async def test_a_protected_address_is_in_nothing_that_is_handed_out(intake: Intake) -> None:
    """§ 51 BMG: neither as an item nor in words that quote it."""
    note = {"category": "needs", "content": {"note": "Wohnt jetzt:\nERFUNDENE Gasse 7"}}
    case = (await intake.registered(items=[ITEM, note]))["id"]
    wanted = [item["id"] for item in (await intake.get(f"/cases/{case}/items")).json()["items"]]
    assert len((await intake.items("content", *wanted)).json()) == 5
    protected = await intake.command("PUT", f"/cases/{case}/address-protection", {"protected": True})
    assert protected.status_code == 200
    for path in ("content", "flags"):
        left = await intake.items(path, *wanted)
        assert len(left.json()) == 3
        assert "gasse" not in left.text.casefold()


async def test_words_hang_on_a_handover_reference_without_a_case(intake: Intake) -> None:
    reference = new_id()
    words = {"category": "needs", "content": {"text": "Bitte nachmittags anrufen."}}
    answer = await intake.command("POST", f"/handovers/{reference}/words", {"words": words})
    assert answer.status_code == 201, answer.text
    named = answer.json()
    assert (named["id"], named["bytes"], len(named["hash"])) == (str(reference), 37, 64)
    assert (await intake.items("content", named["item"])).json()[0]["hash"] == named["hash"]
    again = await intake.command("POST", f"/handovers/{reference}/words", {"words": words})
    assert (again.json()["version"], again.json()["hash"] != named["hash"]) == (2, True)


# --- received ---------------------------------------------------------------------------------------------------------


async def test_an_acceptance_heard_twice_makes_one_case(intake: Intake) -> None:
    event = changed(Side.RECEIVER, S.ACCEPTING, S.ACCEPTED)
    await intake.hear(event, 1, again := new_id())
    await intake.hear(event, 1, again)
    await intake.hear(event.model_copy(update={"before": S.CANCELLING}), 2)
    assert [row.state for row in await intake.rows('SELECT state FROM "case"')] == ["announced"]
    assert await intake.told() == ["staffel.case.announced.v1"]
    assert len(await intake.rows("SELECT 1 FROM errand")) == 1


async def test_a_dossier_keeps_its_provenance_item_by_item(intake: Intake) -> None:
    """R3, §§ 67c, 78 SGB X: for which purpose and on which basis it came is kept with each item."""
    reference = await announced(intake)
    dossier = store(reference, (DataCategory.SCHOOL, '{"school":"Musterschule"}'))
    await intake.run(Step(CASE, reference, dossier))
    items = (await intake.get(f"/cases/{reference}/items")).json()["items"]
    assert len(items) == 4
    for item in items:
        assert (item["release"], item["source_agency"], item["bases"]) == (
            str(dossier.release), "jobcenter", ["consent_sgb_x_67b"],
        )
    seen = (await intake.get(f"/cases/{reference}")).json()
    assert (seen["state"], seen["person"]["given_names"], seen["dossier"]) == ("registered", "Zora", "stored")
    content = (await intake.items("content", items[0]["id"])).json()[0]
    assert content["received_by"] == str(dossier.release)


async def received_bytes(intake: Intake) -> int:
    """Everything in the database that came by a release: contents, and persons known from one."""
    (row,) = await intake.rows(
        "SELECT (SELECT count(*) FROM person WHERE release IS NOT NULL) + "
        "coalesce((SELECT sum(octet_length(content)) FROM item WHERE release IS NOT NULL), 0) AS bytes"
    )
    return int(row.bytes)


async def test_an_end_that_purges_leaves_no_received_byte(intake: Intake) -> None:
    reference = await announced(intake)
    await intake.run(Step(CASE, reference, store(reference)))
    assert await received_bytes(intake) > 0
    await intake.hear(moved(reference, S.ACCEPTED, S.GIVEN_BACK), 2)
    assert await received_bytes(intake) == 0
    shown = (await intake.get(f"/cases/{reference}/dossier")).json()
    assert (shown["state"], shown["received_items"], shown["received_bytes"]) == ("ended", 0, 0)
    assert shown["releases"][0]["erased_at"] is not None
    assert await intake.rows("SELECT 1 FROM need") == []
    assert (await intake.told())[-2:] == ["staffel.case.discarded.v1", "staffel.case.items_erased.v1"]


async def test_what_is_our_own_outlives_the_purge(intake: Intake) -> None:
    reference = await announced(intake)
    await intake.run(Step(CASE, reference, store(reference)))
    await intake.command("POST", f"/cases/{reference}/items", {"items": [ITEM]})
    await intake.hear(moved(reference, S.ACCEPTED, S.VOIDED), 2)
    assert await received_bytes(intake) == 0
    seen = (await intake.get(f"/cases/{reference}")).json()
    assert (seen["state"], seen["person"]) == ("registered", None)
    assert len((await intake.get(f"/cases/{reference}/items")).json()["items"]) == 1


async def test_a_stop_keeps_the_dossier_until_consent_demands_its_erasure(intake: Intake) -> None:
    reference = await announced(intake)
    dossier = store(reference)
    await intake.run(Step(CASE, reference, dossier))
    await intake.hear(moved(reference, S.ACTIVE, S.STOPPED, lead=True), 2)
    assert await received_bytes(intake) > 0
    demand = ConsentErasureDemanded(
        handover=HandoverRef(reference), duty=DutyId(new_id()), releases=(ReleaseId(dossier.release),), items=()
    )
    await intake.hear(demand, 1)
    assert await received_bytes(intake) == 0
    (told,) = await intake.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb AS body FROM event_log WHERE type LIKE '%items_erased%'"
    )
    assert told.body["duty"] == str(demand.duty)
    assert len(told.body["items"]) == len(dossier.items)


async def test_of_a_release_only_the_items_go_whose_basis_has_ended_and_what_they_said_of_the_person(
    intake: Intake,
) -> None:
    reference = await announced(intake)
    dossier = store(reference)
    await intake.run(Step(CASE, reference, dossier))
    contact = next(item for item in dossier.items if item.part is Part.CONTACT)
    before = (await intake.get(f"/cases/{reference}")).json()["person"]
    assert before["phone"] is not None
    assert contact.provenance is not None
    demand = ConsentErasureDemanded(
        handover=HandoverRef(reference), duty=DutyId(new_id()), releases=(ReleaseId(dossier.release),), items=(),
        basis_ended=(ItemId(contact.provenance.source_item),),
    )
    await intake.hear(demand, 1)
    left = (await intake.get(f"/cases/{reference}/items")).json()["items"]
    assert {item["part"] for item in left} == {str(item.part) for item in dossier.items} - {"contact"}
    person = (await intake.get(f"/cases/{reference}")).json()["person"]
    assert (person["given_names"], person["phone"]) == (before["given_names"], None)
    (told,) = await intake.rows(
        "SELECT convert_from(payload, 'UTF8')::jsonb AS body FROM event_log WHERE type LIKE '%items_erased%'"
    )
    assert told.body["items"] == [str(contact.provenance.source_item)]


async def test_own_records_made_since_the_dossier_came_are_listed_for_a_human_before_and_after_it_is_erased(
    intake: Intake,
) -> None:
    reference = await announced(intake)
    dossier = store(reference)
    await intake.run(Step(CASE, reference, dossier))
    assert (await intake.get(f"/cases/{reference}/derived")).json()["records"] == []
    await intake.command("POST", f"/cases/{reference}/items", {"items": [ITEM]})
    assert len((await intake.get(f"/cases/{reference}/derived")).json()["records"]) == 1
    await intake.hear(ConsentErasureDemanded(
        handover=HandoverRef(reference), duty=DutyId(new_id()), releases=(ReleaseId(dossier.release),), items=()
    ), 1)
    (record,) = (await intake.get(f"/cases/{reference}/derived")).json()["records"]
    (own,) = (await intake.get(f"/cases/{reference}/items")).json()["items"]
    assert (record["item"], record["category"]) == (own["id"], own["category"])


async def test_a_dossier_that_was_to_be_erased_before_it_came_is_dropped(intake: Intake) -> None:
    reference = await announced(intake)
    dossier = store(reference)
    demand = ConsentErasureDemanded(
        handover=HandoverRef(reference), duty=DutyId(new_id()), releases=(ReleaseId(dossier.release),), items=()
    )
    await intake.hear(demand, 1)
    await intake.run(Step(CASE, reference, dossier))
    assert await received_bytes(intake) == 0
    shown = (await intake.get(f"/cases/{reference}/dossier")).json()
    assert (shown["state"], shown["releases"][0]["stored_at"]) == ("pending", None)


async def test_a_dossier_that_comes_after_the_end_is_dropped_unread(intake: Intake) -> None:
    reference = await announced(intake)
    await intake.hear(moved(reference, S.ACCEPTED, S.NOT_REACHED), 2)
    await intake.run(Step(CASE, reference, store(reference)))
    assert await received_bytes(intake) == 0
    assert await intake.rows("SELECT 1 FROM item") == []
    assert await intake.rows("SELECT 1 FROM received_release") == []


async def test_an_item_id_that_another_agency_chose_hits_no_row_of_ours(intake: Intake) -> None:
    own = (await intake.registered(items=[ITEM]))["id"]
    before = (await intake.get(f"/cases/{own}/items")).json()["items"]
    reference = await announced(intake)
    dossier = store(reference)
    first = dossier.items[0]
    assert first.provenance is not None
    forged = replace(first, provenance=replace(first.provenance, source_item=UUID(before[0]["id"])))
    await intake.run(Step(CASE, reference, replace(dossier, items=(forged,))))
    assert (await intake.get(f"/cases/{own}/items")).json()["items"] == before


async def test_a_refused_dossier_is_shown_and_asked_for_again(intake: Intake) -> None:
    reference = await announced(intake)
    await intake.run(Step(CASE, reference, NoteRefusal(DossierReason.NOT_OPEN)))
    shown = (await intake.get(f"/cases/{reference}/dossier", Role.COORDINATION)).json()
    assert (shown["state"], shown["reason"]) == ("refused", "not_open")
    again = await intake.command("POST", f"/cases/{reference}/dossier")
    assert again.status_code == 200, again.text
    assert (await intake.get(f"/cases/{reference}/dossier")).json()["state"] == "pending"


async def test_who_comes_before_the_dossier_is_registered_by_hand(intake: Intake) -> None:
    reference = await announced(intake)
    answer = await intake.command("POST", f"/cases/{reference}/registration", {"person": somebody(), **WHOLE})
    assert answer.status_code == 200, answer.text
    assert answer.json()["person"] == str(reference)
    await intake.run(Step(CASE, reference, store(reference)))
    seen = (await intake.get(f"/cases/{reference}")).json()
    assert (seen["person"]["release"], seen["dossier"]) == (None, "stored")
    await intake.hear(moved(reference, S.ACCEPTED, S.GIVEN_BACK), 2)
    kept = (await intake.get(f"/cases/{reference}")).json()
    assert (kept["state"], kept["person"]["given_names"]) == ("registered", "Zora")
