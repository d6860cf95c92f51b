"""Somebody who asks for a dossier at the door, as the receiver's intake does."""

from __future__ import annotations

import time
from typing import NamedTuple

import httpx

from chassis.auth import read_key, sign_party
from deploy.embedded.keys import SIGNING
from tests.crash.points import A, B
from tests.faults.town import Town

DOOR = f"{A}.consent"
PATIENCE_SECONDS = 10.0  # longer than any answer of the door may take


class Said(NamedTuple):
    """A no of the door."""

    status: int
    reason: str
    comes_again: bool
    """Whether it says when to ask again."""
    seconds: float


def token(town: Town) -> str:
    """Who the receiver's intake is, as its agency signs it."""
    key = read_key(town.installation.keys(B).file(SIGNING))
    return sign_party(key, party=B, role="intake", audience=DOOR)


async def refused(town: Town, handover: str) -> Said:
    """What the door says to this claim, which it does not grant."""
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        answer = await client.post(
            f"{town.installation.url(A, 'consent')}/releases", json={"handover": handover},
            headers={"authorization": f"Bearer {token(town)}"},
        )
    reason = str(answer.json()["type"]).rpartition("/")[2]
    return Said(answer.status_code, reason, "retry-after" in answer.headers, time.monotonic() - began)
