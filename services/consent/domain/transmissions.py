"""The table of a transmission: what was last said about the items of one handover, and the word for the change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chassis.transitions import Condition, Context, Errand, Row, Table, Tell
from contracts.consent import (
    DecidedItem,
    TransmissionDenied,
    TransmissionEnded,
    TransmissionEvent,
    TransmissionPartly,
    TransmissionPermitted,
    TransmissionReduced,
)
from services.consent.domain.commands import (
    AllPermitted,
    CloseTransmission,
    KeepOpen,
    NonePermitted,
    NoteStored,
    OpenTransmission,
    SomeLost,
    SomePermitted,
    TakeFlags,
)
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Before, ItemDecision, Transmission, TransmissionState

READ_ITEMS = "read_items"

Outcome = AllPermitted | SomePermitted | SomeLost | NonePermitted


def outcome(before: tuple[ItemDecision, ...], now: tuple[ItemDecision, ...]) -> Outcome:
    """The word for a decision, compared with the one before."""
    permitted = {item.id for item in now if item.permitted}
    if len(permitted) == len(now):
        return AllPermitted(now)
    if not permitted:
        return NonePermitted(now)
    lost = {item.id for item in before if item.permitted} - permitted
    return SomeLost(now) if lost else SomePermitted(now)


# --- effects ----------------------------------------------------------------------------------------------------------


def _proposed(transmission: Transmission, command: OpenTransmission, context: Context) -> Transmission:
    return replace(
        transmission, case=command.case, alliance=command.alliance, recipient=command.recipient,
        purpose=command.purpose, proposal=command.proposal, asked=command.items, items=(), verdicts=(),
    )


def _flags(transmission: Transmission, command: TakeFlags, context: Context) -> Transmission:
    return replace(transmission, items=command.items if command.proposal == transmission.proposal else ())


def _decided(transmission: Transmission, command: Outcome, context: Context) -> Transmission:
    return replace(transmission, verdicts=command.items)


def _moved(transmission: Transmission, command: CloseTransmission | KeepOpen, context: Context) -> Transmission:
    return replace(transmission, handover_state=command.moved.handover_state, recorded=command.moved.recorded)


def _stored(transmission: Transmission, command: NoteStored, context: Context) -> Transmission:
    return replace(transmission, stored=transmission.stored | set(command.items))


def _read_items(transmission: Transmission, command: OpenTransmission, context: Context) -> Errand:
    about = {
        "handover": str(transmission.handover),
        "proposal": str(command.proposal),
        "items": ",".join(str(item) for item in command.items),
    }
    return Errand(READ_ITEMS, about, key=str(transmission.handover))


# --- what is told -----------------------------------------------------------------------------------------------------


def _says(event: type[TransmissionEvent]) -> Callable[[Transmission, Any, Context], Tell]:
    def tell(transmission: Transmission, command: Any, context: Context) -> Tell:
        items = tuple(DecidedItem(id=i.id, verdict=i.verdict, reason=i.reason) for i in transmission.verdicts)
        return Tell(event(handover=transmission.handover, transmission=transmission.id, items=items), scope=transmission.alliance)

    return tell


PERMITTED_TOLD, PARTLY_TOLD = _says(TransmissionPermitted), _says(TransmissionPartly)
DENIED_TOLD, REDUCED_TOLD, ENDED_TOLD = _says(TransmissionDenied), _says(TransmissionReduced), _says(TransmissionEnded)


BY_RECIPIENT: Condition[Transmission] = Condition(lambda t, command, _: t.recipient == command.by, Reason.NOT_THE_COUNTERPART)


# --- the table --------------------------------------------------------------------------------------------------------

S = TransmissionState
BASIS = "§§ 67b, 67d SGB X: no transmission without a basis"
CUT = "the package was cut: what is left is decided anew"
OVER = "over; the handover is about to hear it or has said so itself"
UNCHANGED_SINCE = "told before and still so"

# fmt: off
TRANSMISSIONS = Table[Transmission](not_now=Reason.NOT_NOW, rows=(
    #   while         on                then          tells              because
    Row(Before.NONE,  OpenTransmission, S.UNDECIDED,  (),                because=BASIS, does=(_proposed,), also=(_read_items,)),
    *(Row(state,      OpenTransmission, S.UNDECIDED,  (),                because=CUT, does=(_proposed,), also=(_read_items,))
      for state in (S.UNDECIDED, S.PERMITTED, S.PARTLY, S.DENIED, S.REDUCED)),
    *(Row(state,      OpenTransmission, state,        (),                because=OVER) for state in (S.ENDED, S.CLOSED)),

    Row(S.UNDECIDED,  TakeFlags,        S.UNDECIDED,  (),                because=BASIS, does=(_flags,)),
    *(Row(state,      TakeFlags,        state,        (),                because="read twice: the first reading was decided on")
      for state in S if state is not S.UNDECIDED),

    Row(S.UNDECIDED,  AllPermitted,     S.PERMITTED,  (PERMITTED_TOLD,), because=BASIS, does=(_decided,)),
    Row(S.UNDECIDED,  SomePermitted,    S.PARTLY,     (PARTLY_TOLD,),    because=BASIS, does=(_decided,)),
    Row(S.UNDECIDED,  NonePermitted,    S.DENIED,     (DENIED_TOLD,),    because=BASIS, does=(_decided,)),

    Row(S.PERMITTED,  AllPermitted,     S.PERMITTED,  (),                because=UNCHANGED_SINCE, does=(_decided,)),
    Row(S.PERMITTED,  SomeLost,         S.REDUCED,    (REDUCED_TOLD,),   because=BASIS, does=(_decided,)),
    Row(S.PERMITTED,  NonePermitted,    S.ENDED,      (ENDED_TOLD,),     because=BASIS, does=(_decided,)),

    Row(S.REDUCED,    AllPermitted,     S.PERMITTED,  (PERMITTED_TOLD,), because=BASIS, does=(_decided,)),
    Row(S.REDUCED,    SomePermitted,    S.REDUCED,    (PARTLY_TOLD,),    because=BASIS, does=(_decided,)),
    Row(S.REDUCED,    SomeLost,         S.REDUCED,    (REDUCED_TOLD,),   because=BASIS, does=(_decided,)),
    Row(S.REDUCED,    NonePermitted,    S.ENDED,      (ENDED_TOLD,),     because=BASIS, does=(_decided,)),

    Row(S.PARTLY,     AllPermitted,     S.PERMITTED,  (PERMITTED_TOLD,), because=BASIS, does=(_decided,)),
    Row(S.PARTLY,     SomePermitted,    S.PARTLY,     (PARTLY_TOLD,),    because=BASIS, does=(_decided,)),
    Row(S.PARTLY,     SomeLost,         S.PARTLY,     (REDUCED_TOLD,),   because=BASIS, does=(_decided,)),
    Row(S.PARTLY,     NonePermitted,    S.DENIED,     (DENIED_TOLD,),    because="never whole, so nothing was asked that must stop", does=(_decided,)),

    Row(S.DENIED,     AllPermitted,     S.PERMITTED,  (PERMITTED_TOLD,), because=BASIS, does=(_decided,)),
    Row(S.DENIED,     SomePermitted,    S.PARTLY,     (PARTLY_TOLD,),    because=BASIS, does=(_decided,)),
    Row(S.DENIED,     NonePermitted,    S.DENIED,     (),                because=UNCHANGED_SINCE, does=(_decided,)),

    *(Row(state,      KeepOpen,         state,        (),                because="the door asks for itself; this is for the lists", does=(_moved,)) for state in S),
    *(Row(state,      CloseTransmission, S.ENDED if state is S.ENDED else S.CLOSED, (), because="the handover has ended", does=(_moved,)) for state in S),
    *(Row(state,      NoteStored,       state,        (),                because="stored is stored, whatever came of the handover", does=(_stored,), provided=(BY_RECIPIENT,)) for state in S),
))
# fmt: on
