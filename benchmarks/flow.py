"""The bench handover: two commands, and everything that is told and heard because of them, without the door.

Prepared before the clock runs: a case with its person and items at the sender, a consent that covers them, a draft.
Then the sender asks and the receiver accepts. docs/explanation/speed.md lists the transactions one by one; here are the
numbers that every run is held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SENDER: Final = "jobcenter"
RECEIVER: Final = "jugendamt"
ALLIANCE: Final = "musterland"
CHANNEL: Final = f"{ALLIANCE}.{SENDER}.to.{RECEIVER}.handover"
CHANNEL_BACK: Final = f"{ALLIANCE}.{RECEIVER}.to.{SENDER}.handover"
NEWS: Final = f"{RECEIVER}.handover.events"
"""What the receiver's own systems read: here somebody learns that there is something to accept."""

ITEMS: Final = 4
"""Items of the dossier: name and birth date, contact, school, needs."""

TOLD: Final[Mapping[str, int]] = MappingProxyType(
    {
        f"{SENDER}.handover.events": 4,  # proposed, changed to proposed, to requested, to accepted
        f"{SENDER}.consent.events": 1,  # transmission.permitted
        CHANNEL: 2,  # requested, acceptance_confirmed
        CHANNEL_BACK: 1,  # acceptance_declared
        f"{RECEIVER}.handover.events": 3,  # changed to requested, to accepting, to accepted
        f"{RECEIVER}.intake.events": 1,  # case.announced
    }
)
HEARD: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        f"{SENDER}.intake": (f"{SENDER}.handover.events", f"{SENDER}.consent.events"),
        f"{SENDER}.consent": (f"{SENDER}.handover.events",),
        f"{SENDER}.handover": (f"{SENDER}.consent.events", CHANNEL_BACK),
        f"{SENDER}.offers": (f"{SENDER}.handover.events",),
        f"{RECEIVER}.intake": (f"{RECEIVER}.handover.events",),
        f"{RECEIVER}.consent": (f"{RECEIVER}.handover.events", f"{RECEIVER}.intake.events"),
        f"{RECEIVER}.handover": (CHANNEL, f"{RECEIVER}.intake.events"),
        f"{RECEIVER}.offers": (f"{RECEIVER}.handover.events",),
    }
)
PRINCIPALS: Final = tuple(HEARD)

MESSAGES: Final = sum(TOLD.values())
DELIVERIES: Final[Mapping[str, int]] = MappingProxyType(
    {principal: sum(TOLD[topic] for topic in topics) for principal, topics in HEARD.items()}
)
COMMANDS: Final = 2
ERRANDS: Final = 1
"""Own consent reads the items' categories and flags at own intake before it decides."""
WORK_ITEMS: Final = sum(DELIVERIES.values()) + COMMANDS + ERRANDS
