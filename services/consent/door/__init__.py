"""The door: releases to other agencies, and the withdrawal that ends them."""

from services.consent.door.neighbours import Flags, Resources, UnreachableError, flags_of
from services.consent.door.releasing import release
from services.consent.door.sweeper import sweep
from services.consent.door.withdrawal import (
    intend,
    intend_clearance_end,
    intend_restriction,
    no_longer_intended,
    settled,
    withdraw,
)

__all__ = [
    "Flags", "Resources", "UnreachableError", "flags_of", "intend", "intend_clearance_end", "intend_restriction",
    "no_longer_intended", "release", "settled", "sweep", "withdraw",
]
