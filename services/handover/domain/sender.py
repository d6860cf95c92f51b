"""THE TABLE of the sender: one row per state and command or fact, as in tests/models/handover_protocol.json.

The local states `draft`, `proposed` and `awaiting_basis` are all the protocol's `draft`; how one becomes the other is
in local.py. What is owed about data after a withdrawal is consent's (`ConsentEnded`, `DataAnswered`, the door).
"""

from chassis.transitions import Row
from contracts.codes import HandoverState as S

from .commands import (
    AcceptanceDeclared,
    Answer,
    CancelConfirmed,
    CancelDenied,
    Completed,
    ConfirmRedirect,
    ConsentWithdrawn,
    Discard,
    EndHeard,
    Expire,
    FirstContactMade,
    GivenBack,
    InquiryMade,
    NotReached,
    Paused,
    RedirectProposed,
    Rejected,
    Request,
    RequestCancel,
    Resumed,
    Void,
    Waitlisted,
    Withdraw,
)
from .conditions import basis_valid
from .effects import (
    await_word,
    drop_lead,
    hear_word,
    note_outcome,
    note_question,
    note_reason,
    note_redirect,
    note_review,
    note_verdicts,
    record_end,
)
from .facts import (
    acceptance_confirmed,
    answered,
    cancel_requested,
    expired,
    redirect_confirmed,
    requested,
    stopped,
    voided,
    withdrawn,
)
from .rows import row
from .subject import Handover

CONSENT = "Art. 7(3) GDPR: a withdrawal is never refused, in no state"
CROSSED = "crossed with our end, which the receiver is about to hear"

# fmt: off
SENDER: tuple[Row[Handover], ...] = (
    #   while          on                  then           tells         does
    # The only way the receiver ever learns that there is a handover; who transmits answers for the basis, § 67d SGB X.
    row(S.PROPOSED,     Request,            S.REQUESTED,   (requested,), (note_verdicts,), provided=(basis_valid,)),
    row(S.AWAITING_BASIS, Request,          S.REQUESTED,   (requested,), (note_verdicts,), provided=(basis_valid,)),
    # Nothing was ever sent, so nobody is told: who was never asked must not learn that there was something to ask.
    row(S.DRAFT,        Discard,            S.WITHDRAWN),
    row(S.PROPOSED,     Discard,            S.WITHDRAWN),
    row(S.AWAITING_BASIS, Discard,          S.WITHDRAWN),
    # Until its copy has heard the acceptance the sender decides alone; an acceptance on its way loses.
    row(S.REQUESTED,    Withdraw,           S.WITHDRAWN,   (withdrawn,)),
    row(S.INQUIRY,      Withdraw,           S.WITHDRAWN,   (withdrawn,)),
    row(S.WAITLISTED,   Withdraw,           S.WITHDRAWN,   (withdrawn,)),
    row(S.REDIRECTING,  Withdraw,           S.WITHDRAWN,   (withdrawn,)),
    row(S.INQUIRY,      Answer,             S.REQUESTED,   (answered,)),
    row(S.REDIRECTING,  ConfirmRedirect,    S.REDIRECTED,  (redirect_confirmed,)),
    row(S.REQUESTED,    Expire,             S.EXPIRED,     (expired,)),
    row(S.INQUIRY,      Expire,             S.EXPIRED,     (expired,)),
    row(S.WAITLISTED,   Expire,             S.EXPIRED,     (expired,)),
    row(S.REDIRECTING,  Expire,             S.EXPIRED,     (expired,)),
    # Both have said yes: only both can undo it. The door is closed while the request is open.
    row(S.ACCEPTED,     RequestCancel,      S.CANCELLING,  (cancel_requested,), (note_reason,)),
    # Entered in error: the door closes at once. Out of accepted or cancelling somebody may have been met already.
    row(S.REQUESTED,    Void,               S.VOIDED,      (voided,),    (note_reason,)),
    row(S.INQUIRY,      Void,               S.VOIDED,      (voided,),    (note_reason,)),
    row(S.WAITLISTED,   Void,               S.VOIDED,      (voided,),    (note_reason,)),
    row(S.REDIRECTING,  Void,               S.VOIDED,      (voided,),    (note_reason,)),
    row(S.ACCEPTED,     Void,               S.VOIDED,      (voided,),    (note_reason, await_word)),
    row(S.CANCELLING,   Void,               S.VOIDED,      (voided,),    (note_reason, await_word)),
    row(S.ACTIVE,       Void,               S.VOIDED,      (voided,),    (note_reason,)),
    row(S.PAUSED,       Void,               S.VOIDED,      (voided,),    (note_reason,)),

    # The legal basis has ended. After completion consent alone tells the recipients (ConsentEnded).
    row(S.DRAFT,        ConsentWithdrawn,   S.STOPPED,     (),           (note_verdicts,), because=CONSENT),
    row(S.PROPOSED,     ConsentWithdrawn,   S.STOPPED,     (),           (note_verdicts,), because=CONSENT),
    row(S.AWAITING_BASIS, ConsentWithdrawn, S.STOPPED,     (),           (note_verdicts,), because=CONSENT),
    row(S.REQUESTED,    ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,), because=CONSENT),
    row(S.INQUIRY,      ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,), because=CONSENT),
    row(S.WAITLISTED,   ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,), because=CONSENT),
    row(S.REDIRECTING,  ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,), because=CONSENT),
    row(S.ACCEPTED,     ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts, await_word), because=CONSENT),
    row(S.CANCELLING,   ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts, await_word), because=CONSENT),
    row(S.ACTIVE,       ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,), because=CONSENT),
    row(S.PAUSED,       ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,), because=CONSENT),
    row(S.COMPLETED,    ConsentWithdrawn,   S.COMPLETED,   (),           (note_verdicts,), because=CONSENT),
    row(S.REJECTED,     ConsentWithdrawn,   S.REJECTED,    (),           (note_verdicts,), because=CONSENT),
    row(S.WITHDRAWN,    ConsentWithdrawn,   S.WITHDRAWN,   (),           (note_verdicts,), because=CONSENT),
    row(S.EXPIRED,      ConsentWithdrawn,   S.EXPIRED,     (),           (note_verdicts,), because=CONSENT),
    row(S.REDIRECTED,   ConsentWithdrawn,   S.REDIRECTED,  (),           (note_verdicts,), because=CONSENT),
    row(S.CANCELLED,    ConsentWithdrawn,   S.CANCELLED,   (),           (note_verdicts,), because=CONSENT),
    row(S.NOT_REACHED,  ConsentWithdrawn,   S.NOT_REACHED, (),           (note_verdicts,), because=CONSENT),
    row(S.GIVEN_BACK,   ConsentWithdrawn,   S.GIVEN_BACK,  (),           (note_verdicts,), because=CONSENT),
    row(S.VOIDED,       ConsentWithdrawn,   S.VOIDED,      (),           (note_verdicts,), because=CONSENT),

    # The receiver's word while it is still asked.
    row(S.REQUESTED,    InquiryMade,        S.INQUIRY,     (),           (note_question,)),
    row(S.WITHDRAWN,    InquiryMade,        S.WITHDRAWN, because=CROSSED),
    row(S.EXPIRED,      InquiryMade,        S.EXPIRED, because=CROSSED),
    row(S.STOPPED,      InquiryMade,        S.STOPPED, because=CROSSED),
    row(S.VOIDED,       InquiryMade,        S.VOIDED, because=CROSSED),
    row(S.REQUESTED,    Waitlisted,         S.WAITLISTED,  (),           (note_review,)),
    row(S.INQUIRY,      Waitlisted,         S.WAITLISTED,  (),           (note_review,)),
    row(S.WITHDRAWN,    Waitlisted,         S.WITHDRAWN, because=CROSSED),
    row(S.EXPIRED,      Waitlisted,         S.EXPIRED, because=CROSSED),
    row(S.STOPPED,      Waitlisted,         S.STOPPED, because=CROSSED),
    row(S.VOIDED,       Waitlisted,         S.VOIDED, because=CROSSED),
    row(S.REQUESTED,    RedirectProposed,   S.REDIRECTING, (),           (note_redirect,)),
    row(S.WITHDRAWN,    RedirectProposed,   S.WITHDRAWN, because=CROSSED),
    row(S.EXPIRED,      RedirectProposed,   S.EXPIRED, because=CROSSED),
    row(S.STOPPED,      RedirectProposed,   S.STOPPED, because=CROSSED),
    row(S.VOIDED,       RedirectProposed,   S.VOIDED, because=CROSSED),
    # The moment both have said yes: the door opens, the lead stays here.
    row(S.REQUESTED,    AcceptanceDeclared, S.ACCEPTED,    (acceptance_confirmed,)),
    row(S.INQUIRY,      AcceptanceDeclared, S.ACCEPTED,    (acceptance_confirmed,)),
    row(S.WAITLISTED,   AcceptanceDeclared, S.ACCEPTED,    (acceptance_confirmed,)),
    row(S.WITHDRAWN,    AcceptanceDeclared, S.WITHDRAWN, because=CROSSED),
    row(S.EXPIRED,      AcceptanceDeclared, S.EXPIRED, because=CROSSED),
    row(S.STOPPED,      AcceptanceDeclared, S.STOPPED, because=CROSSED),
    row(S.VOIDED,       AcceptanceDeclared, S.VOIDED, because=CROSSED),
    row(S.REQUESTED,    Rejected,           S.REJECTED,    (),           (note_reason,)),
    row(S.INQUIRY,      Rejected,           S.REJECTED,    (),           (note_reason,)),
    row(S.WAITLISTED,   Rejected,           S.REJECTED,    (),           (note_reason,)),
    row(S.WITHDRAWN,    Rejected,           S.WITHDRAWN,   (),           (record_end,)),
    row(S.EXPIRED,      Rejected,           S.EXPIRED,     (),           (record_end,)),
    row(S.STOPPED,      Rejected,           S.STOPPED,     (),           (record_end,)),
    row(S.VOIDED,       Rejected,           S.VOIDED,      (),           (record_end,)),

    # The young person has been met: only now the lead goes, also where our end is on its way.
    row(S.ACCEPTED,     FirstContactMade,   S.ACTIVE,      (),           (drop_lead,)),
    row(S.CANCELLING,   FirstContactMade,   S.ACTIVE,      (),           (drop_lead,)),
    row(S.STOPPED,      FirstContactMade,   S.STOPPED,     (),           (drop_lead, hear_word)),
    row(S.VOIDED,       FirstContactMade,   S.VOIDED,      (),           (drop_lead, hear_word)),
    # Nobody was met: the lead never left. Each of these also answers an open cancel request.
    row(S.ACCEPTED,     NotReached,         S.NOT_REACHED),
    row(S.CANCELLING,   NotReached,         S.NOT_REACHED),
    row(S.STOPPED,      NotReached,         S.STOPPED,     (),           (record_end, hear_word)),
    row(S.VOIDED,       NotReached,         S.VOIDED,      (),           (record_end, hear_word)),
    row(S.ACCEPTED,     GivenBack,          S.GIVEN_BACK,  (),           (note_reason,)),
    row(S.CANCELLING,   GivenBack,          S.GIVEN_BACK,  (),           (note_reason,)),
    row(S.STOPPED,      GivenBack,          S.STOPPED,     (),           (record_end, hear_word)),
    row(S.VOIDED,       GivenBack,          S.VOIDED,      (),           (record_end, hear_word)),
    row(S.CANCELLING,   CancelConfirmed,    S.CANCELLED),
    row(S.STOPPED,      CancelConfirmed,    S.STOPPED,     (),           (record_end, hear_word)),
    row(S.VOIDED,       CancelConfirmed,    S.VOIDED,      (),           (record_end, hear_word)),
    # A denial says nothing about whether somebody was met: it is not the word awaited.
    row(S.CANCELLING,   CancelDenied,       S.ACCEPTED),
    row(S.ACTIVE,       CancelDenied,       S.ACTIVE, because="first contact already said it"),
    row(S.PAUSED,       CancelDenied,       S.PAUSED, because="first contact already said it"),
    row(S.STOPPED,      CancelDenied,       S.STOPPED, because=CROSSED),
    row(S.VOIDED,       CancelDenied,       S.VOIDED, because=CROSSED),

    # The receiver leads.
    row(S.ACTIVE,       Paused,             S.PAUSED,      (),           (note_reason, note_review)),
    row(S.PAUSED,       Resumed,            S.ACTIVE),
    row(S.STOPPED,      Paused,             S.STOPPED, because=CROSSED),
    row(S.VOIDED,       Paused,             S.VOIDED, because=CROSSED),
    row(S.STOPPED,      Resumed,            S.STOPPED, because=CROSSED),
    row(S.VOIDED,       Resumed,            S.VOIDED, because=CROSSED),
    row(S.ACTIVE,       Completed,          S.COMPLETED,   (),           (note_outcome,)),
    row(S.PAUSED,       Completed,          S.COMPLETED,   (),           (note_outcome,)),
    row(S.STOPPED,      Completed,          S.STOPPED,     (),           (note_outcome, record_end, hear_word)),
    row(S.VOIDED,       Completed,          S.VOIDED,      (),           (note_outcome, record_end, hear_word)),

    # The word awaited: nobody was met and nobody will be. The lead stays here for good, the case is free again.
    row(S.STOPPED,      EndHeard,           S.STOPPED,     (),           (hear_word,)),
    row(S.VOIDED,       EndHeard,           S.VOIDED,      (),           (hear_word,)),
)
# fmt: on
