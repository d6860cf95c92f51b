"""What a caller may rely on: it reads its own writes, says a thing twice without harm, and learns why it is refused."""

from __future__ import annotations

import time
from uuid import UUID

from contracts.new_ids import new_id
from tests.journeys.journey import Journey
from tests.journeys.town import Town

OLD = UUID("01890a5d-ac96-7b3c-8f00-000000000000")  # UUIDv7 of June 2023
NEWS_SECONDS = 2.0  # how long a command waits for news of its subject


async def test_a_caller_that_is_faster_than_the_event_waits_for_it(town: Town, begun: Journey) -> None:
    await begun.register()
    await begun.assign()
    await begun.activate()
    body = {
        "case": begun.case, "alliance": "musterland", "recipient": "jugendamt", "purpose": begun.purpose,
        "competence_area": "youth_welfare", "items": begun.items,
    }  # fmt: skip
    drafted = await town.ask(begun.sender, "handover", "/handovers", body)
    assert drafted.status_code == 201
    path = f"/handovers/{drafted.json()['id']}/request"
    proposed = await town.ask(begun.sender, "handover", path, {"case": begun.case})
    assert (proposed.status_code, proposed.json()["state"]) == (200, "proposed")


async def test_an_unknown_id_is_not_there_at_once_when_it_is_old_and_only_after_a_while_when_it_is_young(
    town: Town, begun: Journey
) -> None:
    began = time.monotonic()
    answer = await town.ask(begun.sender, "handover", f"/handovers/{OLD}/withdrawal")
    assert (answer.status_code, _reason(answer.json())) == (404, "handover-not-known")
    assert time.monotonic() - began < NEWS_SECONDS / 2

    answer = await town.ask(begun.sender, "handover", f"/handovers/{new_id()}/withdrawal")
    assert (answer.status_code, _reason(answer.json())) == (409, "not-heard-of-yet")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_command_that_is_said_twice_has_one_effect_and_one_answer(town: Town, asked: Journey) -> None:
    path, key = f"/handovers/{asked.handover}/inquiry", str(new_id())
    question = {"categories": ["school"]}
    first = await town.ask(asked.receiver, "handover", path, question, idempotency_key=key)
    again = await town.ask(asked.receiver, "handover", path, question, idempotency_key=key)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 200
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (await asked.receiver_is("inquiry"))["version"] == first.json()["version"]

    other = await town.ask(asked.receiver, "handover", path, {"categories": ["needs"]}, idempotency_key=key)
    assert (other.status_code, _reason(other.json())) == (422, "key-reused")
    assert (await asked.copy_of(asked.receiver))["asked"] == ["school"]


async def test_a_refusal_is_the_answer_to_its_key_as_well(town: Town, asked: Journey) -> None:
    path, key = f"/handovers/{asked.handover}/cancel-denial", str(new_id())
    first = await town.ask(asked.receiver, "handover", path, idempotency_key=key)
    again = await town.ask(asked.receiver, "handover", path, idempotency_key=key)
    assert (first.status_code, first.content) == (again.status_code, again.content) == (409, first.content)


async def test_a_command_in_a_wrong_state_is_refused_with_the_state_and_what_is_possible(
    town: Town, asked: Journey
) -> None:
    answer = await town.ask(asked.receiver, "handover", f"/handovers/{asked.handover}/resumption")
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert (problem["type"], problem["state"]) == ("/problems/handover/not-now", "requested")
    assert problem["allowed"] == (await asked.copy_of(asked.receiver))["allowed"]
    assert {"Accept", "Reject", "Ask"} <= set(problem["allowed"])


async def test_a_tab_that_is_stale_changes_nothing(town: Town, asked: Journey) -> None:
    path = f"/handovers/{asked.handover}"
    seen = await town.ask(asked.receiver, "handover", path, method="GET")
    await asked.act(asked.receiver, "inquiry", {"categories": ["school"]})
    stale = await town.ask(asked.receiver, "handover", f"{path}/acceptance", if_match=seen.headers["etag"])
    assert (stale.status_code, _reason(stale.json())) == (412, "stale-version")
    assert (await asked.copy_of(asked.receiver))["state"] == "inquiry"

    seen = await town.ask(asked.receiver, "handover", path, method="GET")
    fresh = await town.ask(asked.receiver, "handover", f"{path}/acceptance", if_match=seen.headers["etag"])
    assert fresh.status_code == 200
    await asked.both_are("accepted")


def _reason(problem: dict[str, str]) -> str:
    return problem["type"].rpartition("/")[2]
