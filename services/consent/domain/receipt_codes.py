"""The code on a printed receipt: short enough to be typed on a phone, too long to be guessed.

Sixty bits, in Crockford's base 32 (no I, L, O and U; what is typed for them is read as 1, 1 and 0), in three groups of
four. It follows from the consent's id and a secret of the service, so that a receipt that is printed again has the same
one. What the database keeps of it is a hash under the same secret: whoever has read that table alone can neither make a
code from it nor try codes on it.
"""

import hmac
from datetime import datetime
from typing import Final
from uuid import UUID

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHARACTERS: Final = 12
GROUP: Final = 4
_BITS_OF_ONE: Final = 5
_READ_AS: Final = str.maketrans("ILO", "110", " -\u2010\u2011\u2013\t\r\n")  # and what people put between groups
TICKET_SECONDS: Final = 15 * 60  # it holds this long at least, and twice as long at most: time to read, and to decide
# One secret, three uses that have nothing to do with each other.
_MADE, _KEPT, _TICKET = b"receipt code\0", b"receipt hash\0", b"receipt ticket\0"


def code_of(secret: bytes, consent: UUID) -> str:
    """The code of this consent's receipt, without the marks between its groups."""
    digest = int.from_bytes(hmac.digest(secret, _MADE + consent.bytes, "sha256"))
    return "".join(ALPHABET[digest >> _BITS_OF_ONE * n & 31] for n in range(CHARACTERS))


def in_groups(code: str) -> str:
    """As it is printed: easier to read and to type."""
    return "-".join(code[n : n + GROUP] for n in range(0, len(code), GROUP))


def hash_of(secret: bytes, typed: str) -> bytes:
    """By what a code is found, however it was typed; of what cannot be one, a hash that belongs to none.

    What is found so tells nothing by the time it takes: nobody without the secret knows which hash is looked for.
    """
    return hmac.digest(secret, _KEPT + typed.upper().translate(_READ_AS).encode(), "sha256")


def ticket_of(secret: bytes, typed: str, now: datetime) -> str:
    """What says that this code was right not long ago: whoever brings it along with the code is not guessing."""
    return _ticket(secret, typed, _period(now))


def ticket_holds(secret: bytes, typed: str, ticket: str, now: datetime) -> bool:
    """Whether it was given to whoever had typed this code, in this period or the one before."""
    periods = (_period(now), _period(now) - 1)
    return any(hmac.compare_digest(_ticket(secret, typed, each).encode(), ticket.encode()) for each in periods)


def _period(now: datetime) -> int:
    return int(now.timestamp()) // TICKET_SECONDS


def _ticket(secret: bytes, typed: str, period: int) -> str:
    return hmac.digest(secret, _TICKET + period.to_bytes(8) + hash_of(secret, typed), "sha256").hex()
