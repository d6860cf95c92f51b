"""That a person was told what was collected about them elsewhere (Art. 14 GDPR, § 82a SGB X), or why nobody has to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from contracts.codes import ContactChannel


class Exemption(StrEnum):
    """On which ground nobody is told: Art. 14(5) GDPR, § 82a(1) SGB X."""

    KNOWN_ALREADY = "gdpr_14_5_a"
    IMPOSSIBLE = "gdpr_14_5_b"  # or out of all proportion, or the purpose would be defeated
    LAID_DOWN_BY_LAW = "gdpr_14_5_c"
    PROFESSIONAL_SECRECY = "gdpr_14_5_d"
    TASK_ENDANGERED = "sgb_x_82a_1_1a"
    PUBLIC_SAFETY = "sgb_x_82a_1_1b"
    SECRET_BY_NATURE = "sgb_x_82a_1_2"  # noqa: S105  # a code of the law: third parties' interests, for example


@dataclass(frozen=True, slots=True)
class Information:
    """What is settled about some received releases: told, when and how; or not owed, on which ground and why.

    Who leaves it out writes down why (§ 82a(3) SGB X). Either `channel` is set, or `exemption` and `why`.
    """

    releases: frozenset[UUID]
    at: datetime
    by: str
    channel: ContactChannel | None = None
    exemption: Exemption | None = None
    why: str | None = None
