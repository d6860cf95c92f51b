"""Closed lists of codes, each code with the German label people see.

The value stands for itself on the wire and in databases; unknown codes are refused. A list grows only with a release.
Sources of the lists: the agreed vocabulary of the alliance, section and norm named where one exists.
"""

from enum import IntEnum, StrEnum
from typing import Final


class Service(StrEnum):
    """The four services every agency runs."""

    INTAKE = "intake"
    CONSENT = "consent"
    HANDOVER = "handover"
    OFFERS = "offers"


class Sphere(StrEnum):
    """Rechtskreis: whose law an agency works under."""

    SGB_II = "SGB_II"
    SGB_III = "SGB_III"
    SGB_VIII = "SGB_VIII"
    SCHULE = "SCHULE"
    DRITTE = "DRITTE"


class AgencyKind(StrEnum):
    """What sort of organisation an agency is; names of German law stay German."""

    JOBCENTER = "jobcenter"
    AGENTUR = "agentur"
    JUGENDAMT = "jugendamt"
    SCHULE = "schule"
    PROVIDER = "provider"


class JobcenterKind(StrEnum):
    """Who runs a Jobcenter (§§ 6a, 44b SGB II); it decides who is the controller of its data."""

    GE = "ge"
    ZKT = "zkt"


class Role(StrEnum):
    """What a caller may be; who leads a case is a relation to that case and no role."""

    CASEWORKER = "caseworker"
    TEAM_LEAD = "team_lead"
    COORDINATION = "coordination"
    CATALOGUE_EDITOR = "catalogue_editor"
    PROVIDER = "provider"
    SCHOOL = "school"
    DATA_PROTECTION_OFFICER = "data_protection_officer"
    YOUNG_PERSON = "young_person"
    SYSTEM = "system"


class Need(StrEnum):
    """Bedarfslage; the last eight are sensitive (`SENSITIVE_NEEDS`) and are on no topic."""

    ORIENTATION = "orientation"
    APPLICATION_HELP = "application_help"
    NO_CERTIFICATE = "no_certificate"
    SCHOOL_REFUSAL = "school_refusal"
    TRAINING_SEARCH = "training_search"
    TRAINING_DROPOUT = "training_dropout"
    WORK_SEARCH = "work_search"
    COMPETENCE_GAP = "competence_gap"
    LANGUAGE = "language"
    MOBILITY = "mobility"
    HOUSING = "housing"
    DEBTS = "debts"
    FAMILY_CONFLICT = "family_conflict"
    CHILDCARE = "childcare"
    CARE_OF_RELATIVES = "care_of_relatives"
    LEISURE_CONTACTS = "leisure_contacts"
    HEALTH = "health"
    PSYCHOSOCIAL = "psychosocial"
    ADDICTION = "addiction"
    DISABILITY = "disability"
    RESIDENCE_STATUS = "residence_status"
    OFFENCES = "offences"
    VIOLENCE = "violence"
    CHILD_PROTECTION = "child_protection"


SENSITIVE_NEEDS: Final = frozenset(
    {
        Need.HEALTH,
        Need.PSYCHOSOCIAL,
        Need.ADDICTION,
        Need.DISABILITY,
        Need.RESIDENCE_STATUS,
        Need.OFFENCES,
        Need.VIOLENCE,
        Need.CHILD_PROTECTION,
    }
)


class CompetenceArea(StrEnum):
    """Whose task it seems to be: what a receiver needs to judge "not competent"."""

    PLACEMENT = "placement"
    TRAINING_SUPPORT = "training_support"
    BASIC_SECURITY = "basic_security"
    YOUTH_WELFARE = "youth_welfare"
    SCHOOL = "school"
    REHABILITATION = "rehabilitation"
    DEBT_COUNSELLING = "debt_counselling"
    ADDICTION_COUNSELLING = "addiction_counselling"
    HOUSING = "housing"
    MIGRATION_ADVICE = "migration_advice"
    OTHER = "other"


class Purpose(StrEnum):
    """What data are transmitted for (§ 67c SGB X binds the receiver to it)."""

    VOCATIONAL_ORIENTATION = "vocational_orientation"
    TRAINING_PLACEMENT = "training_placement"
    WORK_PLACEMENT = "work_placement"
    INCOME_SUPPORT = "income_support"
    YOUTH_WELFARE_SUPPORT = "youth_welfare_support"
    STABILISATION = "stabilisation"
    REHABILITATION = "rehabilitation"
    SCHOOL_COMPLETION = "school_completion"
    CASE_CONFERENCE = "case_conference"
    ANSWER_TO_HANDOVER = "answer_to_handover"
    FOLLOW_UP = "follow_up"


class AgeBand(StrEnum):
    """Age in completed years, coarse enough to tell in a preview."""

    UNDER_15 = "under_15"
    FROM_15_TO_17 = "15_17"
    FROM_18_TO_20 = "18_20"
    FROM_21_TO_24 = "21_24"
    FROM_25_TO_27 = "25_27"
    OVER_27 = "over_27"


class Phase(IntEnum):
    """Where a young person stands between school and work."""

    ORIENTATION = 1
    CONCRETION = 2
    FINAL_YEAR = 3
    TRANSITION = 4
    AFTER_TRAINING = 5


class TargetGroup(StrEnum):
    """Groups a case or an offer may be tagged with."""

    PARENTS = "parents"
    INCREASED_SUPPORT_NEED = "increased_support_need"
    MIGRATION_REFUGE = "migration_refuge"
    COMPANIES = "companies"
    SCHOOLS_TEACHERS = "schools_teachers"
    DISABILITY = "disability"
    SPECIAL_SCHOOL = "special_school"


class Urgency(StrEnum):
    """How soon the receiver must look; `protection` never expires, it escalates."""

    NORMAL = "normal"
    URGENT = "urgent"
    PROTECTION = "protection"


class Kind(StrEnum):
    """Kinds of handover."""

    TRANSFER = "transfer"
    INVOLVEMENT = "involvement"
    JOINT = "joint"
    PULL = "pull"
    FORWARDING = "forwarding"


LEAD_MOVING_KINDS: Final = frozenset({Kind.TRANSFER, Kind.FORWARDING})


class Side(StrEnum):
    """Which of the two copies of a handover this one is."""

    SENDER = "sender"
    RECEIVER = "receiver"


class HandoverState(StrEnum):
    """States of either copy.

    `draft`, `proposed` and `awaiting_basis` occur only at the sender, `none` and `accepting` only at the receiver.
    """

    NONE = "none"
    DRAFT = "draft"
    PROPOSED = "proposed"
    AWAITING_BASIS = "awaiting_basis"
    REQUESTED = "requested"
    INQUIRY = "inquiry"
    WAITLISTED = "waitlisted"
    REDIRECTING = "redirecting"
    ACCEPTING = "accepting"
    ACCEPTED = "accepted"
    CANCELLING = "cancelling"
    ACTIVE = "active"
    PAUSED = "paused"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REDIRECTED = "redirected"
    CANCELLED = "cancelled"
    NOT_REACHED = "not_reached"
    GIVEN_BACK = "given_back"
    COMPLETED = "completed"
    STOPPED = "stopped"
    VOIDED = "voided"


END_STATES: Final = frozenset(
    {
        HandoverState.REJECTED,
        HandoverState.WITHDRAWN,
        HandoverState.EXPIRED,
        HandoverState.REDIRECTED,
        HandoverState.CANCELLED,
        HandoverState.NOT_REACHED,
        HandoverState.GIVEN_BACK,
        HandoverState.COMPLETED,
        HandoverState.STOPPED,
        HandoverState.VOIDED,
    }
)


class Trigger(StrEnum):
    """What moved a copy of a handover: a command, a fact heard, or the clock."""

    # Commands of the sender, local ones first.
    DRAFT = "draft"
    PROPOSE = "propose"
    CUT = "cut"
    DISCARD = "discard"
    REQUEST = "request"
    WITHDRAW = "withdraw"
    ANSWER = "answer"
    CONFIRM_REDIRECT = "confirm_redirect"
    REQUEST_CANCEL = "request_cancel"
    VOID = "void"
    EXPIRE = "expire"
    # Commands of the receiver.
    ACCEPT = "accept"
    REJECT = "reject"
    ASK = "ask"
    WAITLIST = "waitlist"
    PROPOSE_REDIRECT = "propose_redirect"
    RECORD_FIRST_CONTACT = "record_first_contact"
    RECORD_NOT_REACHED = "record_not_reached"
    GIVE_BACK = "give_back"
    CONFIRM_CANCEL = "confirm_cancel"
    DENY_CANCEL = "deny_cancel"
    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"
    # Facts of the own agency.
    BASIS_DECIDED = "basis_decided"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CASE_CLOSED = "case_closed"
    # Facts of the sender.
    REQUESTED = "requested"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REDIRECT_CONFIRMED = "redirect_confirmed"
    ACCEPTANCE_CONFIRMED = "acceptance_confirmed"
    CANCEL_REQUESTED = "cancel_requested"
    STOPPED = "stopped"
    VOIDED = "voided"
    # Facts of the receiver.
    INQUIRY_MADE = "inquiry_made"
    WAITLISTED = "waitlisted"
    REDIRECT_PROPOSED = "redirect_proposed"
    ACCEPTANCE_DECLARED = "acceptance_declared"
    REJECTED = "rejected"
    FIRST_CONTACT_MADE = "first_contact_made"
    NOT_REACHED = "not_reached"
    GIVEN_BACK = "given_back"
    CANCEL_CONFIRMED = "cancel_confirmed"
    CANCEL_DENIED = "cancel_denied"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPLETED = "completed"
    END_HEARD = "end_heard"


class RejectReason(StrEnum):
    """Why a receiver does not take a case."""

    NOT_COMPETENT = "not_competent"
    NO_CAPACITY = "no_capacity"
    NOT_ELIGIBLE = "not_eligible"
    DOCUMENTS_MISSING = "documents_missing"
    OUTSIDE_AREA = "outside_area"
    ALREADY_SUPPORTED = "already_supported"
    YOUNG_PERSON_DECLINES = "young_person_declines"
    NO_LEGAL_BASIS = "no_legal_basis"
    OTHER = "other"


GiveBackReason = RejectReason  # a case is given back before first contact for the same reasons


class VoidReason(StrEnum):
    """Why a handover was entered in error."""

    WRONG_PERSON = "wrong_person"
    DUPLICATE = "duplicate"
    WRONG_RECEIVER = "wrong_receiver"
    ENTERED_IN_ERROR = "entered_in_error"


class CancelReason(StrEnum):
    """Why a sender asks to undo what both have agreed."""

    SOLVED_OTHERWISE = "solved_otherwise"
    YOUNG_PERSON_DECLINES = "young_person_declines"
    MOVED_AWAY = "moved_away"
    OTHER = "other"


class PauseReason(StrEnum):
    """Why work on a case rests."""

    ILLNESS = "illness"
    IMPRISONMENT = "imprisonment"
    UNREACHABLE = "unreachable"
    WAITING_FOR_DECISION = "waiting_for_decision"
    OTHER = "other"


class Outcome(StrEnum):
    """What became of a handover, in the receiver's word."""

    SUPPORT_STARTED = "support_started"
    SUPPORT_FINISHED = "support_finished"
    PLACED_TRAINING = "placed_training"
    PLACED_WORK = "placed_work"
    PLACED_MEASURE = "placed_measure"
    PLACED_SCHOOL = "placed_school"
    REFERRED_ELSEWHERE = "referred_elsewhere"
    NO_NEED_ANY_MORE = "no_need_any_more"
    DECLINED_BY_YOUNG_PERSON = "declined_by_young_person"
    NOT_REACHED = "not_reached"
    NOT_ELIGIBLE = "not_eligible"
    NO_CAPACITY = "no_capacity"
    UNKNOWN = "unknown"


class FollowUpResult(StrEnum):
    """What a look six months later found; `unknown` never counts as success."""

    STILL_THERE = "still_there"
    FINISHED = "finished"
    DROPPED_OUT = "dropped_out"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class Destination(StrEnum):
    """Verbleib: where a young person went when the case was closed."""

    TRAINING = "training"
    WORK = "work"
    SCHOOL = "school"
    STUDIES = "studies"
    MEASURE = "measure"
    VOLUNTARY_SERVICE = "voluntary_service"
    OTHER_AGENCY = "other_agency"
    MOVED_AWAY = "moved_away"
    NO_NEED = "no_need"
    DECLINED = "declined"
    UNKNOWN = "unknown"


class ContactChannel(StrEnum):
    """How somebody was spoken to."""

    PHONE = "phone"
    MAIL = "mail"
    MESSENGER = "messenger"
    LETTER = "letter"
    IN_PERSON = "in_person"
    HOME_VISIT = "home_visit"
    VIA_SCHOOL = "via_school"
    VIDEO = "video"


class Place(StrEnum):
    """Where somebody was met."""

    OFFICE = "office"
    SCHOOL = "school"
    YOUTH_CLUB = "youth_club"
    VIRTUAL = "virtual"
    MOBILE_BUS = "mobile_bus"
    HOME = "home"


class DataCategory(StrEnum):
    """What sort of datum an item is; no item is without one."""

    MASTER_DATA = "master_data"
    CONTACT = "contact"
    SCHOOL = "school"
    ASPIRATIONS_COMPETENCES = "aspirations_competences"
    BENEFITS = "benefits"
    MEASURES_HISTORY = "measures_history"
    NEEDS = "needs"
    HOUSING_FINANCES = "housing_finances"
    HEALTH = "health"
    ADDICTION = "addiction"
    FAMILY = "family"
    MIGRATION_RESIDENCE = "migration_residence"
    OFFENCES = "offences"
    YOUTH_WELFARE_PLAN = "youth_welfare_plan"
    CHILD_PROTECTION = "child_protection"


class ItemFlag(StrEnum):
    """What the law says about an item beside its category (§ 65 SGB VIII; Art. 9 GDPR; § 76 SGB X, § 203 StGB)."""

    ENTRUSTED = "entrusted"
    SPECIAL = "special"
    PROFESSIONAL_SECRET = "professional_secret"  # noqa: S105  # a code of the law, no secret of ours


class LegalBasis(StrEnum):
    """On which norm an item may be transmitted."""

    CONSENT_SGB_X_67B = "consent_sgb_x_67b"
    SGB_X_69_1_1 = "sgb_x_69_1_1"
    SGB_II_50_1 = "sgb_ii_50_1"
    SGB_III_31A = "sgb_iii_31a"
    SGB_VIII_65_EXCEPTION = "sgb_viii_65_exception"
    SGB_VIII_8A = "sgb_viii_8a"
    STATE_LAW = "state_law"
    ANONYMOUS = "anonymous"
    CARRIED_BY_PERSON = "carried_by_person"


class EntrustedException(StrEnum):
    """A number of § 65(1) SGB VIII: entrusted data may go without a word of the one who has entrusted them.

    Nr. 1 is that word. Nr. 2 (family court) and Nr. 6 (named research) have no receiver in an alliance.
    """

    RESPONSIBILITY_CHANGED = "nr_3"
    RISK_ASSESSED = "nr_4"
    AS_UNDER_203_STGB = "nr_5"


class ConsentState(StrEnum):
    """States of a consent, named as in the Data Privacy Vocabulary."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REPLACED = "replaced"
    INVALIDATED = "invalidated"


class ConsentForm(StrEnum):
    """How a consent was declared (§ 67b(2) SGB X)."""

    WRITTEN = "written"
    ELECTRONIC = "electronic"
    ORAL_DOCUMENTED = "oral_documented"


class Giver(StrEnum):
    """Who declared a consent (§ 36 SGB I)."""

    SELF = "self"
    GUARDIAN = "guardian"


class Verdict(StrEnum):
    """What was decided about one item."""

    PERMIT = "permit"
    DENY = "deny"


class DecisionReason(StrEnum):
    """Why an item is permitted (the first two) or denied (all others)."""

    CONSENT = "consent"
    STATUTORY_BASIS = "statutory_basis"
    RECIPIENT_NOT_ELIGIBLE = "recipient_not_eligible"
    ENTRUSTED = "entrusted"
    PROFESSIONAL_SECRET = "professional_secret"  # noqa: S105  # a code of the law, no secret of ours
    RESTRICTED = "restricted"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    NO_BASIS = "no_basis"
    ITEM_GONE = "item_gone"


PERMITTING_REASONS: Final = frozenset({DecisionReason.CONSENT, DecisionReason.STATUTORY_BASIS})


class Completeness(StrEnum):
    """How much of what was asked for a release carried; `unknown`: the process died while it was open."""

    COMPLETE = "complete"
    REDUCED = "reduced"
    MORE = "more"
    UNKNOWN = "unknown"


class DutyAnswer(StrEnum):
    """What a recipient answers after a withdrawal."""

    ERASED = "erased"
    RETAINED = "retained"


class RenewalReason(StrEnum):
    """Why somebody may declare by now for whom a guardian has consented (§ 36 SGB I)."""

    INSIGHT = "insight"
    OF_AGE = "of_age"


class RetentionNorm(StrEnum):
    """The norm a recipient names when it retains what it should erase."""

    GDPR_17_3_B = "gdpr_17_3_b"
    GDPR_17_3_E = "gdpr_17_3_e"
    SGB_X_84 = "sgb_x_84"


class Payer(StrEnum):
    """Kostenträger of an offer."""

    AGENTUR = "agentur"
    JOBCENTER_FEDERAL = "jobcenter_federal"
    JOBCENTER_MUNICIPAL = "jobcenter_municipal"
    YOUTH_OFFICE = "youth_office"
    STATE_ESF = "state_esf"
    FEDERAL_PROGRAMME = "federal_programme"
    FOUNDATION = "foundation"
    UNCLEAR = "unclear"


class Access(StrEnum):
    """How one gets a place in an offer."""

    ASSIGNMENT = "assignment"
    VOUCHER_AVGS = "voucher_avgs"
    APPLICATION = "application"
    OPEN = "open"
    VIA_HILFEPLAN = "via_hilfeplan"


class Mode(StrEnum):
    """Where an offer takes place."""

    ON_SITE = "on_site"
    AT_SCHOOL = "at_school"
    VIRTUAL = "virtual"
    MOBILE = "mobile"


class Audience(StrEnum):
    """Whom an offer is for."""

    YOUNG_PERSON = "young_person"
    PARENTS = "parents"
    SCHOOL = "school"
    COMPANY = "company"


class OfferState(StrEnum):
    """States of an offer."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    PUBLISHED = "published"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class OfferStatus(StrEnum):
    """What HSDS 3.0 calls the status of a service."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DEFUNCT = "defunct"
    TEMPORARILY_CLOSED = "temporarily closed"
