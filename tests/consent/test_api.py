"""The consent service over HTTP, on a real database: from a notice to a release and a withdrawal."""

import asyncio
import contextlib
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import standing
from chassis.executor import Bug, Inner, Work
from chassis.http.send import Aborted
from contracts.codes import DutyAnswer, HandoverState, Kind, Role, Side, Trigger, Urgency
from contracts.consent import ConsentDataAnswered, ConsentStorageConfirmed, ConsentWithdrawalNotified
from contracts.handover import HandoverChanged, HandoverProposed
from contracts.ids import AllianceId, CaseId, DutyId, HandoverRef, ItemId, PersonId, ReleaseId
from contracts.intake import CaseDossierStored, CaseItemsErased, StoredItem
from contracts.new_ids import new_id
from services.consent.door import intend, neighbours, sweeper
from services.consent.door import releasing as release_room
from services.consent.store import leases
from tests.conftest import Say
from tests.consent.builders import JUGENDAMT, MUSTER, PURPOSE
from tests.consent.conftest import DECLARED, Consenting, opened, token
from tests.turns import ALL

HELD_SECONDS = 0.05  # a reader has the person's row so long
WITHDRAWN_SECONDS_MAX = 3.0  # the promise, for 99 of 100 withdrawals


async def test_a_dossier_leaves_only_after_consent_and_acceptance(consenting: Consenting) -> None:
    """R5, § 67b(1) SGB X; § 67d SGB X: no consent, no byte; no acceptance, no byte."""
    person = await consenting.a_person()
    item = consenting.neighbours.put("Zora Beispiel-Zimt")
    handover = await consenting.proposed(person, [item], HandoverState.REQUESTED)
    assert (await consenting.get(f"/handovers/{handover}/transmission"))["state"] == "denied"
    assert (await consenting.fetch(handover)).json()["type"] == "/problems/consent/not-open"
    consenting.neighbours.handovers[handover] = HandoverState.ACCEPTED
    nothing = await consenting.fetch(handover)
    assert (nothing.status_code, nothing.json()["type"]) == (403, "/problems/consent/nothing-permitted")

    await consenting.given(person)
    answer = await consenting.fetch(handover)
    assert answer.status_code == 200, answer.text
    dossier = opened(answer.content)
    assert dossier["completeness"] == "complete"
    assert [(each["id"], each["content"], each["bases"]) for each in dossier["items"]] == [
        (str(item), "Zora Beispiel-Zimt", ["consent_sgb_x_67b"])
    ]
    assert b"Zora" not in answer.content


async def a_story(consenting: Consenting) -> tuple[UUID, UUID, str, UUID]:
    """Person, item, consent and an accepted handover: everything is permitted."""
    person = await consenting.a_person()
    item = consenting.neighbours.put()
    consent = await consenting.given(person)
    return person, item, consent, await consenting.proposed(person, [item])


# --- the door ---------------------------------------------------------------------------------------------------------


async def test_whoever_is_not_the_recipient_learns_nothing(consenting: Consenting) -> None:
    *_, handover = await a_story(consenting)
    for answer in (await consenting.fetch(handover, agency="agentur"), await consenting.fetch(new_id())):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/consent/unknown-handover")
    unsigned = await consenting.client.post("/releases", json={"handover": str(handover)})
    assert unsigned.status_code == 401
    person = await consenting.client.post("/releases", json={"handover": str(handover)}, headers=token(Role.CASEWORKER))
    assert person.status_code == 403


async def test_the_door_asks_own_handover_and_intake_each_time(consenting: Consenting) -> None:
    *_, handover = await a_story(consenting)
    for service in ("handover", "intake"):
        consenting.neighbours.down = {service}
        answer = await consenting.fetch(handover)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/consent/unreachable")
        assert "retry-after" in answer.headers
    consenting.neighbours.down = set()
    for state in HandoverState:
        consenting.neighbours.handovers[handover] = state
        wanted = 200 if state in {HandoverState.ACCEPTED, HandoverState.ACTIVE, HandoverState.PAUSED} else 409
        assert (await consenting.fetch(handover)).status_code == wanted, state


async def test_the_door_waits_for_no_neighbour_that_answers_byte_by_byte(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, handover = await a_story(consenting)
    monkeypatch.setattr(neighbours, "ANSWER_SECONDS", 0.2)
    consenting.neighbours.drips = True
    answer = await consenting.fetch(handover)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/consent/unreachable")


async def test_each_fetch_is_a_decision_of_its_own_and_a_line_of_the_ledger(consenting: Consenting) -> None:
    """R16, R17, Art. 5(2), 15, 30 GDPR: who was told what, when and on which basis, line by line."""
    person, item, _, handover = await a_story(consenting)
    first, second = await consenting.fetch(handover), await consenting.fetch(handover)
    assert opened(first.content)["release"] != opened(second.content)["release"]
    ledger = (await consenting.get(f"/persons/{person}/releases"))["releases"]
    assert [(each["recipient"], each["completeness"], each["items"][0]["id"]) for each in ledger] == [
        ("jugendamt", "complete", str(item))
    ] * 2
    assert all(each["closed_at"] is not None for each in ledger)
    assert (await consenting.told())[-2:] == [("jobcenter.consent.events", "transmission.released")] * 2


async def test_flags_set_after_the_decision_count_at_the_door(consenting: Consenting) -> None:
    _, item, _, handover = await a_story(consenting)
    consenting.neighbours.items[item]["entrusted"] = True
    answer = await consenting.fetch(handover)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/consent/nothing-permitted")
    refused = await consenting.rows(
        "SELECT reason FROM decision_item JOIN decision ON id = decision ORDER BY decision DESC LIMIT 1"
    )
    assert refused[0].reason == "entrusted"


async def test_what_is_permitted_leaves_without_what_is_not(consenting: Consenting) -> None:
    person = await consenting.a_person()
    items = [consenting.neighbours.put(), consenting.neighbours.put("Vorstrafe", category="offences")]
    await consenting.given(person)
    handover = await consenting.proposed(person, items)
    dossier = opened((await consenting.fetch(handover)).content)
    assert (dossier["completeness"], [each["id"] for each in dossier["items"]]) == ("reduced", [str(items[0])])


async def test_what_the_recipient_has_stored_is_not_given_out_again(consenting: Consenting) -> None:
    _, item, _, handover = await a_story(consenting)
    release = opened((await consenting.fetch(handover)).content)["release"]
    await consenting.hear("musterland.jugendamt.to.jobcenter.consent", ConsentStorageConfirmed(
        handover=HandoverRef(handover), release=ReleaseId(UUID(release)), items=(ItemId(item),)
    ))
    again = await consenting.fetch(handover)
    assert (again.status_code, again.json()["type"]) == (410, "/problems/consent/already-stored")


async def test_what_does_not_fit_into_one_answer_is_fetched_after_the_rest_was_stored(consenting: Consenting) -> None:
    person = await consenting.a_person()
    items = [consenting.neighbours.put("x" * 100_000) for _ in range(3)]
    await consenting.given(person)
    handover = await consenting.proposed(person, items)
    answer = await consenting.fetch(handover)
    dossier = opened(answer.content)
    assert (dossier["completeness"], len(dossier["items"])) == ("more", 1)
    assert len(answer.content) < 256 * 1024
    consenting.neighbours.items[items[0]]["content"] = "x" * 200_000
    too_large = await consenting.fetch(handover, items=[items[0]])
    assert (too_large.status_code, too_large.json()["type"]) == (413, "/problems/consent/too-large")


async def test_a_slow_line_is_given_little_at_once_and_the_smallest_first(consenting: Consenting) -> None:
    person = await consenting.a_person()
    weights = [9_000, 100, 30_000, 2_000]
    items = {weight: consenting.neighbours.put("x" * weight) for weight in weights}
    await consenting.given(person)
    handover = await consenting.proposed(person, list(items.values()))
    came = []
    for at_most in (5_000, 5_000, 5_000):
        dossier = opened((await consenting.fetch(handover, bytes_at_most=at_most)).content)
        came.append((dossier["completeness"], {len(item["content"]) for item in dossier["items"]}))
        await consenting.hear("musterland.jugendamt.to.jobcenter.consent", ConsentStorageConfirmed(
            handover=HandoverRef(handover), release=ReleaseId(UUID(dossier["release"])),
            items=tuple(ItemId(UUID(item["id"])) for item in dossier["items"]),
        ))
    assert came == [("more", {100, 2_000}), ("more", {9_000}), ("complete", {30_000})]
    for nonsense in (0, 184_321, "many"):
        assert (await consenting.fetch(handover, bytes_at_most=nonsense)).status_code == 422


async def test_an_item_that_fits_into_no_answer_is_in_nobodys_way(consenting: Consenting) -> None:
    person = await consenting.a_person()
    items = [consenting.neighbours.put("x" * 200_000), consenting.neighbours.put("y")]
    await consenting.given(person)
    handover = await consenting.proposed(person, items)
    dossier = opened((await consenting.fetch(handover)).content)
    assert (dossier["completeness"], [item["content"] for item in dossier["items"]]) == ("more", ["y"])


async def test_a_basis_that_ends_soon_shortens_the_lease(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, handover = await a_story(consenting)
    await consenting.rows("UPDATE consent_grant SET valid_until = clock_timestamp() + interval '700 milliseconds'")
    found: list[float] = []

    def noted(*arguments: Any) -> Any:
        answer = real(*arguments)
        found.append(answer.deadline - monotonic())
        return answer

    real = release_room._answer
    monkeypatch.setattr(release_room, "_answer", noted)
    assert (await consenting.fetch(handover)).status_code == 200
    assert 0 < found[0] < 0.7
    await asyncio.sleep(0.75)
    assert (await consenting.fetch(handover)).status_code == 403


async def test_a_lease_counts_from_before_anybody_was_asked(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever takes time in between is time the lease has no more: it may only be shorter than it looks."""
    *_, handover = await a_story(consenting)
    asked_at: list[float] = []
    deadlines: list[float] = []

    async def asked(*arguments: Any) -> Any:
        asked_at.append(monotonic())
        return await neighbours.standing_of(*arguments)

    def noted(*arguments: Any) -> Any:
        answer = answered(*arguments)
        deadlines.append(answer.deadline)
        return answer

    answered = release_room._answer
    monkeypatch.setattr(release_room, "standing_of", asked)
    monkeypatch.setattr(release_room, "_answer", noted)
    assert (await consenting.fetch(handover)).status_code == 200
    assert deadlines[0] <= asked_at[0] + release_room.LEASE_SECONDS


async def test_a_release_that_is_being_opened_keeps_the_withdrawal_out(consenting: Consenting) -> None:
    person = await consenting.a_person()
    database = consenting.resources.tools.engine
    async with database.begin() as tx, database.connect() as other:
        await leases.hold_person(tx, PersonId(person))
        with pytest.raises(DBAPIError, match="could not obtain lock"):
            await other.execute(sa.text("SELECT FROM person FOR UPDATE NOWAIT"))


async def test_where_the_ledger_cannot_be_written_nothing_leaves(consenting: Consenting) -> None:
    """Art. 5(2) GDPR: who was told what is known before the first byte, or there is none."""
    _, _, _, handover = await a_story(consenting)
    await consenting.rows("ALTER TABLE ledger ADD CONSTRAINT nothing CHECK (false) NOT VALID")
    answer = await consenting.fetch(handover)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert await consenting.rows("SELECT 1 FROM release") == []


# --- withdrawing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readers", "withdrawals"),
    [(100, 1), pytest.param(16, 150, marks=[pytest.mark.prove, pytest.mark.seats(ALL), pytest.mark.timeout(900)])],
)
async def test_overlapping_readers_do_not_starve_a_withdrawal(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch, say: Say, readers: int, withdrawals: int
) -> None:
    """Each holds the person's row for a while, and the next is there before it lets go; Kafka is not even running.

    Without the intent that is written down first the withdrawal would wait for the last of them, and they end only when
    it is answered. How long it takes is measured where the machine is ours.
    """
    hold, seconds = leases.open_lease, list[float]()

    async def held(tx: AsyncConnection, lease: leases.Lease, now: datetime) -> None:
        await asyncio.sleep(HELD_SECONDS)
        await hold(tx, lease, now)

    monkeypatch.setattr(leases, "open_lease", held)
    for _ in range(withdrawals):
        person, _, consent, handover = await a_story(consenting)
        stop = asyncio.Event()
        reading = [asyncio.create_task(reads(consenting, handover, stop)) for _ in range(readers)]
        await asyncio.sleep(4 * HELD_SECONDS)
        began = monotonic()
        answer = await consenting.withdraw(person, consent)
        seconds.append(monotonic() - began)
        stop.set()
        await asyncio.gather(*reading)
        assert answer.status_code == 200
    p99 = sorted(seconds)[int(len(seconds) * 0.99)]
    say(f"{withdrawals} withdrawals under {readers} overlapping readers: p99 {p99:.2f} s, longest {max(seconds):.2f} s")
    assert withdrawals == 1 or p99 < WITHDRAWN_SECONDS_MAX


async def reads(consenting: Consenting, handover: UUID, stop: asyncio.Event) -> None:
    """Asks again and again; on a busy machine an answer may be over before all of it has left."""
    while not stop.is_set():
        with contextlib.suppress(Aborted):
            await consenting.fetch(handover)


async def test_after_a_withdrawal_nothing_leaves_and_the_recipient_is_told(consenting: Consenting) -> None:
    """R8, Art. 7(3), 19 GDPR; § 67b(2) SGB X: from the answer on no byte leaves, and the recipient is told at once."""
    person, _, consent, handover = await a_story(consenting)
    assert (await consenting.fetch(handover)).status_code == 200
    answer = await consenting.withdraw(person, consent)
    assert (answer.status_code, answer.json()["state"], answer.json()["id"]) == (200, "withdrawn", consent)
    after = await consenting.fetch(handover)
    assert (after.status_code, after.json()["type"]) == (409, "/problems/consent/consent-withdrawn")
    assert (await consenting.told())[-3:] == [
        ("jobcenter.consent.events", "consent.withdrawn"),
        ("musterland.jobcenter.to.jugendamt.consent", "consent.withdrawal_notified"),
        ("jobcenter.consent.events", "transmission.ended"),
    ]
    duty = (await consenting.get("/duties", state="awaits"))["duties"][0]
    assert (duty["counterpart"], duty["side"], duty["overdue"]) == ("jugendamt", "sender", False)
    assert await consenting.rows("SELECT 1 FROM withdrawal_intent") == []


async def test_withdrawing_twice_gives_the_same_answer(consenting: Consenting) -> None:
    person, _, consent, _ = await a_story(consenting)
    body = {"person": str(person)}
    first = await consenting.command(f"/consents/{consent}/withdrawal", body, key="one")
    again = await consenting.command(f"/consents/{consent}/withdrawal", body, key="one")
    anew = await consenting.command(f"/consents/{consent}/withdrawal", body, key="two")
    assert first.json() == again.json() == anew.json()
    assert await consenting.rows("SELECT 1 FROM withdrawal_intent") == []


async def test_a_withdrawal_waits_for_a_lease_but_not_for_one_whose_process_died(consenting: Consenting) -> None:
    person, _, consent, handover = await a_story(consenting)
    await consenting.fetch(handover)
    await consenting.rows("UPDATE release SET closed_at = NULL, told = false")
    began = monotonic()
    assert (await consenting.withdraw(person, consent)).status_code == 200
    assert 2.1 < monotonic() - began < 3.5


async def test_the_door_stays_out_of_the_way_of_a_withdrawal_that_is_written_down(consenting: Consenting) -> None:
    person, _, consent, handover = await a_story(consenting)
    await intend(consenting.resources, person, UUID(consent), None)
    assert (await consenting.fetch(handover)).json()["type"] == "/problems/consent/consent-withdrawn"
    await sweep_once(consenting)
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "withdrawn"


async def test_a_withdrawal_is_refused_for_no_version_and_no_key(consenting: Consenting) -> None:
    person, _, consent, _ = await a_story(consenting)
    await consenting.command(f"/consents/{consent}/refusal", {"person": str(person)}, key="used")
    grant = (await consenting.get(f"/consents/{consent}"))["grants"][0]["id"]
    path, said = f"/consents/{consent}/withdrawal", {"Idempotency-Key": "used", **token(Role.CASEWORKER)}
    for version in ('"999"', "whatever"):
        part = {"person": str(person), "grants": [grant]}
        answer = await consenting.client.post(path, json=part, headers={**said, "If-Match": version})
        assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn"), answer.text
    other = await consenting.given(person)
    for body in ({"person": str(person)}, {"person": str(person), "grants": None}):
        answer = await consenting.client.post(f"/consents/{other}/withdrawal", json=body, headers=said)
        assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn"), answer.text


async def test_a_withdrawal_that_names_a_strange_grant_leaves_nothing_behind(consenting: Consenting) -> None:
    person, _, consent, handover = await a_story(consenting)
    own = (await consenting.get(f"/consents/{consent}"))["grants"][0]["id"]
    others = await consenting.given(await consenting.a_person())
    strange = (await consenting.get(f"/consents/{others}"))["grants"][0]["id"]
    for grants in ([own, strange], [strange], [str(new_id())]):
        answer = await consenting.withdraw(person, consent, grants=grants)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/consent/unknown-grant"), answer.text
        assert await consenting.rows("SELECT 1 FROM withdrawal_intent") == []
    assert (await consenting.fetch(handover)).status_code == 200


async def test_one_that_cannot_be_swept_is_logged_and_holds_up_nobody(
    consenting: Consenting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = await a_story(consenting), await a_story(consenting)
    for _, _, _, handover in (broken, whole):
        await consenting.fetch(handover)
    await consenting.rows("UPDATE release SET closed_at = NULL, told = false")
    for person, _, consent, _ in (broken, whole):
        await intend(consenting.resources, person, UUID(consent), None)
    run = consenting.executor.run

    async def fails_for_one(work: Work) -> Any:
        if isinstance(work.cause, Inner) and work.steps[0].subject == broken[0]:
            raise Bug("KeyError")
        return await run(work)

    monkeypatch.setattr(consenting.executor, "run", fails_for_one)
    sweeping = asyncio.create_task(sweeper.sweep(consenting.resources))
    for _ in range(100):
        await asyncio.sleep(0.05)
        told = await consenting.rows("SELECT person FROM release WHERE told")
        if told and (await consenting.get(f"/consents/{whole[2]}"))["state"] == "withdrawn":
            break
    assert not sweeping.done(), "a row that fails does not end the sweeper"
    sweeping.cancel()
    assert [row.person for row in told] == [whole[0]]
    assert (await consenting.get(f"/consents/{whole[2]}"))["state"] == "withdrawn"
    await consenting.rows("UPDATE withdrawal_intent SET intended_at = intended_at - interval '100 seconds'")
    await consenting.rows("UPDATE release SET opened_at = opened_at - interval '200 seconds'")
    assert [age // 100 for age in await undone(consenting)] == [1, 2], "the alarm for it rings"
    named = {(record.getMessage(), getattr(record, "subject", None)) for record in caplog.records}
    assert {("release cannot be told", str(broken[0])), ("withdrawal cannot be carried out", str(broken[0]))} <= named


async def test_a_release_whose_process_died_is_closed_and_told_as_unknown(consenting: Consenting) -> None:
    person, _, _, handover = await a_story(consenting)
    await consenting.fetch(handover)
    await consenting.rows("UPDATE release SET closed_at = NULL, told = false")
    await sweep_once(consenting)
    assert await undone(consenting) == [0, 0]
    assert (await consenting.get(f"/persons/{person}/releases"))["releases"][0]["completeness"] == "unknown"
    assert (await consenting.told())[-1] == ("jobcenter.consent.events", "transmission.released")


async def undone(consenting: Consenting) -> list[float]:
    """Ages of the oldest withdrawal that was not carried out, and of the oldest release nothing was said of."""
    async with consenting.engine.connect() as tx:
        return list((await standing.ages(tx, consenting.service.undone)).values())


async def sweep_once(consenting: Consenting) -> None:
    """The sweeper's loop, with its rounds close together, until nothing is left."""
    task = asyncio.create_task(sweeper.sweep(consenting.resources))
    try:
        for _ in range(100):
            await asyncio.sleep(0.05)
            left = "SELECT id FROM release WHERE NOT told UNION SELECT id FROM withdrawal_intent"
            if not await consenting.rows(left):
                return
        pytest.fail("something is left")
    finally:
        task.cancel()


@pytest.fixture(autouse=True)
def _rounds_close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", 0.05)


# --- hearing ----------------------------------------------------------------------------------------------------------


async def test_the_receiver_confirms_storage_owes_an_answer_and_gives_it(consenting: Consenting) -> None:
    handover, release_id, duty, item = HandoverRef(new_id()), ReleaseId(new_id()), DutyId(new_id()), ItemId(new_id())
    changed = HandoverChanged(
        handover=handover, case=None, side=Side.RECEIVER, alliance=MUSTER, counterpart=JUGENDAMT, kind=Kind.TRANSFER,
        purpose=PURPOSE, urgency=Urgency.NORMAL, before=HandoverState.ACCEPTING, state=HandoverState.ACCEPTED,
        on=Trigger.ACCEPTANCE_CONFIRMED, lead=False, recorded=None, preview=None,
    )
    stored = CaseDossierStored(
        case=CaseId(handover), handover=handover, release=release_id, items=(StoredItem(id=item, hash="0" * 64),)
    )
    await consenting.hear("jobcenter.handover.events", changed)
    await consenting.hear("jobcenter.intake.events", stored)
    assert await consenting.told() == [("musterland.jobcenter.to.jugendamt.consent", "consent.storage_confirmed")]
    await consenting.hear("musterland.jugendamt.to.jobcenter.consent", ConsentWithdrawalNotified(
        handover=handover, duty=duty, releases=(release_id,), answer_by=datetime(2026, 1, 1, tzinfo=UTC)
    ))
    overdue = (await consenting.get("/duties", overdue="true"))["duties"]
    assert [(each["state"], each["overdue"]) for each in overdue] == [("owes", True)]
    await consenting.hear("jobcenter.intake.events", CaseItemsErased(
        case=CaseId(handover), handover=handover, duty=duty, items=(item,)
    ))
    assert (await consenting.told())[-1] == ("musterland.jobcenter.to.jugendamt.consent", "consent.data_answered")
    assert (await consenting.get("/duties", overdue="true"))["duties"] == []
    assert await consenting.parked() == []


async def test_news_about_a_handover_that_is_none_of_ours_waits_for_a_human(consenting: Consenting) -> None:
    strange = HandoverRef(new_id())
    for event in (
        ConsentStorageConfirmed(handover=strange, release=ReleaseId(new_id()), items=(ItemId(new_id()),)),
        ConsentDataAnswered(handover=HandoverRef(new_id()), duty=DutyId(new_id()), answer=DutyAnswer.ERASED, norm=None),
    ):
        await consenting.hear("musterland.jugendamt.to.jobcenter.consent", event)
    assert sorted(await consenting.parked()) == ["unknown-duty", "unknown-handover"]


async def test_a_handover_in_an_alliance_not_known_yet_waits_until_the_file_is_there(consenting: Consenting) -> None:
    await consenting.hear("jobcenter.handover.events", HandoverProposed(
        handover=HandoverRef(new_id()), case=CaseId(new_id()), person=PersonId(new_id()), alliance=AllianceId("other"),
        recipient=JUGENDAMT, kind=Kind.TRANSFER, purpose=PURPOSE, items=(ItemId(new_id()),),
    ))
    assert await consenting.parked() == ["unknown-alliance"]


async def test_a_grant_that_ends_is_noticed_by_the_databases_clock(consenting: Consenting) -> None:
    _, _, consent, handover = await a_story(consenting)
    await consenting.rows("UPDATE consent_grant SET valid_until = clock_timestamp()")
    await consenting.rows("UPDATE deadline SET due_at = clock_timestamp()")
    await consenting.fire_deadlines()
    assert (await consenting.get(f"/consents/{consent}"))["state"] == "expired"
    assert (await consenting.get(f"/handovers/{handover}/transmission"))["state"] == "ended"
    timeline = (await consenting.get(f"/handovers/{handover}/timeline"))["moments"]
    assert [(each["what"], each["said"]) for each in timeline] == [("decided", "1/1"), ("decided", "0/1")]


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_a_form_is_requested_then_declared_or_refused(consenting: Consenting) -> None:
    person = await consenting.a_person()
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    sheet = {
        "person": str(person), **DECLARED, "notice": await consenting.a_notice(),
        "grants": [grant],
    }
    first, second = [(await consenting.command("/consents/requests", sheet)).json()["id"] for _ in range(2)]
    declared = await consenting.command(f"/consents/{first}/declaration", sheet)
    assert (declared.status_code, declared.json()["state"]) == (200, "given")
    refused = await consenting.command(f"/consents/{second}/refusal", {"person": str(person)})
    assert (refused.json()["state"], refused.json()["allowed"]) == ("refused", ["WithdrawConsent", "WithdrawGrants"])
    found = (await consenting.get(f"/persons/{person}/consents"))["consents"]
    assert [each["state"] for each in found] == ["given", "refused"]


@pytest.mark.parametrize("left_out", ["insight", "young_person_heard"])
async def test_nothing_that_the_law_asks_about_a_declaration_is_assumed(consenting: Consenting, left_out: str) -> None:
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    body = {"person": str(await consenting.a_person()), **DECLARED, "notice": str(new_id()), "grants": [grant]}
    del body[left_out]
    answer = await consenting.command("/consents", body)
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"field": f"/{left_out}", "code": "missing"}])


async def test_a_newer_notice_in_the_same_language_is_the_one_to_consent_on(consenting: Consenting) -> None:
    person = await consenting.a_person()
    older = await consenting.a_notice()
    newer = {"language": "de", "plain_language": True, "text": "Neu.", "valid_from": "2026-02-01T00:00:00Z"}
    await consenting.command("/notices", newer, role=Role.TEAM_LEAD)
    grant = {"alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE, "categories": ["school"]}
    answer = await consenting.command("/consents", {
        "person": str(person), **DECLARED, "notice": older, "grants": [grant],
    })
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/consent/notice-not-current")
    assert len((await consenting.get("/notices", language="de"))["notices"]) == 2


async def test_only_the_data_protection_officer_invalidates(consenting: Consenting) -> None:
    person, _, consent, handover = await a_story(consenting)
    body = {"person": str(person), "reason": "wrong_form"}
    assert (await consenting.command(f"/consents/{consent}/invalidation", body)).status_code == 403
    role = Role.DATA_PROTECTION_OFFICER
    assert (await consenting.command(f"/consents/{consent}/invalidation", body, role=role)).status_code == 200
    assert (await consenting.get(f"/handovers/{handover}/transmission"))["state"] == "ended"


async def test_another_persons_consent_cannot_be_withdrawn(consenting: Consenting) -> None:
    _, _, consent, handover = await a_story(consenting)
    other = await consenting.a_person()
    answer = await consenting.withdraw(other, consent)
    assert answer.status_code in {404, 409}
    assert (await consenting.fetch(handover)).status_code == 200
