"""Two handover services, jobcenter and jugendamt, over HTTP and by what they tell each other."""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from contracts.codes import DecisionReason, Destination, Role, Verdict
from contracts.consent import (
    DecidedItem,
    TransmissionDenied,
    TransmissionEnded,
    TransmissionEvent,
    TransmissionPermitted,
)
from contracts.ids import CaseId, HandoverRef, TransmissionId
from contracts.intake import CaseClosed
from contracts.new_ids import new_id
from services.handover.api import commands
from tests.handover.builders import ITEMS
from tests.handover.conftest import Node, a_draft


def yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).isoformat()


def a_contact() -> dict[str, str]:
    return {"at": yesterday(), "channel": "in_person"}


async def consent_says(node: Node, handover: str, event: type[TransmissionEvent]) -> None:
    """Own consent decides alike about every item."""
    permits = event is TransmissionPermitted
    verdict, reason = (
        (Verdict.PERMIT, DecisionReason.CONSENT) if permits else (Verdict.DENY, DecisionReason.NO_BASIS)
    )
    items = tuple(DecidedItem(id=item, verdict=verdict, reason=reason) for item in ITEMS)
    fact = event(handover=HandoverRef(UUID(handover)), transmission=TransmissionId(new_id()), items=items)
    await node.hear(f"{node.agency}.consent.events", fact)


async def asked(jobcenter: Node, jugendamt: Node, case: CaseId) -> str:
    """A request that has arrived."""
    handover = await jobcenter.drafted(case)
    await jobcenter.done(f"/handovers/{handover}/request", {"case": str(case)})
    await consent_says(jobcenter, handover, TransmissionPermitted)
    await jobcenter.deliver_to(jugendamt)
    return handover


async def agreed(jobcenter: Node, jugendamt: Node, case: CaseId) -> str:
    """A request to which both have said yes."""
    handover = await asked(jobcenter, jugendamt, case)
    await jugendamt.done(f"/handovers/{handover}/acceptance")
    await jugendamt.deliver_to(jobcenter)
    await jobcenter.deliver_to(jugendamt)
    return handover


async def states(*nodes: Node, handover: str) -> list[str]:
    return [(await node.get(f"/handovers/{handover}"))["state"] for node in nodes]


# --- the main flow ----------------------------------------------------------------------------------------------------


async def test_a_transfer_from_the_draft_to_the_outcome(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await agreed(jobcenter, jugendamt, case)
    assert await states(jobcenter, jugendamt, handover=handover) == ["accepted", "accepted"]
    await jugendamt.done(f"/handovers/{handover}/first-contact", a_contact())
    await jugendamt.deliver_to(jobcenter)
    leads = [(await node.get(f"/handovers/{handover}"))["lead"] for node in (jobcenter, jugendamt)]
    assert leads == [False, True]
    await jugendamt.done(f"/handovers/{handover}/completion", {"outcome": "support_finished"})
    await jugendamt.deliver_to(jobcenter)
    view = await jobcenter.get(f"/handovers/{handover}")
    assert (view["state"], view["outcome"], view["allowed"]) == ("completed", "support_finished", [])
    assert [await node.parked() for node in (jobcenter, jugendamt)] == [[], []]


async def test_what_each_side_tells_in_the_main_flow(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await agreed(jobcenter, jugendamt, case)
    assert await jobcenter.told(handover) == [
        "handover.changed", "handover.proposed", "handover.changed", "handover.requested", "handover.changed",
        "handover.acceptance_confirmed", "handover.changed",
    ]  # fmt: skip
    assert await jugendamt.told(handover) == [
        "handover.changed", "handover.acceptance_declared", "handover.changed", "handover.changed",
    ]  # fmt: skip


async def test_the_receiver_sees_the_preview_and_nothing_else(jobcenter: Node, jugendamt: Node) -> None:
    case, person = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    view = await jugendamt.get(f"/handovers/{handover}")
    assert view["preview"] == {"phase": 4, "age_band": "18_20", "needs": ["debts", "housing"]}
    assert (view["side"], view["counterpart"], view["case"], view["items"]) == ("receiver", "jobcenter", None, [])
    said = str(await jobcenter.rows("SELECT convert_from(payload, 'UTF8') FROM event_log WHERE topic LIKE '%.to.%'"))
    assert str(case) not in said
    assert str(person) not in said


# --- other ways -------------------------------------------------------------------------------------------------------


async def test_an_acceptance_that_crosses_a_withdrawal_loses(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    await jugendamt.done(f"/handovers/{handover}/acceptance")
    await jobcenter.done(f"/handovers/{handover}/withdrawal")
    await jugendamt.deliver_to(jobcenter)
    await jobcenter.deliver_to(jugendamt)
    assert await states(jobcenter, jugendamt, handover=handover) == ["withdrawn", "withdrawn"]


async def test_two_ends_that_cross_are_recorded_on_both_sides(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    await jugendamt.done(f"/handovers/{handover}/rejection", {"reason": "no_capacity"})
    await jobcenter.done(f"/handovers/{handover}/withdrawal")
    await jugendamt.deliver_to(jobcenter)
    await jobcenter.deliver_to(jugendamt)
    views = [await node.get(f"/handovers/{handover}") for node in (jobcenter, jugendamt)]
    assert [(view["state"], view["recorded"]) for view in views] == [
        ("withdrawn", "rejected"), ("rejected", "withdrawn"),
    ]  # fmt: skip


async def test_a_question_and_its_answer(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    await jugendamt.done(f"/handovers/{handover}/inquiry", {"categories": ["school"]})
    await jugendamt.deliver_to(jobcenter)
    assert (await jobcenter.get(f"/handovers/{handover}"))["asked"] == ["school"]
    await jobcenter.done(f"/handovers/{handover}/answer")
    await jobcenter.deliver_to(jugendamt)
    assert await states(jobcenter, jugendamt, handover=handover) == ["requested", "requested"]


async def test_a_denied_basis_waits_for_a_consent_or_a_cut(jobcenter: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await jobcenter.drafted(case)
    await jobcenter.done(f"/handovers/{handover}/request", {"case": str(case)})
    await consent_says(jobcenter, handover, TransmissionDenied)
    view = await jobcenter.get(f"/handovers/{handover}")
    assert (view["state"], {item["verdict"] for item in view["items"]}) == ("awaiting_basis", {"deny"})
    cut = await jobcenter.done(f"/handovers/{handover}/package-cut", {"keep": [str(ITEMS[0])]})
    assert cut["state"] == "proposed"


async def test_consent_that_ends_stops_the_handover_and_the_case_stays_reserved_until_the_receivers_word(
    jobcenter: Node, jugendamt: Node
) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await agreed(jobcenter, jugendamt, case)
    await consent_says(jobcenter, handover, TransmissionEnded)
    again = await jobcenter.drafted(case)
    refused = await jobcenter.command(f"/handovers/{again}/request", {"case": str(case)})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/handover/case-reserved")
    await jobcenter.deliver_to(jugendamt)
    await jugendamt.deliver_to(jobcenter)
    assert await states(jobcenter, jugendamt, handover=handover) == ["stopped", "stopped"]
    assert (await jobcenter.done(f"/handovers/{again}/request", {"case": str(case)}))["state"] == "proposed"


async def test_a_case_whose_lead_has_gone_cannot_be_handed_over_again(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await agreed(jobcenter, jugendamt, case)
    await jugendamt.done(f"/handovers/{handover}/first-contact", a_contact())
    await jugendamt.deliver_to(jobcenter)
    again = await jobcenter.drafted(case)
    refused = await jobcenter.command(f"/handovers/{again}/request", {"case": str(case)})
    assert refused.json()["type"] == "/problems/handover/case-reserved"


async def test_of_two_drafts_proposed_at_once_one_gets_the_case(jobcenter: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    drafts = [await jobcenter.drafted(case) for _ in range(2)]
    answers = [await jobcenter.command(f"/handovers/{draft}/request", {"case": str(case)}) for draft in drafts]
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_closed_case_withdraws_what_is_asked_for_it(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    await jobcenter.hear("jobcenter.intake.events", CaseClosed(case=case, destination=Destination.UNKNOWN))
    await jobcenter.deliver_to(jugendamt)
    assert await states(jobcenter, jugendamt, handover=handover) == ["withdrawn", "withdrawn"]


async def test_a_request_nobody_answers_expires_by_the_databases_clock(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    await jobcenter.fire_deadlines()
    assert await states(jobcenter, handover=handover) == ["requested"]
    await jobcenter.rows("UPDATE deadline SET due_at = due_at - interval '8 days'")
    await jobcenter.fire_deadlines()
    view = await jobcenter.get(f"/handovers/{handover}")
    assert (view["state"], view["struck"]) == ("requested", ["escalate", "remind"])
    await jobcenter.rows("UPDATE deadline SET due_at = due_at - interval '8 days'")
    await jobcenter.fire_deadlines()
    await jobcenter.deliver_to(jugendamt)
    assert await states(jobcenter, jugendamt, handover=handover) == ["expired", "expired"]
    assert await jobcenter.rows("SELECT * FROM deadline") == []


async def test_a_fact_without_a_rule_is_parked_and_its_lane_held(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await jobcenter.drafted(case)
    await consent_says(jobcenter, str(new_id()), TransmissionPermitted)
    assert [(row.error_class, row.reason) for row in await jobcenter.parked()] == [("refused", "handover-not-known")]
    assert await states(jobcenter, handover=handover) == ["draft"]


# --- how a no is said -------------------------------------------------------------------------------------------------


async def test_a_command_in_a_wrong_state_says_what_is_possible(jobcenter: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await jobcenter.drafted(case)
    refused = await jobcenter.command(f"/handovers/{handover}/withdrawal")
    assert refused.status_code == 409
    said = refused.json()
    assert (said["state"], said["allowed"]) == ("draft", ["Discard", "Propose", "CutPackage"])


async def test_a_stale_version_changes_nothing(jobcenter: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await jobcenter.drafted(case)
    stale = await jobcenter.command(f"/handovers/{handover}/discard", headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert await states(jobcenter, handover=handover) == ["draft"]


async def test_a_case_just_registered_elsewhere_is_waited_for_and_then_not_heard_of_yet(jobcenter: Node) -> None:
    answer = await jobcenter.command("/handovers", a_draft(CaseId(new_id())))
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    assert answer.json()["type"] == "/problems/http/not-heard-of-yet"


@pytest.mark.parametrize(
    "changed",
    [
        {"items": []},
        {"items": [str(ITEMS[0])] * 2},
        {"recipient": "Nobody At All"},
        {"purpose": "curiosity"},
        {"comment": "Zora Beispiel-Zimt"},
    ],
    ids=["no items", "an item twice", "no slug", "an unknown purpose", "an unknown field"],
)
async def test_bad_input_is_refused_without_an_echo(jobcenter: Node, changed: dict[str, Any]) -> None:
    answer = await jobcenter.command("/handovers", a_draft(CaseId(new_id()), **changed))
    assert answer.status_code == 422
    assert not any(str(value) in answer.text for value in changed.values())


async def test_only_a_team_lead_voids_and_the_answer_comes_when_no_release_can_run(
    jobcenter: Node, jugendamt: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await agreed(jobcenter, jugendamt, case)
    body = {"reason": "wrong_person"}
    assert (await jobcenter.command(f"/handovers/{handover}/void", body)).status_code == 403
    monkeypatch.setattr(commands, "RELEASE_SECONDS_MAX", 0.3)
    began = monotonic()
    assert (await jobcenter.done(f"/handovers/{handover}/void", body, role=Role.TEAM_LEAD))["state"] == "voided"
    assert monotonic() - began >= 0.3
    await jobcenter.deliver_to(jugendamt)
    assert (await jugendamt.get(f"/handovers/{handover}"))["state"] == "voided"


# --- views ------------------------------------------------------------------------------------------------------------


async def test_lists_of_what_was_sent_and_received_by_state_and_page(jobcenter: Node, jugendamt: Node) -> None:
    first, _ = await jobcenter.has_a_case()
    second, _ = await jobcenter.has_a_case()
    one, two = await asked(jobcenter, jugendamt, first), await asked(jobcenter, jugendamt, second)
    await jugendamt.done(f"/handovers/{one}/acceptance")
    page = await jugendamt.get("/handovers", side="receiver", limit=1)
    assert ([line["id"] for line in page["handovers"]], page["next"]) == ([two], two)
    rest = await jugendamt.get("/handovers", side="receiver", limit=1, before=two)
    assert [line["id"] for line in rest["handovers"]] == [one]
    accepting = await jugendamt.get("/handovers", side="receiver", state="accepting")
    assert [line["id"] for line in accepting["handovers"]] == [one]
    assert (await jugendamt.get("/handovers", side="sender"))["handovers"] == []


async def test_coordination_sees_what_is_stuck_by_ids_agencies_age_and_state_alone(
    jobcenter: Node, jugendamt: Node
) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    assert (await jobcenter.get("/stuck-handovers", role=Role.COORDINATION))["handovers"] == []
    await jobcenter.rows("UPDATE deadline SET due_at = now() WHERE kind = 'remind'")
    await jobcenter.fire_deadlines()
    (line,) = (await jobcenter.get("/stuck-handovers", role=Role.COORDINATION))["handovers"]
    assert (line["id"], line["struck"], line["age_days"]) == (handover, ["remind"], 0)
    assert set(line) == {
        "id", "alliance", "side", "counterpart", "state", "struck", "awaits_word", "since", "age_days",
    }  # fmt: skip
    seen = await jobcenter.client.get(f"/handovers/{handover}", headers=jobcenter.token(Role.COORDINATION))
    assert seen.status_code == 403


async def test_the_timeline_has_what_was_told_and_heard_in_order_with_traces(jobcenter: Node, jugendamt: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await asked(jobcenter, jugendamt, case)
    entries = (await jobcenter.get(f"/handovers/{handover}/timeline"))["entries"]
    said = [(entry["way"], entry["type"].split(".")[2]) for entry in entries]
    assert said.count(("heard", "permitted")) == 1
    assert said.index(("told", "proposed")) < said.index(("heard", "permitted"))
    assert ("told", "requested") in said
    assert all(len(entry["trace"]) == 32 for entry in entries if entry["way"] == "told")
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)


async def test_own_consent_and_intake_and_nobody_else_ask_how_the_copy_stands(jobcenter: Node) -> None:
    case, _ = await jobcenter.has_a_case()
    handover = await jobcenter.drafted(case)
    path = f"/internal/handovers/{handover}"
    answer = await jobcenter.client.get(path, headers=jobcenter.service_token("consent"))
    assert answer.json() == {
        "handover": handover, "state": "draft", "side": "sender", "counterpart": "jugendamt", "alliance": "musterland",
        "kind": "transfer", "purpose": "youth_welfare_support", "items": [str(item) for item in ITEMS],
    }  # fmt: skip
    offers = await jobcenter.client.get(path, headers=jobcenter.service_token("offers"))
    person = await jobcenter.client.get(path, headers=jobcenter.token(Role.CASEWORKER))
    assert (offers.status_code, person.status_code) == (403, 403)
    unknown = await jobcenter.client.get(
        "/internal/handovers/019cade2-11c0-7000-8000-000000000009", headers=jobcenter.service_token("intake")
    )
    assert unknown.status_code == 404
