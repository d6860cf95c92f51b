"""What both sides put on paper when a dossier has gone over: the sender's note for the file, the receiver's letter."""

from __future__ import annotations

import httpx

from deploy.desk import Desk
from tests.journeys import canary
from tests.journeys.journey import Journey


async def page(desk: Desk, service: str, path: str) -> str:
    """A page as a caseworker's browser gets it."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(
            f"{desk.installation.url(desk.agency, service)}{path}", headers=desk.headers(service)
        )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), answer.text
    return answer.text


async def test_the_sender_notes_what_left_and_the_receiver_tells_the_person_what_came(asked: Journey) -> None:
    await asked.act(asked.receiver, "acceptance")
    await asked.both_are("accepted")
    await asked.dossier_is("stored")

    (release,) = (await asked.sender.get("consent", f"/persons/{asked.person}/releases"))["releases"]
    note = await page(asked.sender, "consent", f"/releases/{release['id']}/note")
    assert f"Übergabe {asked.handover}" in note
    assert "Jugendamt Landkreis Musterland" in note
    assert not canary.canaries_in(note.encode())

    duties = (await asked.receiver.get("intake", "/information-duties"))["owed"]
    (owed,) = [duty for duty in duties if duty["case"] == asked.handover]
    assert owed["release"] == release["id"]
    letter = await page(asked.receiver, "intake", f"/cases/{asked.handover}/information")
    assert f"{asked.given_names} {asked.family_name}" in letter
    assert "Jobcenter Musterland" in letter
    assert asked.wish not in letter

    told = {"releases": [owed["release"]], "channel": "letter"}
    await asked.receiver.post("intake", f"/cases/{asked.handover}/information", told)
    left = (await asked.receiver.get("intake", "/information-duties"))["owed"]
    assert asked.handover not in [duty["case"] for duty in left]
