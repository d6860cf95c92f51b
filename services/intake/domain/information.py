"""Who has to be told what: a person what was collected elsewhere, a guardian that somebody of 15 to 17 has come."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from contracts.alliance import OUTSIDE_SOCIAL_LAW
from contracts.codes import ContactChannel, Sphere
from services.intake.domain.phases import AGE_OF_MAJORITY, age_on

AGE_OF_APPLYING = 15  # § 36(1) sentence 1 SGB I: from then on a person applies for and receives benefits themselves


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
    """What a person was told of some received releases (Art. 14 GDPR, § 82a SGB X), when and how; or why they were not.

    Who leaves it out writes down why (§ 82a(3) SGB X). Either `channel` is set, or `exemption` and `why`.
    """

    releases: frozenset[UUID]
    at: datetime
    by: str
    channel: ContactChannel | None = None
    exemption: Exemption | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class GuardianInformation:
    """That the guardian was informed (§ 36(1) sentence 2 SGB I), when and how; or why it was left out.

    Either `channel` is set, or `why`: that it would be contrary to the person's welfare, in words. Both and `by` are
    unknown where only the fact outlived the database.
    """

    at: datetime
    by: str | None = None
    channel: ContactChannel | None = None
    why: str | None = None


def concerns_a_guardian(sphere: Sphere | None, birth_date: date | None, known_on: date, today: date) -> bool:
    """Whether the guardian is to be informed of this person, known here with that birth date since `known_on`.

    § 36(1) SGB I is about agencies that grant benefits (§ 12 SGB I), and about who was 15 to 17 when they came: for a
    child a guardian has come along, and a birthday in between tells nobody anything new. At 18 it is over.
    """
    if sphere is None or sphere in OUTSIDE_SOCIAL_LAW or birth_date is None:
        return False
    return all(AGE_OF_APPLYING <= age_on(birth_date, day) < AGE_OF_MAJORITY for day in (known_on, today))
