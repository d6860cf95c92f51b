"""Every way this service says no."""

from enum import StrEnum


class Reason(StrEnum):
    """Complete the sentence "no, because …"; `problems.py` has the words for people."""

    # About what is asked for.
    UNKNOWN_PERSON = "unknown-person"
    UNKNOWN_CONSENT = "unknown-consent"
    UNKNOWN_GRANT = "unknown-grant"
    UNKNOWN_NOTICE = "unknown-notice"
    UNKNOWN_HANDOVER = "unknown-handover"
    UNKNOWN_DUTY = "unknown-duty"
    UNKNOWN_RELEASE = "unknown-release"
    UNKNOWN_ALLIANCE = "unknown-alliance"
    UNKNOWN_AGENCY = "unknown-agency"
    UNKNOWN_RESTRICTION = "unknown-restriction"
    UNKNOWN_WAIVER = "unknown-waiver"
    NOT_NOW = "not-now"
    NOT_THE_COUNTERPART = "not-the-counterpart"
    UNKNOWN_CODE = "unknown-code"
    TOO_MANY_TRIES = "too-many-tries"
    # About giving.
    NOTICE_NOT_CURRENT = "notice-not-current"
    WRONG_GIVER = "wrong-giver"
    YOUNG_PERSON_NOT_HEARD = "young-person-not-heard"
    FORM_TOO_WEAK = "form-too-weak"
    RETROACTIVE = "retroactive"
    PERIOD_TOO_LONG = "period-too-long"
    RECIPIENT_NOT_ELIGIBLE = "recipient-not-eligible"
    NOTHING_TO_CLEAR = "nothing-to-clear"
    # About forbidding.
    NOT_IN_WRITING = "not-in-writing"
    NOT_THE_DECLARANT = "not-the-declarant"
    # About a task of the law.
    NO_SUCH_TASK = "no-such-task"
    HELP_ENDANGERED = "help-endangered"
    TOO_MANY_TASKS = "too-many-tasks"
    # At the door.
    NOT_OPEN = "not-open"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    NOTHING_PERMITTED = "nothing-permitted"
    ALREADY_STORED = "already-stored"
    TOO_LARGE = "too-large"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    NO_SEALING_KEY = "no-sealing-key"
