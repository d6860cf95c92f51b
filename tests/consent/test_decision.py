"""The decision about one item against a second, independent reading of the law, over all combinations that matter."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any, cast

import pytest

from contracts.alliance import Alliance
from contracts.codes import (
    ConsentForm,
    ConsentState,
    DataCategory,
    DecisionReason,
    Giver,
    JobcenterKind,
    LegalBasis,
    Purpose,
    Verdict,
)
from contracts.ids import AgencyId, ConsentId, GrantId
from contracts.new_ids import new_id
from services.consent.domain.decision import GERMANY, Question, decide_all, decide_item
from services.consent.domain.words import Consent, Grant, Item, Restriction, Stated
from tests.consent.builders import (
    AGENTUR,
    ALLIANCE,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    NOW,
    PURPOSE,
    TASK,
    an_item,
    with_row,
)

BEGIN, END = NOW, NOW + timedelta(days=365)
TICK = timedelta(microseconds=1)
MOMENTS = {"before": BEGIN - TICK, "begin": BEGIN, "inside": NOW + timedelta(days=9), "last": END - TICK, "end": END}
STRANGER = AgencyId("stranger")


@dataclass(frozen=True)
class Situation:
    """One line of the table."""

    recipient: AgencyId
    purpose: Purpose
    category: DataCategory
    entrusted: bool
    professional_secret: bool
    special: bool
    entruster: Giver | None
    state: str
    entrusted_included: bool
    form: ConsentForm
    moment: str


def situations() -> list[Situation]:
    return [Situation(*line) for line in cast("Iterable[Any]", product(
        (JUGENDAMT, AGENTUR, STRANGER),
        (PURPOSE, Purpose.STABILISATION, Purpose.WORK_PLACEMENT),
        (DataCategory.SCHOOL, DataCategory.HEALTH, DataCategory.OFFENCES),
        (False, True), (False, True), (False, True),
        (Giver.SELF, Giver.GUARDIAN),
        ("none", "given", "withdrawn", "grant withdrawn", "refused"),
        (False, True),
        (ConsentForm.WRITTEN, ConsentForm.ORAL_DOCUMENTED),
        tuple(MOMENTS),
    ))]


def consents(line: Situation) -> tuple[Consent, ...]:
    """The youth office may have school and health data, from the young person."""
    if line.state == "none":
        return ()
    grant = Grant(
        GrantId(new_id()), MUSTER, JUGENDAMT, PURPOSE, frozenset({DataCategory.SCHOOL, DataCategory.HEALTH}),
        line.entrusted_included, BEGIN, END, NOW if line.state == "grant withdrawn" else None,
    )
    state = ConsentState(line.state) if line.state in set(ConsentState) else ConsentState.GIVEN
    return (Consent(ConsentId(new_id()), 1, state, form=line.form, grants=(grant,)),)


def expected(line: Situation) -> DecisionReason:
    """The same law, read a second time: what a lawyer would tick off on a sheet."""
    agreed = {JUGENDAMT: {PURPOSE, Purpose.STABILISATION}, AGENTUR: set[Purpose]()}
    if line.purpose not in agreed.get(line.recipient, set()):
        return DecisionReason.RECIPIENT_NOT_ELIGIBLE
    named = line.recipient == JUGENDAMT and line.purpose is PURPOSE and line.category is not DataCategory.OFFENCES
    weak = line.form is ConsentForm.ORAL_DOCUMENTED and (line.special or line.category is DataCategory.HEALTH)
    may_release = not line.entrusted or (line.entrusted_included and line.entruster is Giver.SELF)
    fits = line.state != "none" and named and not weak and may_release
    if fits and line.state == "given" and line.moment in {"begin", "inside", "last"}:
        return DecisionReason.CONSENT
    if line.entrusted:
        return DecisionReason.ENTRUSTED
    if line.professional_secret:
        return DecisionReason.PROFESSIONAL_SECRET
    if fits and line.state in {"withdrawn", "grant withdrawn"}:
        return DecisionReason.CONSENT_WITHDRAWN
    return DecisionReason.NO_BASIS


def asked(line: Situation) -> Question:
    return Question(MOMENTS[line.moment], JOBCENTER, line.recipient, line.purpose, ALLIANCE, consents(line))


def item(line: Situation) -> Item:
    return an_item(
        line.category, entrusted=line.entrusted, professional_secret=line.professional_secret, special=line.special,
        entruster=line.entruster,
    )


def test_the_decision_is_the_one_a_second_reading_of_the_law_gives() -> None:
    seen: Counter[DecisionReason] = Counter()
    for line in situations():
        decided = decide_item(item(line), asked(line))
        assert decided.reason is expected(line), line
        assert decided.permitted is (decided.reason is DecisionReason.CONSENT), line
        assert bool(decided.bases) is decided.permitted, line
        seen[decided.reason] += 1
    assert min(seen.values()) > 0
    assert set(seen) == {
        DecisionReason.CONSENT, DecisionReason.RECIPIENT_NOT_ELIGIBLE, DecisionReason.ENTRUSTED,
        DecisionReason.PROFESSIONAL_SECRET, DecisionReason.CONSENT_WITHDRAWN, DecisionReason.NO_BASIS,
    }


def test_an_entrusted_item_never_goes_without_the_one_who_entrusted_it() -> None:
    for line in situations():
        if line.entrusted and line.entruster is not Giver.SELF:
            assert not decide_item(item(line), asked(line)).permitted, line


def test_what_own_intake_no_longer_has_is_denied() -> None:
    gone = an_item()
    line = Situation(JUGENDAMT, PURPOSE, DataCategory.SCHOOL, entrusted=False, professional_secret=False, special=False,
                     entruster=None, state="given", entrusted_included=False, form=ConsentForm.WRITTEN, moment="inside")
    decided = decide_all((gone.id,), (), asked(line))
    assert [(each.verdict, each.reason) for each in decided] == [(Verdict.DENY, DecisionReason.ITEM_GONE)]


# --- statutory bases --------------------------------------------------------------------------------------------------


def statutory(alliance: Alliance, *, at: datetime = NOW, stated: bool = True, **more: object) -> Question:
    said = (Stated(TASK, frozenset({DataCategory.CONTACT})),) if stated else ()
    about = Question(at, JOBCENTER, JUGENDAMT, PURPOSE, alliance, (), stated=said)
    return replace(about, **more)  # type: ignore[arg-type]  # fields of Question


CONTACT = an_item(DataCategory.CONTACT)
ROW = with_row(ALLIANCE)
BOTH = (JOBCENTER, JUGENDAMT)


def changed_since(alliance: Alliance) -> Alliance:
    """One more category in a row that both had approved without it."""
    (row,) = alliance.matrix
    wider = row.model_copy(update={"categories": (*row.categories, DataCategory.HEALTH)})
    return alliance.model_copy(update={"matrix": (wider,)})


def test_an_approved_row_permits_where_its_task_was_stated() -> None:
    decided = decide_item(CONTACT, statutory(ROW))
    assert decided.reason is DecisionReason.STATUTORY_BASIS
    assert [(basis.norm, basis.task) for basis in decided.bases] == [(LegalBasis.SGB_II_50_1, TASK)]


@pytest.mark.parametrize(
    "about",
    [
        pytest.param(statutory(ALLIANCE), id="the drafts that come along permit nothing"),
        pytest.param(statutory(ROW, stated=False), id="nobody stated the task"),
        pytest.param(statutory(with_row(ALLIANCE, by=())), id="not approved"),
        pytest.param(statutory(with_row(ALLIANCE, by=(JOBCENTER,))), id="approved by the sender's side only"),
        pytest.param(statutory(with_row(ALLIANCE, by=(JUGENDAMT,))), id="approved by the receiver's side only"),
        pytest.param(statutory(with_row(ALLIANCE, by=(JOBCENTER, AGENTUR))), id="approved by somebody else"),
        pytest.param(statutory(with_row(ALLIANCE, by=BOTH, jobcenter_kind=JobcenterKind.ZKT)), id="for another kind"),
        pytest.param(statutory(changed_since(ROW)), id="changed after it was approved"),
        pytest.param(statutory(ROW, at=NOW + timedelta(days=2)), id="no longer valid"),
        pytest.param(
            statutory(ROW, restrictions=(Restriction(None, frozenset({DataCategory.CONTACT})),)), id="objected to"
        ),
    ],
)
def test_without_it_no_row_permits(about: Question) -> None:
    assert not decide_item(CONTACT, about).permitted


def test_a_row_lets_go_what_the_statement_names_and_until_its_last_day_is_over() -> None:
    """Necessity was said for contact data: what else the norm covers, or will cover, goes on no older word."""
    wide = with_row(ALLIANCE, categories=(DataCategory.CONTACT, DataCategory.NEEDS))
    assert not decide_item(an_item(DataCategory.NEEDS), statutory(wide)).permitted
    (basis,) = decide_item(CONTACT, statutory(wide)).bases
    assert basis.until is not None
    assert basis.until.astimezone(GERMANY).isoformat() == "2026-11-23T00:00:00+01:00"
    assert decide_item(CONTACT, statutory(wide, at=basis.until - TICK)).permitted
    assert not decide_item(CONTACT, statutory(wide, at=basis.until)).permitted


def test_a_row_that_was_ended_early_lets_nothing_go_from_the_next_day_on_and_nobody_is_asked_again() -> None:
    """A change of law is a new row: the old one ends the day before, still approved as it stood."""
    ended = with_row(ALLIANCE, valid_until=NOW.date() + timedelta(days=99), ended_on=NOW.date())
    (basis,) = decide_item(CONTACT, statutory(ended)).bases
    assert basis.until is not None
    assert basis.until.astimezone(GERMANY).isoformat() == "2026-11-23T00:00:00+01:00"
    assert not decide_item(CONTACT, statutory(ended, at=basis.until)).permitted


def test_of_one_norm_what_was_stated_last_counts() -> None:
    less = Stated(TASK, frozenset())
    assert not decide_item(CONTACT, replace(statutory(ROW), stated=(*statutory(ROW).stated, less))).permitted


def test_no_row_releases_what_was_entrusted_or_is_a_professional_secret() -> None:
    for flags in ({"entrusted": True}, {"professional_secret": True}):
        assert not decide_item(an_item(DataCategory.CONTACT, **flags), statutory(ROW)).permitted
