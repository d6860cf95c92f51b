"""The table of a transmission: what was last said about the items of one handover, and the word for the change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chassis.transitions import Condition, Context, Errand, Row, Table, Tell, Teller
from contracts.consent import (
    DecidedItem,
    TransmissionDenied,
    TransmissionEnded,
    TransmissionEvent,
    TransmissionPartly,
    TransmissionPermitted,
    TransmissionReduced,
    TransmissionTaskStated,
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
    StateTask,
    TakeFlags,
)
from services.consent.domain.decision import harmless
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


def _task(transmission: Transmission, command: StateTask, context: Context) -> Transmission:
    """Added, never written over: the last one of a norm counts, also where it says less."""
    return replace(transmission, stated=(*transmission.stated, replace(command.stated, at=context.now)))


def _moved(transmission: Transmission, command: CloseTransmission | KeepOpen, context: Context) -> Transmission:
    return replace(transmission, handover_state=command.moved.handover_state, recorded=command.moved.recorded)


def _stored(transmission: Transmission, command: NoteStored, context: Context) -> Transmission:
    return replace(transmission, stored=transmission.stored | set(command.items))


def _missing_flags(transmission: Transmission, command: TakeFlags, context: Context) -> Transmission:
    """Decided in an earlier life of the database: what the items are is taken in, and nothing is decided anew."""
    return transmission if transmission.items else _flags(transmission, command, context)


def _read_items(transmission: Transmission, command: OpenTransmission, context: Context) -> Errand:
    return read_items(transmission)


def read_items(transmission: Transmission) -> Errand:
    """Ask own intake what the proposed items are."""
    about = {
        "handover": str(transmission.handover),
        "proposal": str(transmission.proposal),
        "items": ",".join(str(item) for item in transmission.asked),
    }
    return Errand(READ_ITEMS, about, key=str(transmission.handover))


# --- what is told -----------------------------------------------------------------------------------------------------


def _says(event: type[TransmissionEvent]) -> Callable[[Transmission, Any, Context], Tell]:
    def tell(transmission: Transmission, command: Any, context: Context) -> Tell:
        items = tuple(DecidedItem(id=i.id, verdict=i.verdict, reason=i.reason) for i in transmission.verdicts)
        fact = event(handover=transmission.handover, transmission=transmission.id, items=items)
        return Tell(fact, scope=transmission.alliance)

    return tell


def _task_told(transmission: Transmission, command: StateTask, context: Context) -> Tell:
    """That something was stated; what, and why, stays here."""
    fact = TransmissionTaskStated(handover=transmission.handover, transmission=transmission.id)
    return Tell(fact, scope=transmission.alliance)


PERMITTED_TOLD, PARTLY_TOLD = _says(TransmissionPermitted), _says(TransmissionPartly)
DENIED_TOLD, REDUCED_TOLD, ENDED_TOLD = _says(TransmissionDenied), _says(TransmissionReduced), _says(TransmissionEnded)


def _taken_back(transmission: Transmission, command: StateTask) -> bool:
    """Whether it says of a task that was stated that it no longer holds, or for less: that is refused by nothing."""
    before = [each for each in transmission.stated if each.norm == command.stated.norm]
    return bool(before) and not (command.stated.categories - before[-1].categories)


TASKS_MAX = 50  # of one transmission, with those that were said anew: each is read at every decision
def _stating(question: Callable[[Transmission, StateTask], bool], reason: Reason) -> Condition[Transmission]:
    """What is asked of a statement, but of none that takes something back."""

    def asks(transmission: Transmission, command: Any, _: Context) -> bool:
        return _taken_back(transmission, command) or question(transmission, command)

    return Condition(asks, reason)


FEW = _stating(lambda transmission, _: len(transmission.stated) < TASKS_MAX, Reason.TOO_MANY_TASKS)
APPROVED = _stating(
    lambda _, command: command.stated.categories <= {category for row in command.rows for category in row.categories},
    Reason.NO_SUCH_TASK,
)
HARMLESS = _stating(
    lambda _, command: all(harmless(row, command.stated) for row in command.rows), Reason.HELP_ENDANGERED
)
BY_RECIPIENT: Condition[Transmission] = Condition(
    lambda transmission, command, _: transmission.recipient == command.by, Reason.NOT_THE_COUNTERPART
)


# --- the table --------------------------------------------------------------------------------------------------------

S = TransmissionState
OPEN = (S.UNDECIDED, S.PERMITTED, S.PARTLY, S.DENIED, S.REDUCED)
OVER = (S.ENDED, S.CLOSED)
NOTHING: tuple[Teller[Transmission], ...] = ()

PROPOSED = dict[str, Any](does=(_proposed,), also=(_read_items,))
BASIS = dict[str, Any](does=(_decided,), because="§§ 67b, 67d SGB X: no transmission without a basis")
SAME = dict[str, Any](does=(_decided,), because="told before and still so")
NEVER_WHOLE = dict[str, Any](does=(_decided,), because="never whole, so nothing was asked that must stop")
CUT = "the package was cut: what is left is decided anew"
LATE = "over; the handover is about to hear it or has said so itself"
TWICE = "read twice: the first reading was decided on"
LISTS = "the door asks for itself; this is for the lists"
NECESSARY = "§ 69(1) Nr. 1 SGB X: necessary for a task of the law; § 64(2) SGB VIII"
THE_END = "the handover has ended"
STORED = "stored is stored, whatever came of the handover"

# fmt: off
TRANSMISSIONS = Table[Transmission](not_now=Reason.NOT_NOW, by_people=frozenset({StateTask}), rows=(
    #   while        on                 then         tells              why and how
    Row(Before.NONE, OpenTransmission,  S.UNDECIDED, NOTHING,           because="§ 67d SGB X", **PROPOSED),
    *(Row(state,     OpenTransmission,  S.UNDECIDED, NOTHING,           because=CUT, **PROPOSED) for state in OPEN),
    *(Row(state,     OpenTransmission,  state,       NOTHING,           because=LATE) for state in OVER),

    Row(S.UNDECIDED, TakeFlags,         S.UNDECIDED, NOTHING,           because="§ 67d SGB X", does=(_flags,)),
    *(Row(state,     TakeFlags,         state,       NOTHING,           because=TWICE, does=(_missing_flags,))
      for state in (*OPEN[1:], *OVER)),

    *(Row(state,     StateTask,         state,       (_task_told,),     because=NECESSARY, does=(_task,),
          provided=(FEW, APPROVED, HARMLESS)) for state in OPEN),

    Row(S.UNDECIDED, AllPermitted,      S.PERMITTED, (PERMITTED_TOLD,), **BASIS),
    Row(S.UNDECIDED, SomePermitted,     S.PARTLY,    (PARTLY_TOLD,),    **BASIS),
    Row(S.UNDECIDED, NonePermitted,     S.DENIED,    (DENIED_TOLD,),    **BASIS),

    Row(S.PERMITTED, AllPermitted,      S.PERMITTED, NOTHING,           **SAME),
    Row(S.PERMITTED, SomeLost,          S.REDUCED,   (REDUCED_TOLD,),   **BASIS),
    Row(S.PERMITTED, NonePermitted,     S.ENDED,     (ENDED_TOLD,),     **BASIS),

    Row(S.REDUCED,   AllPermitted,      S.PERMITTED, (PERMITTED_TOLD,), **BASIS),
    Row(S.REDUCED,   SomePermitted,     S.REDUCED,   (PARTLY_TOLD,),    **BASIS),
    Row(S.REDUCED,   SomeLost,          S.REDUCED,   (REDUCED_TOLD,),   **BASIS),
    Row(S.REDUCED,   NonePermitted,     S.ENDED,     (ENDED_TOLD,),     **BASIS),

    Row(S.PARTLY,    AllPermitted,      S.PERMITTED, (PERMITTED_TOLD,), **BASIS),
    Row(S.PARTLY,    SomePermitted,     S.PARTLY,    (PARTLY_TOLD,),    **BASIS),
    Row(S.PARTLY,    SomeLost,          S.PARTLY,    (REDUCED_TOLD,),   **BASIS),
    Row(S.PARTLY,    NonePermitted,     S.DENIED,    (DENIED_TOLD,),    **NEVER_WHOLE),

    Row(S.DENIED,    AllPermitted,      S.PERMITTED, (PERMITTED_TOLD,), **BASIS),
    Row(S.DENIED,    SomePermitted,     S.PARTLY,    (PARTLY_TOLD,),    **BASIS),
    Row(S.DENIED,    NonePermitted,     S.DENIED,    NOTHING,           **SAME),

    *(Row(state,     KeepOpen,          state,       NOTHING,           because=LISTS, does=(_moved,))
      for state in (*OPEN, *OVER)),
    *(Row(state,     CloseTransmission, S.CLOSED,    NOTHING,           because=THE_END, does=(_moved,))
      for state in (*OPEN, S.CLOSED)),
    Row(S.ENDED,     CloseTransmission, S.ENDED,     NOTHING,           because=LATE, does=(_moved,)),
    *(Row(state,     NoteStored,        state,       NOTHING,           because=STORED, does=(_stored,),
          provided=(BY_RECIPIENT,)) for state in (*OPEN, *OVER)),
))
# fmt: on
