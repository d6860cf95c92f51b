"""Every named crash point: where a process must be able to die, and what has to happen so that it comes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

A, B = "jobcenter", "jugendamt"  # whose dossier leaves, and who fetches it


@dataclass(frozen=True, slots=True)
class Point:
    """One place in the code, and the services that are killed there, one kill after the other."""

    name: str
    victims: Sequence[str]
    passes: tuple[int, int] = (1, 4)
    """Which pass kills, from a start of the process on: chosen between these two."""


_EVERYBODY_BUSY = (f"{A}.handover", f"{B}.handover", f"{A}.consent", f"{B}.intake", f"{A}.intake")
_DOOR = (f"{A}.consent",) * 3

POINTS: Sequence[Point] = (
    Point("http.before_queue", (f"{A}.intake", f"{A}.handover", f"{A}.consent", f"{B}.handover")),
    Point("executor.after_causes", (f"{A}.handover", f"{A}.intake", f"{B}.handover")),
    Point("executor.after_load", (f"{A}.intake", f"{B}.intake", f"{A}.handover")),
    Point("executor.after_write", _EVERYBODY_BUSY),
    Point("executor.after_commit", _EVERYBODY_BUSY),
    Point("relay.after_select", (f"{A}.handover", f"{B}.handover", f"{A}.intake")),
    Point("relay.mid_batch", (f"{A}.handover", f"{A}.consent", f"{B}.handover")),
    Point("relay.after_send", _EVERYBODY_BUSY),
    Point("relay.after_delete", (f"{A}.handover", f"{A}.intake", f"{B}.handover")),
    Point("consumer.after_fetch", (f"{B}.handover", f"{A}.handover", f"{A}.intake")),
    Point("consumer.after_commit", (f"{A}.handover", f"{B}.handover", f"{B}.intake", f"{A}.consent")),
    Point("consumer.after_offset", (f"{A}.handover", f"{B}.handover", f"{A}.intake")),
    # The first pass gives nothing up: a member joins. At the second it holds partitions, and what came since its death.
    Point("consumer.in_revoke", (f"{A}.handover", f"{B}.handover", f"{A}.intake"), (2, 2)),
    Point("consumer.after_park", (f"{B}.handover",) * 3, (1, 2)),
    Point("deadline.after_claim", (f"{A}.consent",) * 3, (1, 1)),
    Point("deadline.after_commit", (f"{A}.consent",) * 3, (1, 1)),
    Point("withdraw.intent", _DOOR, (1, 2)),
    Point("withdraw.flip", _DOOR, (1, 2)),
    Point("withdraw.ack", _DOOR, (1, 2)),
    Point("door.begin", _DOOR, (1, 3)),
    Point("door.open", _DOOR, (1, 3)),
    Point("door.write", _DOOR, (1, 4)),
    Point("door.close", _DOOR, (1, 3)),
    Point("dossier.after_fetch", (f"{B}.intake",) * 3, (1, 3)),
    Point("dossier.after_store", (f"{B}.consent",) * 3, (1, 3)),
    Point("erase.after_delete", (f"{B}.intake",) * 3, (1, 1)),
)

MIGRATING = "migrate.mid_step"  # no service runs then: it is killed with databases of its own

NOT_THERE: Mapping[str, str] = {
    "audit.after_leaf": "there is no tree of the ledger's lines yet, so no leaf is written",
    "audit.after_sign": "there is no checkpoint yet, so none is signed",
}
