"""The law of transmission read a second time: what somebody with the text of the law ticks off on a sheet of paper.

Words and dates alone. Nothing of the first reading is imported, so that one mistake is not made twice.
"""

from datetime import datetime
from typing import NamedTuple

MUST_BE_SIGNED = {"health", "addiction"}  # § 67b(2) SGB X: written or electronic; so is what is special by Art. 9
SIGNED = {"written", "electronic"}


class Datum(NamedTuple):
    """One item. `told_by`: who has entrusted it ("" where nobody has)."""

    category: str
    told_by: str = ""
    special: bool = False
    secret: bool = False


class Paper(NamedTuple):
    """One line of a consent form: who signed what for whom, until when, and what has become of it."""

    signed_by: str
    form: str
    status: str
    signed_at: datetime
    recipient: str
    purpose: str
    categories: frozenset[str]
    with_entrusted: bool
    begins: datetime
    ends: datetime
    taken_back: bool = False
    countersigned_by: str = ""
    countersigned: str = ""  # in which form


class Ban(NamedTuple):
    """Something forbidden and still so; no recipient is everybody."""

    said_by: str
    said_at: datetime
    recipient: str
    categories: frozenset[str]


class Moment(NamedTuple):
    """Who asks for what when, and what the alliance's file says of that day."""

    at: datetime
    recipient: str
    purpose: str
    may_receive: bool
    papers: tuple[Paper, ...] = ()
    bans: tuple[Ban, ...] = ()
    by_law: frozenset[str] = frozenset()  # categories an approved row lets go there, whose task was stated for them
    by_65: frozenset[str] = frozenset()  # the same of what was entrusted: § 65(1) Nr. 3, 4 or 5 SGB VIII


def reason(datum: Datum, on: Moment) -> str:
    """Why it may go, or the first thing the law has against it."""
    banned = [ban for ban in on.bans if ban.recipient in {"", on.recipient} and datum.category in ban.categories]
    fitting = [paper for paper in on.papers if _fits(paper, datum, on)]
    ticked = (
        (not on.may_receive, "recipient_not_eligible"),
        (any(_stands(paper, on.at) and not _thought_better(paper, banned) for paper in fitting), "consent"),
        (_by_law(datum, on) and not (datum.secret or banned), "statutory_basis"),
        (datum.told_by, "entrusted"),
        (datum.secret, "professional_secret"),
        (banned, "restricted"),
        (any(paper.taken_back or paper.status == "withdrawn" for paper in fitting), "consent_withdrawn"),
    )
    return next((word for holds, word in ticked if holds), "no_basis")


def _by_law(datum: Datum, on: Moment) -> bool:
    return datum.category in (on.by_65 if datum.told_by else on.by_law)


def _fits(paper: Paper, datum: Datum, on: Moment) -> bool:
    if (paper.recipient, paper.purpose) != (on.recipient, on.purpose) or datum.category not in paper.categories:
        return False
    if not _form_will_do(paper.form, datum):
        return False
    if not datum.told_by:
        return True
    if not paper.with_entrusted:
        return False
    countersigned = paper.countersigned_by == datum.told_by and _form_will_do(paper.countersigned, datum)
    return paper.signed_by == datum.told_by or countersigned


def _form_will_do(form: str, datum: Datum) -> bool:
    return form in SIGNED or not (datum.special or datum.category in MUST_BE_SIGNED)


def _stands(paper: Paper, at: datetime) -> bool:
    return paper.status == "given" and not paper.taken_back and paper.begins <= at and at < paper.ends


def _thought_better(paper: Paper, banned: list[Ban]) -> bool:
    """Whether who signed has forbidden it since."""
    return any(ban.said_by == paper.signed_by and ban.said_at >= paper.signed_at for ban in banned)
