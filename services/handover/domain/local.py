"""What the protocol does not see: the sender before it asks, closed cases, and clocks that only call people.

Not compared with the model; it says what the protocol's `draft` is made of, and lets pass what may be heard at any
time from the own consent and intake.
"""

from dataclasses import replace

from chassis.transitions import Row
from contracts.codes import END_STATES
from contracts.codes import HandoverState as S

from .clocks import next_review, strike
from .commands import (
    AwaitBasis,
    CaseClosed,
    ConsentWithdrawn,
    CutPackage,
    DenyBasis,
    Draft,
    Escalate,
    LapseBasis,
    MissConfirmation,
    MissContact,
    MissReview,
    Propose,
    Remind,
    Request,
)
from .conditions import (
    a_real_cut,
    agreed,
    baton_free,
    case_active,
    case_known,
    case_still_active,
    of_a_supported_kind,
    of_this_case,
    still_agreed,
    to_another_agency,
)
from .effects import begin_as_sender, cut, note_reason, note_verdicts, take_baton, take_preview
from .facts import cancel_requested, proposed, withdrawn
from .rows import row
from .sender import SENDER
from .subject import Clock, Handover

DRAFTABLE = (to_another_agency, of_a_supported_kind, agreed, case_known, case_active)
PROPOSABLE = (of_this_case, still_agreed, case_still_active, baton_free)
CUTTABLE = (a_real_cut, case_still_active)

SENT = (S.REQUESTED, S.INQUIRY, S.WAITLISTED, S.REDIRECTING, S.ACCEPTED, S.CANCELLING, S.ACTIVE, S.PAUSED)
ENDS = tuple(state for state in S if state in END_STATES)

# fmt: off
SENDER_LOCAL: tuple[Row[Handover], ...] = (
    #   while             on          then              tells        does
    row(S.NONE,           Draft,      S.DRAFT,          (),          (begin_as_sender,), provided=DRAFTABLE),
    # One baton per case: taken here, held through awaiting_basis, free again at the end.
    row(S.DRAFT,          Propose,    S.PROPOSED,       (proposed,), (take_baton, take_preview), provided=PROPOSABLE),
    row(S.DRAFT,          CutPackage, S.DRAFT,          (),          (cut,), provided=(a_real_cut,)),
    row(S.PROPOSED,       AwaitBasis, S.AWAITING_BASIS, (),          (note_verdicts,)),
    row(S.AWAITING_BASIS, AwaitBasis, S.AWAITING_BASIS, (),          (note_verdicts,)),
    row(S.PROPOSED,       DenyBasis,  S.AWAITING_BASIS, (),          (note_verdicts,)),
    row(S.AWAITING_BASIS, DenyBasis,  S.AWAITING_BASIS, (),          (note_verdicts,)),
    row(S.AWAITING_BASIS, CutPackage, S.PROPOSED,       (proposed,), (cut, take_preview), provided=CUTTABLE),
    row(S.AWAITING_BASIS, LapseBasis, S.DRAFT),

    # A case can close while a handover of it runs.
    row(S.DRAFT,          CaseClosed, S.WITHDRAWN),
    row(S.PROPOSED,       CaseClosed, S.WITHDRAWN),
    row(S.AWAITING_BASIS, CaseClosed, S.WITHDRAWN),
    row(S.REQUESTED,      CaseClosed, S.WITHDRAWN,      (withdrawn,)),
    row(S.INQUIRY,        CaseClosed, S.WITHDRAWN,      (withdrawn,)),
    row(S.WAITLISTED,     CaseClosed, S.WITHDRAWN,      (withdrawn,)),
    row(S.REDIRECTING,    CaseClosed, S.WITHDRAWN,      (withdrawn,)),
    row(S.ACCEPTED,       CaseClosed, S.CANCELLING,     (cancel_requested,), (note_reason,)),
    row(S.CANCELLING,     CaseClosed, S.CANCELLING,     because="undoing it is asked already"),
    row(S.ACTIVE,         CaseClosed, S.ACTIVE,         because="the lead has gone already"),
    row(S.PAUSED,         CaseClosed, S.PAUSED,         because="the lead has gone already"),
    *(row(end, CaseClosed, end, because="it has ended already") for end in ENDS),

    # Consent decides again whenever a grant begins or ends; once asked only ConsentWithdrawn moves anything.
    row(S.DRAFT,          Request,    S.DRAFT,          (),          (note_verdicts,)),
    row(S.DRAFT,          AwaitBasis, S.DRAFT,          (),          (note_verdicts,)),
    row(S.DRAFT,          DenyBasis,  S.DRAFT,          (),          (note_verdicts,)),
    *(row(state, Request, state, (), (note_verdicts,)) for state in SENT + ENDS),
    *(row(state, AwaitBasis, state, (), (note_verdicts,)) for state in SENT + ENDS),
    row(S.STOPPED,        ConsentWithdrawn, S.STOPPED,  (),          (note_verdicts,), because="ended once more"),
    # A package that is cut while an older permit is on its way is asked by that permit and decided anew: a denial that
    # comes after the asking ends the basis like any other end of it.
    *(replace(ended, on=DenyBasis) for ended in SENDER if ended.on is ConsentWithdrawn and ended.while_ in SENT + ENDS),
    row(S.STOPPED,        DenyBasis,  S.STOPPED,        (),          (note_verdicts,)),

    # Clocks that end nothing call people: what has struck is shown in every view.
    row(S.REQUESTED,      Remind,      S.REQUESTED,     (),          (strike(Clock.REMIND),)),
    row(S.REQUESTED,      Escalate,    S.REQUESTED,     (),          (strike(Clock.ESCALATE),)),
    row(S.WAITLISTED,     MissReview,  S.WAITLISTED,    (),          (next_review,)),
    row(S.ACCEPTED,       MissContact, S.ACCEPTED,      (),          (strike(Clock.CONTACT),)),
    row(S.CANCELLING,     MissContact, S.CANCELLING,    (),          (strike(Clock.CONTACT),)),
)

RECEIVER_LOCAL: tuple[Row[Handover], ...] = (
    row(S.REQUESTED,      Remind,      S.REQUESTED,     (),          (strike(Clock.REMIND),)),
    row(S.REQUESTED,      Escalate,    S.REQUESTED,     (),          (strike(Clock.ESCALATE),)),
    row(S.WAITLISTED,     MissReview,  S.WAITLISTED,    (),          (next_review,)),
    row(S.ACCEPTING,      MissConfirmation, S.ACCEPTING, (),         (strike(Clock.CONFIRM),)),
    row(S.ACCEPTED,       MissContact, S.ACCEPTED,      (),          (strike(Clock.CONTACT),)),
    row(S.CANCELLING,     MissContact, S.CANCELLING,    (),          (strike(Clock.CONTACT),)),
)
# fmt: on
