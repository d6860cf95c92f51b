"""A database restored from an older backup: noticed at start, shut, made to know again what was said, and going on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from chassis.auth import read_key, sign_party
from deploy.desk import ProblemError
from deploy.embedded.keys import SIGNING
from tests.journeys.journey import Journey
from tests.journeys.restoring import recover, restored, stays_shut
from tests.journeys.town import Town

CONSENT, HANDOVER = "jobcenter.consent", "jobcenter.handover"


async def test_a_consent_withdrawn_after_the_backup_is_withdrawn_and_not_one_byte_goes(
    town: Town, asked: Journey
) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    async with town.stock.resting():
        async with restored(town.system, CONSENT):
            await asked.withdraw_consent()
            await asked.both_are("stopped")
            await asked.receiver.until("consent", "/duties", lambda found: bool(_of(asked, found)))
        await stays_shut(town.system, CONSENT)
        assert await _door(town, asked) == (503, "restored")
        assert await _asked_again(town, asked) == (503, "restored")

        code, said = await recover(town.system, CONSENT)
        assert (code, "nothing was changed" in said) == (1, True), said
        assert await _door(town, asked) == (503, "restored")
        code, said = await recover(town.system, CONSENT, "--apply")
        assert code == 0, said
        assert "found: unknown-record" in said
        assert f"person {asked.person}: consent.withdrawn, consent.withdrawal_notified, transmission.ended" in said
        await town.system.ready([CONSENT])

    consent = await asked.sender.get("consent", f"/consents/{asked.consent}")
    assert consent["state"] == "withdrawn"
    assert (await _door(town, asked))[0] in {409, 410}
    (owed,), (awaited,) = [_of(asked, await desk.get("consent", "/duties")) for desk in (asked.receiver, asked.sender)]
    assert (owed["id"], owed["state"], awaited["id"], awaited["state"]) == (owed["id"], "owes", owed["id"], "awaits")
    await asked.withdraw_consent()
    await town.journey().until_stored()
    assert await town.parked() == []


async def test_what_no_longer_is_cleared_does_not_go_and_noted_insight_is_noted(town: Town, begun: Journey) -> None:
    """§ 65(1) Nr. 1 SGB VIII, § 36 SGB I: both after the backup; on no topic stands who, in which form, or why."""
    begun.birth_date = f"{datetime.now(UTC).year - 17}-12-31"
    await begun.register()
    secret = {"category": "school", "content": {"told": "Beispiel"}, "entrusted": True, "entruster": "guardian"}
    await begun.sender.post("intake", f"/cases/{begun.case}/items", {"items": [secret]})
    found = (await begun.sender.get("intake", f"/cases/{begun.case}/items"))["items"]
    begun.items = [item["id"] for item in found]
    (entrusted,) = [item["id"] for item in found if item["entrusted"]]
    await begun.assign()
    await begun.activate()
    consent = await begun.consent_to(entrusted_included=True)
    shown = await begun.sender.get("consent", f"/consents/{consent['id']}")
    grants = {"person": begun.person, "grants": [grant["id"] for grant in shown["grants"]]}
    clearance = f"/consents/{consent['id']}/clearance"
    await begun.sender.post("consent", clearance, {**grants, "by": "guardian", "form": "written"})
    await begun.draft()
    await begun.propose()
    await begun.receiver_is("requested")
    assert (await _reasons(begun))[entrusted] == "consent"

    async with town.stock.resting():
        async with restored(town.system, CONSENT):
            await begun.sender.post("consent", f"{clearance}/withdrawal", grants)
            await begun.sender.post("consent", f"/persons/{begun.person}/insight", {"insight": True})
        await stays_shut(town.system, CONSENT)
        code, said = await recover(town.system, CONSENT, "--apply")
        assert code == 0, said
        assert f"person {begun.person}: consent.clearance_ended, " in said
        await town.system.ready([CONSENT])

    assert (await _reasons(begun))[entrusted] == "entrusted"
    (grant,) = (await begun.sender.get("consent", f"/consents/{consent['id']}"))["grants"]
    assert grant["cleared"]["ended_at"] is not None
    with pytest.raises(ProblemError) as refused:
        await begun.consent_to(giver="guardian", insight=False)
    assert refused.value.reason == "wrong-giver"
    await begun.act(begun.receiver, "acceptance")
    await begun.dossier_is("stored")
    there = (await begun.receiver.get("intake", f"/cases/{begun.handover}/items"))["items"]
    assert len(there) == len(begun.items) - 1, "all but that is there"
    assert not any(item["entrusted"] for item in there)
    assert await town.parked() == []


async def _reasons(journey: Journey) -> dict[str, str]:
    """Of each proposed item, what was last decided."""
    found = await journey.sender.get("consent", f"/handovers/{journey.handover}/transmission")
    return {item["id"]: item["reason"] for item in found["items"]}


async def test_a_handover_accepted_and_met_after_the_backup_leads_where_the_young_person_was_met(
    town: Town, asked: Journey
) -> None:
    async with town.stock.resting():
        async with restored(town.system, HANDOVER):
            await asked.act(asked.receiver, "acceptance")
            await asked.receiver_is("accepted")
            await asked.first_contact()
            await asked.sender_is("active")
        await stays_shut(town.system, HANDOVER)
        assert (await asked.copy_of(asked.sender))["state"] == "requested", "people see what there is"
        refused = await town.ask(asked.sender, "handover", f"/handovers/{asked.handover}/withdrawal")
        assert (refused.status_code, _problem(refused)) == (503, "restored")
        assert await _door(town, asked) == (503, "unreachable"), "the door believes nobody who does not know"
        code, said = await recover(town.system, HANDOVER, "--apply")
        assert code == 0, said
        await town.system.ready([HANDOVER])

    assert await asked.leading() == ["jugendamt"]
    await asked.both_are("active")
    await asked.complete()
    await asked.both_are("completed")
    assert (await asked.copy_of(asked.sender))["outcome"] == "support_started"
    assert await town.parked() == []


@pytest.mark.prove
async def test_a_receivers_handover_restored_from_before_the_first_contact_leads_all_the_same(
    town: Town, asked: Journey
) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")
    await _recovered(town, "jugendamt.handover", asked)
    assert await asked.leading() == ["jugendamt"]
    await asked.complete()
    await asked.both_are("completed")
    assert await town.parked() == []


@pytest.mark.prove
async def test_an_intake_restored_from_before_the_handover_has_given_its_case_away(town: Town, asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")
    await _recovered(town, "jobcenter.intake", asked)
    await asked.sender.until("intake", f"/cases/{asked.case}", lambda found: found["state"] == "handed_over")
    await asked.complete()
    await asked.both_are("completed")
    assert await town.parked() == []


async def _recovered(town: Town, principal: str, journey: Journey) -> None:
    """The first contact is not in that database when it comes back, and is known again."""
    async with town.stock.resting():
        async with restored(town.system, principal):
            await journey.first_contact()
            await journey.both_are("active")
            await journey.sender.until(
                "intake", f"/cases/{journey.case}", lambda found: found["state"] == "handed_over"
            )
        await stays_shut(town.system, principal)
        code, said = await recover(town.system, principal, "--apply")
        assert code == 0, said
        await town.system.ready([principal])


def _of(journey: Journey, found: dict[str, Any]) -> list[dict[str, Any]]:
    return [duty for duty in found["duties"] if duty["handover"] == journey.handover]


async def _door(town: Town, journey: Journey) -> tuple[int, str]:
    """What the receiver's intake is answered at the door: status, and the problem's name."""
    key = read_key(town.installation.keys("jugendamt").file(SIGNING))
    token = sign_party(key, party="jugendamt", role="intake", audience="jobcenter.consent")
    url = f"{town.installation.url('jobcenter', 'consent')}/releases"
    headers = {"authorization": f"Bearer {token}"}
    answer = await town.client.post(url, json={"handover": journey.handover}, headers=headers)
    return answer.status_code, _problem(answer)


async def _asked_again(town: Town, journey: Journey) -> tuple[int, str]:
    """What a command is answered."""
    answer = await town.ask(
        journey.sender, "consent", f"/consents/{journey.consent}/withdrawal", {"person": journey.person}
    )
    return answer.status_code, _problem(answer)


def _problem(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition("/")[2]
