"""What the handover service remembers: handovers, own copies of cases, and what the views read of them."""

from services.handover.store.handovers import (
    HANDOVER,
    channels_to,
    decisions_of,
    handover_kind,
    open_handovers_of_cases,
)
from services.handover.store.known_cases import KNOWN_CASE, KNOWN_CASES
from services.handover.store.tables import metadata

__all__ = [
    "HANDOVER", "KNOWN_CASE", "KNOWN_CASES", "channels_to", "decisions_of", "handover_kind", "metadata",
    "open_handovers_of_cases",
]
