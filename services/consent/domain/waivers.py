"""The table of a release from confidentiality: it frees a person to speak, and no decision looks at it.

A professional secret at this agency goes on the consent of the one it is about (§ 76 SGB X is read that way here): what
frees a physician to speak to somebody says nothing about what an agency may hand on.
"""

from dataclasses import replace

from chassis.transitions import Condition, Context, Row, Table
from contracts.codes import Giver
from services.consent.domain.commands import GiveWaiver, WithdrawWaiver
from services.consent.domain.consents import may_declare
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Before, Waiver, WaiverState


def _rightful(waiver: Waiver, command: GiveWaiver, context: Context) -> bool:
    return may_declare(command.giver, command.age_band, insight=command.insight, noted=command.insight_noted)


KNOWN: Condition[Waiver] = Condition(lambda _, command, __: command.age_band is not None, Reason.UNKNOWN_PERSON)
RIGHTFUL: Condition[Waiver] = Condition(_rightful, Reason.WRONG_GIVER)
HEARD: Condition[Waiver] = Condition(
    lambda _, command, __: command.giver is Giver.SELF or command.young_person_heard, Reason.YOUNG_PERSON_NOT_HEARD
)


def _given(waiver: Waiver, command: GiveWaiver, context: Context) -> Waiver:
    return replace(
        waiver, holder=command.holder, toward=command.toward, giver=command.giver, form=command.form,
        given_at=context.now,
    )


def _ended_now(waiver: Waiver, command: WithdrawWaiver, context: Context) -> Waiver:
    return replace(waiver, ended_at=context.now)


S = WaiverState
FREES = "§ 203 StGB: it frees a person to speak, and is no consent to an agency"
BOUND = "§ 203 StGB: from now on that person is bound again; never refused"

# fmt: off
WAIVERS = Table[Waiver](not_now=Reason.NOT_NOW, by_people=frozenset({GiveWaiver, WithdrawWaiver}), rows=(
    #   while        on              then         why and how
    Row(Before.NONE, GiveWaiver,     S.GIVEN,     because=FREES, does=(_given,), provided=(KNOWN, RIGHTFUL, HEARD)),
    Row(S.GIVEN,     WithdrawWaiver, S.WITHDRAWN, because=BOUND, does=(_ended_now,)),
    Row(S.WITHDRAWN, WithdrawWaiver, S.WITHDRAWN, because="said before"),
))
# fmt: on
