"""A story of which a test knows who leads, and whose person can be told from everybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from deploy.desk import Desk, ProblemError
from deploy.story import Story
from tests.journeys import canary


@dataclass
class Journey(Story):
    """One handover of an invented young person."""

    number: int = 0

    async def copy_of(self, desk: Desk) -> dict[str, Any]:
        """What that agency knows of the handover."""
        return await desk.get("handover", f"/handovers/{self.handover}")

    async def leading(self) -> list[str]:
        """The agencies whose copy leads."""
        return [desk.agency for desk in (self.sender, self.receiver) if (await self.copy_of(desk))["lead"]]

    async def both_are(self, state: str) -> None:
        """Wait until both copies are in this state."""
        await self.sender_is(state)
        await self.receiver_is(state)

    async def again(self) -> None:
        """The sender drafts and proposes another handover of the same case to the same receiver."""
        await self.draft()
        await self.propose()

    async def has_no_case_at_the_receiver(self) -> None:
        """The receiver has opened none, and has no preview any more where the handover is over."""
        with pytest.raises(ProblemError) as refused:
            await self.receiver.get("intake", f"/cases/{self.handover}")
        assert refused.value.status == 404

    async def is_erased_at_the_receiver(self) -> None:
        """Wait until the receiver has discarded its case; no name, no datum and no preview is left in it."""
        case = await self.receiver.until(
            "intake", f"/cases/{self.handover}", lambda found: found["state"] == "discarded"
        )
        assert case["person"] is None
        assert (await self.receiver.get("intake", f"/cases/{self.handover}/items"))["items"] == []
        assert (await self.copy_of(self.receiver))["preview"] is None


def invented(number: int, sender: Desk, receiver: Desk) -> Journey:
    """The story of the person of this number."""
    word = canary.mark(number)
    return Journey(
        sender,
        receiver,
        given_names=f"Zoë {word}é",
        family_name=f"Beispiel-{word}ß",
        birth_date=canary.birth_date(number),
        phone=canary.phone(number),
        wish=f"{word} möchte Tischlerin werden; wer hilft {word}?",
        number=number,
    )
