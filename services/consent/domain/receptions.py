"""The table of a reception: what has come to this agency under one handover, and its confirmation to the sender."""

from dataclasses import replace

from chassis.transitions import Context, Row, Table, Tell
from contracts.consent import ConsentStorageConfirmed
from services.consent.domain.commands import ConfirmStorage, NoteHandover
from services.consent.domain.reasons import Reason
from services.consent.domain.words import Reception, ReceptionState, Stored


def _copied(reception: Reception, command: NoteHandover, context: Context) -> Reception:
    return replace(
        reception, sender=command.counterpart, alliance=command.alliance,
        handover_state=command.handover_state, recorded=command.recorded,
    )


def _with_stored(reception: Reception, command: ConfirmStorage, context: Context) -> Reception:
    return replace(reception, stored=(*reception.stored, Stored(command.release, command.items)))


def _confirmations(before: Reception, after: Reception, command: object, context: Context) -> tuple[Tell, ...]:
    """As soon as it is known whom to tell, everything stored is confirmed; nothing twice."""
    if after.state is not ReceptionState.HEARD:
        return ()
    said = before.stored if before.state is ReceptionState.HEARD else ()
    return tuple(
        Tell(
            ConsentStorageConfirmed(handover=after.id, release=stored.release, items=stored.items),
            to=after.sender,
            scope=after.alliance,
        )
        for stored in after.stored
        if stored not in said
    )


S = ReceptionState

WHOM = "now it is known whom to confirm to"
FASTER = "intake was faster than handover: kept until it is known whom to tell"
ARRIVED = "Art. 5(2) GDPR: the sender knows what arrived"

# fmt: off
RECEPTIONS = Table[Reception](not_now=Reason.NOT_NOW, by_people=frozenset(), always=(_confirmations,), rows=(
    #   while      on              then       why and how
    Row(S.UNHEARD, NoteHandover,   S.HEARD,   because=WHOM, does=(_copied,)),
    Row(S.HEARD,   NoteHandover,   S.HEARD,   because="the copy has moved", does=(_copied,)),
    Row(S.UNHEARD, ConfirmStorage, S.UNHEARD, because=FASTER, does=(_with_stored,)),
    Row(S.HEARD,   ConfirmStorage, S.HEARD,   because=ARRIVED, does=(_with_stored,)),
))
# fmt: on
