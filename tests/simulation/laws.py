"""The laws of a history, each by its sentence."""

from typing import Final

LEAD: Final = "a case is never without an agency in charge, and has two only while a first contact's word travels"
ONE_BATON: Final = "at most one open handover of a case can move its lead"
ENDS_STAY: Final = "an end is never left"
BASIS: Final = "nothing is released without a basis at that instant"
AFTER_WITHDRAWN: Final = "after the answer withdrawn not one more byte leaves"
DOOR_SHUT: Final = "no byte leaves once the sender's copy is not open, two seconds for what was under way"
ONCE: Final = "every fact is heard once"
IN_ORDER: Final = "the facts about a subject are heard in order"
NOT_PARKED: Final = "whatever order facts come in, nothing waits for a human but what follows a hole"
HAS_A_ROW: Final = "what happens has a row"

FAIR: Final = "a handover expires only when what the other agency has sent has been read"

HEARD: Final = "when faults stop, everything told has been heard by everybody who hears it"
WORKED_ON: Final = "every handover ends, or is being worked on"
COPIES_AGREE: Final = "when all is quiet both copies agree, or each has recorded the other's end"
LEAD_KNOWN: Final = "when all is quiet intake and handover agree on who is in charge"
BATON_BACK: Final = "the baton is held by those handovers that still need it, and by nobody else"
EVERYBODY_TOLD: Final = "everybody who was sent something is told of the withdrawal"
WAITS_FOR_ALL: Final = "who has passed data on answers when everybody has answered whom it told"
DUTIES_AGREE: Final = "both agencies agree on what is owed after a withdrawal"
ERASED: Final = "what has to be erased is erased"
DOSSIERS: Final = "a dossier that is waited for is being fetched"
NEIGHBOURS_KNOW: Final = "when all is quiet each service knows what its neighbour has said"
DOOR_CLOSED: Final = "every release is closed and told, every written withdrawal carried out"
CATALOGUE: Final = "every copy of an offer says what its owner says"
CLOCKS: Final = "the clocks that run are the deadlines that are set"


class Broken(AssertionError):
    """A law does not hold."""

    def __init__(self, law: str, what: str) -> None:
        super().__init__(f"{law}: {what}")
        self.law, self.what = law, what
