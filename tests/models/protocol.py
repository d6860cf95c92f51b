"""The protocol between two copies of a handover as data, and the words of its columns."""

import json
from pathlib import Path
from typing import Final, NamedTuple

TABLE: Final = Path(__file__).parents[1] / "handover" / "handover_protocol.json"

ENDS: Final = frozenset(
    {"rejected", "withdrawn", "expired", "redirected", "cancelled", "not_reached", "given_back", "completed", "stopped"}
    | {"voided"}
)
ASKED: Final = frozenset({"requested", "inquiry", "waitlisted", "redirecting"})
AGREED: Final = frozenset({"accepted", "cancelling", "active", "paused"})
LOCAL: Final = frozenset({"proposed", "awaiting_basis"})  # the product's states within the protocol's draft
SENDER_STATES: Final = frozenset({"draft"}) | ASKED | AGREED | ENDS
RECEIVER_STATES: Final = frozenset({"none", "accepting"}) | ASKED | AGREED | ENDS
HALTED: Final = frozenset({"stopped", "voided"})
# After a halt out of these the receiver may have met the young person already. Each of the words says whether it has.
UNDECIDED: Final = frozenset({"accepted", "cancelling"})
WORDS: Final = frozenset(
    {"EndHeard", "FirstContactMade", "NotReached", "GivenBack", "CancelConfirmed", "Completed", "Rejected"}
)


class ProtocolRow(NamedTuple):
    """One line of handover_protocol.json."""

    side: str
    while_: str
    on: str
    kind: str
    from_: str
    guard: str | None
    then: str
    tells: tuple[str, ...]
    lead: str
    duty: str
    data: str
    records: str | None
    note: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Side, state, command or fact: there is one row for each."""
        return (self.side, self.while_, self.on)


def read_rows() -> tuple[ProtocolRow, ...]:
    """All rows of the law, in its order."""
    return tuple(
        ProtocolRow(
            **{{"while": "while_", "from": "from_"}.get(name, name): value for name, value in row.items()}
            | {"tells": tuple(row["tells"])}
        )
        for row in json.loads(TABLE.read_text("utf-8"))
    )


def of_the_protocol(state: str) -> str:
    """The protocol's name of a state of the product."""
    return "draft" if state in LOCAL else state
