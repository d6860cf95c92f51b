"""The table of a restriction: what a person objects to or a guardian restricts, and how that ends."""

from dataclasses import replace

from chassis.transitions import Condition, Context, Row, Table, Tell
from contracts.codes import ConsentForm, Giver
from contracts.consent import ConsentRestricted, ConsentRestrictionEnded
from services.consent.domain.commands import LapseRestriction, LiftRestriction, ReinstateRestriction, Restrict
from services.consent.domain.consents import ADULT
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Before, Restriction, RestrictionState

# --- questions --------------------------------------------------------------------------------------------------------

KNOWN: Condition[Restriction] = Condition(
    lambda _, command, __: command.by is Giver.SELF or command.age_band is not None, Reason.UNKNOWN_PERSON
)
THEIR_CHILD: Condition[Restriction] = Condition(
    lambda _, command, __: command.by is Giver.SELF or command.age_band not in ADULT, Reason.WRONG_GIVER
)
IN_WRITING: Condition[Restriction] = Condition(
    lambda _, command, __: command.by is Giver.SELF or command.form is ConsentForm.WRITTEN, Reason.NOT_IN_WRITING
)
SOMEBODY: Condition[Restriction] = Condition(lambda _, command, __: command.recipient_known, Reason.UNKNOWN_AGENCY)
DECLARANT: Condition[Restriction] = Condition(
    lambda restriction, command, _: command.by is restriction.by, Reason.NOT_THE_DECLARANT
)


# --- effects ----------------------------------------------------------------------------------------------------------


def _forbidden(restriction: Restriction, command: Restrict, context: Context) -> Restriction:
    return replace(
        restriction, by=command.by, form=command.form, recipient=command.recipient, categories=command.categories,
        since=context.now,
    )


def _ended_now(restriction: Restriction, command: object, context: Context) -> Restriction:
    return replace(restriction, ended_at=context.now)


def _in_force_again(restriction: Restriction, command: object, context: Context) -> Restriction:
    """As it was declared: its time stays the one when that was."""
    return replace(restriction, ended_at=None)


# --- what is told -----------------------------------------------------------------------------------------------------


def _told(restriction: Restriction, command: object, context: Context) -> Tell:
    """That something is forbidden; what it is stays here, its effects show in `transmission.*`."""
    return Tell(ConsentRestricted(person=restriction.person, restriction=restriction.id, by=restriction.by))


def _end_told(restriction: Restriction, command: object, context: Context) -> Tell:
    lapsed = isinstance(command, LapseRestriction)
    return Tell(ConsentRestrictionEnded(person=restriction.person, restriction=restriction.id, lapsed=lapsed))


# --- the table --------------------------------------------------------------------------------------------------------

S = RestrictionState
FORBID = "§ 36(2) SGB I; § 31a SGB III; Art. 21 GDPR: a guardian in writing, the person in any form"
LIFT = "whoever has forbidden it, in the form in which it was to be said"
OF_AGE = "§ 2 BGB; § 36(2) SGB I: of age, nobody restricts in a person's place"
NOT_OF_AGE = "§ 36(2) SGB I; § 2 BGB: never over, where the birth date was wrong and the person is not of age"
OVER = "over before"

# fmt: off
RESTRICTIONS = Table[Restriction](
    not_now=Reason.NOT_NOW, by_people=frozenset({Restrict, LiftRestriction}), rows=(
        #   while        on                    then        tells         why and how
        Row(Before.NONE, Restrict,             S.IN_FORCE, (_told,),     because=FORBID, does=(_forbidden,),
            provided=(KNOWN, THEIR_CHILD, IN_WRITING, SOMEBODY)),
        Row(S.IN_FORCE,  LiftRestriction,      S.LIFTED,   (_end_told,), because=LIFT, does=(_ended_now,),
            provided=(DECLARANT, IN_WRITING)),
        Row(S.IN_FORCE,  LapseRestriction,     S.LAPSED,   (_end_told,), because=OF_AGE, does=(_ended_now,)),
        Row(S.LAPSED,    ReinstateRestriction, S.IN_FORCE, (_told,),     because=NOT_OF_AGE, does=(_in_force_again,)),
        Row(S.LAPSED,    LiftRestriction,      S.LIFTED,   (_end_told,), because=LIFT, does=(_ended_now,),
            provided=(DECLARANT, IN_WRITING)),
        Row(S.LIFTED,    LiftRestriction,      S.LIFTED,   (),           because=OVER),
    ),
)
# fmt: on
