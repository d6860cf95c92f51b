"""One handover as people at two agencies carry it out, step by step: what the demo shows and the journeys vary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.desk import Desk

ALLIANCE = "musterland"
PURPOSE = "youth_welfare_support"
CATEGORIES = ("master_data", "contact", "school", "needs")
REPORT_BYTES = 30_000
NOTICE = (
    "Mit deiner Zustimmung geben wir genau die genannten Angaben an die genannte Stelle weiter. Du kannst nein sagen, "
    "und du kannst die Zustimmung jederzeit zurücknehmen."
)


@dataclass
class Story:
    """What is known so far; each method is one thing somebody does, and returns what the service answered."""

    sender: Desk
    receiver: Desk
    given_names: str = "Zora"
    family_name: str = "Beispiel-Zimt"
    birth_date: str = "2008-03-14"
    phone: str = "+49 30 23125 000"
    wish: str = "Zora möchte Tischlerin werden und sucht jemanden, der hilft."
    purpose: str = PURPOSE
    reports: int = 0
    """How many school reports of 30 KB belong to the dossier, for stories in which it takes time to be sent."""
    case: str = ""
    person: str = ""
    items: list[str] = field(default_factory=list)
    consent: str = ""
    handover: str = ""

    async def register(self) -> dict[str, Any]:
        """A caseworker of the sender registers the case with what the young person has told."""
        told = {"school": "Gemeinschaftsschule Musterstadt", "certificate": "none"}
        report = {"report": "Zora-Beispiel-Bericht " * (REPORT_BYTES // 22)}
        answer = await self.sender.post(
            "intake",
            "/cases",
            {
                "person": {
                    "given_names": self.given_names,
                    "family_name": self.family_name,
                    "birth_date": self.birth_date,
                    "language": "de",
                    "phone": self.phone,
                    "contact_preference": "messenger",
                },
                "items": [
                    {"category": "school", "content": told},
                    *({"category": "school", "content": report} for _ in range(self.reports)),
                    {"category": "needs", "content": {"wish": self.wish}},
                ],
                "needs": [{"code": "orientation", "severity": 2}, {"code": "psychosocial", "severity": 1}],
                "school": {"left_school": True},
            },
        )
        self.case, self.person = answer["id"], answer["person"]
        found = await self.sender.get("intake", f"/cases/{self.case}/items")
        self.items = [item["id"] for item in found["items"]]
        return answer

    async def assign(self) -> dict[str, Any]:
        """Somebody becomes the contact person."""
        return await self.sender.post(
            "intake", f"/cases/{self.case}/contact-person", {"contact_person": "caseworker-1"}, method="PUT"
        )

    async def activate(self) -> dict[str, Any]:
        """The sender is responsible and leads the case."""
        return await self.sender.post("intake", f"/cases/{self.case}/activation", {"no_needs": False})

    async def publish_notice(self) -> str:
        """What people are told before they consent; the same text again is the same notice for everybody."""
        found = await self.sender.get("consent", "/notices?language=de")
        if found["notices"]:
            return str(found["notices"][0]["id"])
        answer = await self.sender.post(
            "consent",
            "/notices",
            {
                "language": "de",
                "plain_language": True,
                "text": NOTICE,
                "valid_from": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
            },
            roles=("team_lead",),
        )
        return str(answer["id"])

    async def consent_to(
        self, categories: Iterable[str] = CATEGORIES, *, giver: str = "self", insight: bool = True,
        entrusted_included: bool = False,
    ) -> dict[str, Any]:
        """The young person consents: these categories, to this receiver, for the purpose of the handover."""
        grant = {
            "alliance": ALLIANCE,
            "recipient": self.receiver.agency,
            "purpose": self.purpose,
            "categories": list(categories),
            "entrusted_included": entrusted_included,
        }
        answer = await self.sender.post(
            "consent",
            "/consents",
            {
                "person": self.person,
                "giver": giver,
                "insight": insight,
                "young_person_heard": True,
                "form": "written",
                "notice": await self.publish_notice(),
                "grants": [grant],
            },
        )
        listed = await self.sender.get("consent", f"/persons/{self.person}/consents")
        self.consent = str(listed["consents"][-1]["id"])
        return answer

    async def withdraw_consent(self) -> dict[str, Any]:
        """The young person takes it back; the answer comes when no byte can follow it."""
        return await self.sender.post("consent", f"/consents/{self.consent}/withdrawal", {"person": self.person})

    async def draft(self) -> dict[str, Any]:
        """The sender drafts the handover."""
        answer = await self.sender.post(
            "handover",
            "/handovers",
            {
                "case": self.case,
                "alliance": ALLIANCE,
                "recipient": self.receiver.agency,
                "purpose": self.purpose,
                "competence_area": "youth_welfare",
                "items": self.items,
            },
        )
        self.handover = answer["id"]
        return answer

    async def propose(self) -> dict[str, Any]:
        """The sender wants to ask; consent is asked first whether every item may go."""
        return await self.sender.post("handover", f"/handovers/{self.handover}/request", {"case": self.case})

    async def sender_is(self, state: str, **more: Any) -> dict[str, Any]:
        """Wait until the sender's copy is in this state."""
        return await self._copy_is(self.sender, state, more)

    async def receiver_is(self, state: str, **more: Any) -> dict[str, Any]:
        """Wait until the receiver's copy is in this state."""
        return await self._copy_is(self.receiver, state, more)

    async def _copy_is(self, desk: Desk, state: str, more: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {"state": state, **more}
        return await desk.until(
            "handover", f"/handovers/{self.handover}", lambda found: wanted.items() <= found.items()
        )

    async def act(self, desk: Desk, what: str, body: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """One command on the handover, for example `acceptance`."""
        return await desk.post("handover", f"/handovers/{self.handover}/{what}", body, **options)

    async def until_requested(self) -> None:
        """All steps until the receiver's agency has the request before it."""
        await self.register()
        await self.assign()
        await self.activate()
        await self.consent_to()
        await self.draft()
        await self.propose()
        await self.receiver_is("requested")

    async def until_accepted(self) -> None:
        """Until both have said yes."""
        await self.until_requested()
        await self.act(self.receiver, "acceptance")
        await self.receiver_is("accepted")

    async def until_stored(self) -> dict[str, Any]:
        """Until the receiver has the dossier."""
        await self.until_accepted()
        return await self.dossier_is("stored")

    async def dossier_is(self, state: str) -> dict[str, Any]:
        """Wait until the receiver's intake says so of the dossier."""
        return await self.receiver.until("intake", f"/cases/{self.handover}", lambda found: found["dossier"] == state)

    async def first_contact(self) -> dict[str, Any]:
        """The receiver has met the young person: it leads from now on."""
        return await self.act(
            self.receiver, "first-contact", {"at": datetime.now(UTC).isoformat(), "channel": "in_person"}
        )

    async def complete(self, outcome: str = "support_started") -> dict[str, Any]:
        """The receiver tells what became of it."""
        return await self.act(self.receiver, "completion", {"outcome": outcome})
