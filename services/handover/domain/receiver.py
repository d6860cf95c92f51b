"""THE TABLE of the receiver: one row per state and command or fact, as in tests/models/handover_protocol.json.

What it holds of the sender's data is intake's (the dossier) and consent's (the duty to answer: `AnswerOnData`,
`ConsentEnded`); both follow `handover.changed`.
"""

from chassis.transitions import Row
from contracts.codes import HandoverState as S

from .commands import (
    Accept,
    AcceptanceConfirmed,
    Answered,
    Ask,
    CancelRequested,
    Complete,
    ConfirmCancel,
    DenyCancel,
    Expired,
    GiveBack,
    Pause,
    ProposeRedirect,
    RecordFirstContact,
    RecordNotReached,
    RedirectConfirmed,
    Reject,
    Requested,
    Resume,
    Stopped,
    Voided,
    Waitlist,
    Withdrawn,
)
from .conditions import (
    agreed_with_the_sender,
    has_happened,
    of_a_supported_kind,
    review_ahead,
    review_in_time,
    to_a_third_agency,
    tried_in_earnest,
)
from .effects import (
    begin_as_receiver,
    erase_preview,
    note_outcome,
    note_question,
    note_reason,
    note_redirect,
    note_review,
    own_case,
    record_end,
    take_lead,
)
from .facts import (
    acceptance_declared,
    cancel_confirmed,
    cancel_denied,
    completed,
    end_heard,
    first_contact_made,
    given_back,
    inquiry_made,
    not_reached,
    paused,
    redirect_proposed,
    rejected,
    resumed,
    waitlisted,
)
from .rows import row
from .subject import Handover

CROSSED = "crossed with our own word, which the sender is about to hear"
MET, TRIED, THIRD, AHEAD = (has_happened,), (tried_in_earnest,), (to_a_third_agency,), (review_ahead,)
BEGINS = (of_a_supported_kind, agreed_with_the_sender)

# fmt: off
RECEIVER: tuple[Row[Handover], ...] = (
    #   while          on                   then           tells         does
    # Only the preview comes along, never the dossier.
    row(S.NONE,        Requested,           S.REQUESTED,   (),           (begin_as_receiver,), provided=BEGINS),
    # A declaration, no more: no dossier and no contact until the sender has confirmed.
    row(S.REQUESTED,   Accept,              S.ACCEPTING,   (acceptance_declared,)),
    row(S.INQUIRY,     Accept,              S.ACCEPTING,   (acceptance_declared,)),
    row(S.WAITLISTED,  Accept,              S.ACCEPTING,   (acceptance_declared,)),
    row(S.ACCEPTING,   AcceptanceConfirmed, S.ACCEPTED,    (),           (own_case,)),
    row(S.REQUESTED,   Reject,              S.REJECTED,    (rejected,),  (note_reason, erase_preview)),
    row(S.INQUIRY,     Reject,              S.REJECTED,    (rejected,),  (note_reason, erase_preview)),
    row(S.WAITLISTED,  Reject,              S.REJECTED,    (rejected,),  (note_reason, erase_preview)),
    # One question at a time, and none from the waiting list: an old answer would be taken for the new one.
    row(S.REQUESTED,   Ask,                 S.INQUIRY,     (inquiry_made,), (note_question,)),
    row(S.INQUIRY,     Answered,            S.REQUESTED),
    row(S.WAITLISTED,  Answered,            S.WAITLISTED,  because=CROSSED),
    row(S.ACCEPTING,   Answered,            S.ACCEPTING,   because=CROSSED),
    row(S.REJECTED,    Answered,            S.REJECTED,    because=CROSSED),
    row(S.REQUESTED,   Waitlist,            S.WAITLISTED,  (waitlisted,), (note_review,), provided=(review_in_time,)),
    row(S.INQUIRY,     Waitlist,            S.WAITLISTED,  (waitlisted,), (note_review,), provided=(review_in_time,)),
    # Only once, and only before any other answer; then wait for the sender.
    row(S.REQUESTED,   ProposeRedirect,     S.REDIRECTING, (redirect_proposed,), (note_redirect,), provided=THIRD),
    row(S.REDIRECTING, RedirectConfirmed,   S.REDIRECTED,  (),           (erase_preview,)),

    # The young person has been met: the lead is taken in the transaction that tells it.
    row(S.ACCEPTED,    RecordFirstContact,  S.ACTIVE,      (first_contact_made,), (take_lead,), provided=MET),
    # First the reason, then the no to the cancel request.
    row(S.CANCELLING,  RecordFirstContact,  S.ACTIVE, (first_contact_made, cancel_denied), (take_lead,), provided=MET),
    # Before first contact only: the lead never left the sender, nothing is kept.
    row(S.ACCEPTED,    RecordNotReached,    S.NOT_REACHED, (not_reached,), (erase_preview,), provided=TRIED),
    row(S.CANCELLING,  RecordNotReached,    S.NOT_REACHED, (not_reached,), (erase_preview,), provided=TRIED),
    row(S.ACCEPTED,    GiveBack,            S.GIVEN_BACK,  (given_back,), (note_reason, erase_preview)),
    row(S.CANCELLING,  GiveBack,            S.GIVEN_BACK,  (given_back,), (note_reason, erase_preview)),
    # A cancel request is always answered in words, also where first contact has answered it already.
    row(S.ACCEPTED,    CancelRequested,     S.CANCELLING,  (),           (note_reason,)),
    row(S.CANCELLING,  ConfirmCancel,       S.CANCELLED,   (cancel_confirmed,), (erase_preview,)),
    row(S.CANCELLING,  DenyCancel,          S.ACCEPTED,    (cancel_denied,)),
    row(S.ACTIVE,      CancelRequested,     S.ACTIVE,      (cancel_denied,)),
    row(S.PAUSED,      CancelRequested,     S.PAUSED,      (cancel_denied,)),
    row(S.NOT_REACHED, CancelRequested,     S.NOT_REACHED, because=CROSSED),
    row(S.GIVEN_BACK,  CancelRequested,     S.GIVEN_BACK,  because=CROSSED),
    row(S.COMPLETED,   CancelRequested,     S.COMPLETED,   because=CROSSED),

    # We lead.
    row(S.ACTIVE,      Pause,               S.PAUSED,      (paused,),    (note_reason, note_review), provided=AHEAD),
    row(S.PAUSED,      Resume,              S.ACTIVE,      (resumed,)),
    row(S.ACTIVE,      Complete,            S.COMPLETED,   (completed,), (note_outcome,)),
    row(S.PAUSED,      Complete,            S.COMPLETED,   (completed,), (note_outcome,)),

    # The sender ended it before our acceptance arrived: nothing was read, nobody was met.
    row(S.REQUESTED,   Withdrawn,           S.WITHDRAWN,   (),           (erase_preview,)),
    row(S.INQUIRY,     Withdrawn,           S.WITHDRAWN,   (),           (erase_preview,)),
    row(S.WAITLISTED,  Withdrawn,           S.WITHDRAWN,   (),           (erase_preview,)),
    row(S.REDIRECTING, Withdrawn,           S.WITHDRAWN,   (),           (erase_preview,)),
    row(S.ACCEPTING,   Withdrawn,           S.WITHDRAWN,   (),           (erase_preview,)),
    row(S.REJECTED,    Withdrawn,           S.REJECTED,    (),           (record_end,)),
    row(S.REQUESTED,   Expired,             S.EXPIRED,     (),           (erase_preview,)),
    row(S.INQUIRY,     Expired,             S.EXPIRED,     (),           (erase_preview,)),
    row(S.WAITLISTED,  Expired,             S.EXPIRED,     (),           (erase_preview,)),
    row(S.REDIRECTING, Expired,             S.EXPIRED,     (),           (erase_preview,)),
    row(S.ACCEPTING,   Expired,             S.EXPIRED,     (),           (erase_preview,)),
    row(S.REJECTED,    Expired,             S.REJECTED,    (),           (record_end,)),

    # The legal basis has ended. Out of accepted and cancelling we say that nobody was met and nobody will be.
    row(S.REQUESTED,   Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.INQUIRY,     Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.WAITLISTED,  Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.REDIRECTING, Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.ACCEPTING,   Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.ACCEPTED,    Stopped,             S.STOPPED,     (end_heard,), (erase_preview,)),
    row(S.CANCELLING,  Stopped,             S.STOPPED,     (end_heard,), (erase_preview,)),
    row(S.ACTIVE,      Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.PAUSED,      Stopped,             S.STOPPED,     (),           (erase_preview,)),
    row(S.COMPLETED,   Stopped,             S.COMPLETED,   (),           (record_end,)),
    row(S.REJECTED,    Stopped,             S.REJECTED,    (),           (record_end,)),
    row(S.NOT_REACHED, Stopped,             S.NOT_REACHED, (),           (record_end,)),
    row(S.GIVEN_BACK,  Stopped,             S.GIVEN_BACK,  (),           (record_end,)),
    row(S.CANCELLED,   Stopped,             S.CANCELLED,   (),           (record_end,)),

    # Entered in error: whatever came from the sender goes at once. Whoever was met stays with us.
    row(S.REQUESTED,   Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.INQUIRY,     Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.WAITLISTED,  Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.REDIRECTING, Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.ACCEPTING,   Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.ACCEPTED,    Voided,              S.VOIDED,      (end_heard,), (note_reason, erase_preview)),
    row(S.CANCELLING,  Voided,              S.VOIDED,      (end_heard,), (note_reason, erase_preview)),
    row(S.ACTIVE,      Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.PAUSED,      Voided,              S.VOIDED,      (),           (note_reason, erase_preview)),
    row(S.COMPLETED,   Voided,              S.COMPLETED,   (),           (record_end, erase_preview)),
    row(S.REJECTED,    Voided,              S.REJECTED,    (),           (record_end,)),
    row(S.NOT_REACHED, Voided,              S.NOT_REACHED, (),           (record_end,)),
    row(S.GIVEN_BACK,  Voided,              S.GIVEN_BACK,  (),           (record_end,)),
    row(S.CANCELLED,   Voided,              S.CANCELLED,   (),           (record_end,)),
)
# fmt: on
