"""The consent service over HTTP, on a real database: from a notice to a release and a withdrawal."""

from uuid import UUID

from contracts.codes import HandoverState, Role
from contracts.new_ids import new_id
from tests.consent.conftest import Consenting, opened


async def test_a_dossier_leaves_only_after_consent_and_acceptance(consenting: Consenting) -> None:
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
