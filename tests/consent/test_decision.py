"""The decision about one item against a second, independent reading of the law, over all combinations that matter."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, product
from typing import Any, NamedTuple

import pytest

from contracts.alliance import Alliance
from contracts.calendar import GERMANY
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
from services.consent.domain.decision import Question, decide_all, decide_item
from services.consent.domain.words import Clearance, Consent, Grant, Item, Restriction, RestrictionState, Stated
from tests.conftest import Say
from tests.consent.builders import (
    AGENTUR,
    ALLIANCE,
    EXCEPTION_TASK,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    NOW,
    PURPOSE,
    TASK,
    a_restriction,
    an_item,
    of_two_youth_offices,
    with_row,
)
from tests.consent.second_reading import Ban, Datum, Moment, Paper, reason

TICK = timedelta(microseconds=1)
STRANGER = AgencyId("stranger")
OTHER = {Giver.SELF: Giver.GUARDIAN, Giver.GUARDIAN: Giver.SELF}
GRANTED = frozenset({DataCategory.CONTACT, DataCategory.HEALTH})
IN_ROW = frozenset({DataCategory.CONTACT, DataCategory.OFFENCES})
GIVEN_AT = datetime(2026, 10, 20, 9, 0, tzinfo=UTC)

# The grant begins when the clocks go back and ends when they go forward again. In the alliance's file the agreement
# holds from 25 October 2026 to 28 March 2027, the row of the matrix on 25 October, a day of 25 hours.
BEGIN, END = datetime(2026, 10, 25, 1, 0, tzinfo=UTC), datetime(2027, 3, 28, 1, 0, tzinfo=UTC)
ROW_DAY, AGREED_UNTIL = date(2026, 10, 25), date(2027, 3, 28)


class Instant(NamedTuple):
    """A moment, and what the calendar on the wall says of it: whether the agreement and the row hold that day."""

    name: str
    at: datetime
    agreed: bool
    in_row: bool


INSTANTS = (
    Instant("24 October, the last microsecond", datetime(2026, 10, 24, 22, tzinfo=UTC) - TICK, False, False),
    Instant("25 October, midnight, summer time", datetime(2026, 10, 24, 22, tzinfo=UTC), True, True),
    Instant("before the clocks go back", BEGIN - TICK, True, True),
    Instant("the clocks go back, the grant begins", BEGIN, True, True),
    Instant("25 October, the last microsecond", datetime(2026, 10, 25, 23, tzinfo=UTC) - TICK, True, True),
    Instant("26 October, midnight, winter time", datetime(2026, 10, 25, 23, tzinfo=UTC), True, False),
    Instant("in winter", datetime(2027, 1, 15, 12, tzinfo=UTC), True, False),
    Instant("before the clocks go forward", END - TICK, True, False),
    Instant("the clocks go forward, the grant ends", END, True, False),
    Instant("28 March, the last microsecond", datetime(2027, 3, 28, 22, tzinfo=UTC) - TICK, True, False),
    Instant("29 March, midnight, summer time", datetime(2027, 3, 28, 22, tzinfo=UTC), False, False),
)
IN_WINTER = INSTANTS[6]
WHERE_THE_GRANT_BEGINS = INSTANTS[2:4]  # in the day of the row
RECIPIENTS = (JUGENDAMT, AGENTUR, STRANGER)
PURPOSES = (PURPOSE, Purpose.CASE_CONFERENCE)
WAYS = tuple(product(RECIPIENTS, PURPOSES))
GRANTED_WAY = ((JUGENDAMT, PURPOSE),)
STATES = (*ConsentState, "grant withdrawn")
FORMS = (ConsentForm.WRITTEN, ConsentForm.ORAL_DOCUMENTED)
ENTRUSTED = ("not included", "included", "cleared", "cleared orally", "clearance ended")
FORBIDDEN = ("nothing that matters", "before", "since", "by the other")
AGREEMENTS = ("agreed", "none")


class Task(NamedTuple):
    """What was stated for which categories: for the ordinary row, and for the one of § 65(1) SGB VIII."""

    name: str
    law: frozenset[DataCategory] = frozenset()
    entrusted: frozenset[DataCategory] = frozenset()
    approved: bool = True
    by_youth_office: bool = False
    harmless: bool = False

    @property
    def counts(self) -> bool:
        """Whether the rows were approved, and a youth office has said that no help is endangered."""
        return self.approved and (self.harmless or not self.by_youth_office)


TASKS = (
    Task("not stated"),
    Task("stated", IN_ROW),
    Task("stated for less", IN_ROW - GRANTED),
    Task("not approved", IN_ROW, approved=False),
    Task("by a youth office", IN_ROW, by_youth_office=True, harmless=True),
    Task("exception", frozenset(), IN_ROW, by_youth_office=True, harmless=True),
    Task("both, the exception for less", IN_ROW, IN_ROW - GRANTED, by_youth_office=True, harmless=True),
    Task("exception not approved", frozenset(), IN_ROW, approved=False, by_youth_office=True, harmless=True),
    Task("both, a help endangered", IN_ROW, IN_ROW, by_youth_office=True),
)


AT_BOUNDS = (TASKS[0], TASKS[1], TASKS[5])  # whether a row holds is the same for all tasks of its kind


class Line(NamedTuple):
    """One line of the table, said in the words of the domain and in those of the second reading."""

    named: tuple[Any, ...]
    item: Item
    about: Question
    datum: Datum
    moment: Moment

    @property
    def expected(self) -> str:
        return reason(self.datum, self.moment)


# --- the parts of a line ----------------------------------------------------------------------------------------------


def items() -> list[tuple[Item, Datum]]:
    """Every category with every combination of flags, entrusted by everybody who can have entrusted it."""
    return [
        (
            an_item(category, entrusted=bool(told_by), professional_secret=secret, special=special,
                    entruster=Giver(told_by) if told_by in set(Giver) else None),
            Datum(str(category), told_by, special, secret),
        )
        for category, told_by, secret, special in product(
            sorted(GRANTED | IN_ROW), ("", "self", "guardian", "somebody"), (False, True), (False, True)
        )
    ]


def consents() -> list[tuple[tuple[Any, ...], tuple[Consent, ...], tuple[Paper, ...]]]:
    """None, and every consent to two categories at the youth office: giver, form, state, what of entrusted data."""
    found: list[tuple[tuple[Any, ...], tuple[Consent, ...], tuple[Paper, ...]]] = [(("no consent", None), (), ())]
    for named in product(STATES, Giver, FORMS, ENTRUSTED):
        state, giver, form, entrusted = named
        cleared = _clearance(OTHER[giver], entrusted)
        grant = Grant(
            GrantId(new_id()), MUSTER, JUGENDAMT, PURPOSE, GRANTED, entrusted != "not included", BEGIN, END,
            GIVEN_AT if state == "grant withdrawn" else None, cleared,
        )
        of_all = ConsentState.GIVEN if state == "grant withdrawn" else ConsentState(state)
        consent = Consent(ConsentId(new_id()), 1, of_all, giver, form=form, grants=(grant,), given_at=GIVEN_AT)
        in_force = cleared is not None and cleared.ended_at is None
        paper = Paper(
            str(giver), str(form), str(of_all), GIVEN_AT, str(JUGENDAMT), str(PURPOSE), frozenset(map(str, GRANTED)),
            entrusted != "not included", BEGIN, END, state == "grant withdrawn",
            str(OTHER[giver]) if in_force else "", str(cleared.form) if cleared is not None and in_force else "",
        )
        found.append((named, (consent,), (paper,)))
    return found


def _clearance(by: Giver, entrusted: str) -> Clearance | None:
    if not entrusted.startswith("clear"):
        return None
    form = ConsentForm.ORAL_DOCUMENTED if entrusted == "cleared orally" else ConsentForm.WRITTEN
    return Clearance(by, form, GIVEN_AT, GIVEN_AT if entrusted == "clearance ended" else None)


@cache
def restrictions(forbidden: str, giver: Giver | None) -> tuple[tuple[Restriction, ...], tuple[Ban, ...]]:
    """What stands in the table, and what of it is a ban: what was lifted or names somebody else is none."""
    lifted = a_restriction(None, *DataCategory, state=RestrictionState.LIFTED)
    elsewhere = a_restriction(AgencyId("bruecke"), *DataCategory)
    if forbidden == "nothing that matters":
        return (lifted, elsewhere), (Ban("self", NOW, "bruecke", frozenset(map(str, DataCategory))),)
    by = giver or Giver.SELF
    by = OTHER[by] if forbidden == "by the other" else by
    since = GIVEN_AT - TICK if forbidden == "before" else GIVEN_AT
    banned = a_restriction(JUGENDAMT, *GRANTED, by=by, since=since)
    return (banned, lifted), (Ban(str(by), since, str(JUGENDAMT), frozenset(map(str, GRANTED))),)


def alliance(task: Task, agreement: str) -> Alliance:
    """With rows of the matrix for one day, and the agreement with the youth office for one winter or none."""
    with_rows = of_two_youth_offices if task.by_youth_office else with_row
    by = None if task.approved else ()
    found = with_rows(ALLIANCE, by=by, categories=tuple(IN_ROW), valid_from=ROW_DAY, valid_until=ROW_DAY)
    bounds = {"valid_from": ROW_DAY, "valid_until": AGREED_UNTIL}
    agreements = tuple(
        each.model_copy(update=bounds) if (each.sender, each.receiver) == (JOBCENTER, JUGENDAMT) else each
        for each in found.agreements
        if agreement == "agreed" or (each.sender, each.receiver) != (JOBCENTER, JUGENDAMT)
    )
    return found.model_copy(update={"agreements": agreements})


def stated(task: Task) -> tuple[Stated, ...]:
    """What a caseworker has said."""
    said = ((TASK, task.law), (EXCEPTION_TASK, task.entrusted))
    return tuple(Stated(norm, categories, task.harmless) for norm, categories in said if categories)


def may_receive(recipient: AgencyId, purpose: Purpose, agreement: str, instant: Instant) -> bool:
    """Of the employment agency only that conferences are agreed with it, for years; the stranger is nobody."""
    if recipient == JUGENDAMT:
        return agreement == "agreed" and instant.agreed
    return recipient == AGENTUR and purpose is Purpose.CASE_CONFERENCE


# --- the table --------------------------------------------------------------------------------------------------------


def lines(
    instants: Iterable[Instant] = INSTANTS, *, every: int = 1, ways: Iterable[tuple[AgencyId, Purpose]] = WAYS,
    tasks: Iterable[Task] = TASKS,
) -> Iterator[Line]:
    """The whole product, or of its questions every so many-th; each question is asked of every item."""
    things = items()
    alliances = {(task, agreement): alliance(task, agreement) for task, agreement in product(TASKS, AGREEMENTS)}
    said = {task: stated(task) for task in TASKS}
    wanted = product(instants, ways, consents(), FORBIDDEN, tasks, AGREEMENTS)
    for instant, way, (named, given, papers), forbidden, task, agreement in islice(wanted, 0, None, every):
        recipient, purpose = way
        banned, bans = restrictions(forbidden, given[0].giver if given else None)
        about = Question(
            instant.at, JOBCENTER, recipient, purpose, alliances[task, agreement], given, banned, said[task]
        )
        in_row = instant.in_row and recipient == JUGENDAMT and task.counts
        moment = Moment(
            instant.at, str(recipient), str(purpose), may_receive(recipient, purpose, agreement, instant), papers, bans,
            frozenset(map(str, task.law if in_row else ())), frozenset(map(str, task.entrusted if in_row else ())),
        )
        name = (instant.name, recipient, purpose, named, forbidden, task.name, agreement)
        for item, datum in things:
            yield Line(name, item, about, datum, moment)


EVERY, EVERY_GRANTED = 211, 17  # primes, so that no part of the product is passed over: half a million lines
REASONS = set(DecisionReason) - {DecisionReason.ITEM_GONE}


def compared(found: Iterable[Line]) -> Counter[str]:
    """How often each reason was given; AssertionError where the two readings differ."""
    seen: Counter[str] = Counter()
    for line in found:
        decided = decide_item(line.item, line.about)
        assert decided.reason == line.expected, (line.named, line.datum)
        assert decided.permitted is (decided.reason in {"consent", "statutory_basis"}), (line.named, line.datum)
        assert bool(decided.bases) is decided.permitted, (line.named, line.datum)
        seen[decided.reason] += 1
    return seen


def test_the_decision_is_the_one_a_second_reading_of_the_law_gives(say: Say) -> None:
    seen = compared(lines(every=EVERY)) + compared(lines(every=EVERY_GRANTED, ways=GRANTED_WAY))
    assert set(seen) == REASONS
    say(f"decision table: {sum(seen.values())} combinations agree with the second reading, each reason given: "
        + ", ".join(f"{name} {times}" for name, times in sorted(seen.items())))


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.parametrize("instant", INSTANTS, ids=lambda instant: instant.name)
def test_the_whole_table_agrees_with_the_second_reading(instant: Instant, say: Say) -> None:
    seen = compared(lines([instant], tasks=TASKS if instant in WHERE_THE_GRANT_BEGINS else AT_BOUNDS))
    say(f"decision table, {instant.name}: all {sum(seen.values())} combinations agree with the second reading")


def test_an_entrusted_item_goes_on_the_word_of_the_one_who_entrusted_it_or_on_an_exception() -> None:
    """R9, § 65(1) SGB VIII: by no ordinary row, and by no consent of anybody else alone."""
    seen: Counter[str] = Counter()
    for line in lines([IN_WINTER, INSTANTS[3]], every=31):
        if not line.item.entrusted:
            continue
        for basis in decide_item(line.item, line.about).bases:
            if basis.task is None:
                (paper,) = line.moment.papers
                assert line.datum.told_by in {paper.signed_by, paper.countersigned_by}, line.named
            else:
                assert basis.exception is not None, line.named
                assert not line.datum.secret, line.named
            seen[basis.norm] += 1
    assert set(seen) == {LegalBasis.CONSENT_SGB_X_67B, LegalBasis.SGB_VIII_65_EXCEPTION}


def test_what_own_intake_no_longer_has_is_denied() -> None:
    gone = an_item()
    decided = decide_all((gone.id,), (), statutory(ROW))
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
    """R4, § 69(1) Nr. 1 SGB X; § 50(1) SGB II: a stated task, an approved row, the categories it names."""
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
        pytest.param(statutory(ROW, restrictions=(a_restriction(None, DataCategory.CONTACT),)), id="objected to"),
    ],
)
def test_without_it_no_row_permits(about: Question) -> None:
    """R4, § 67d(1) SGB X: no transmission without a basis; the task is stated, the row approved and in force."""
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
    """R11, § 76 SGB X; § 65 SGB VIII: an approved row and a stated task are not enough where it names no exception."""
    for flags in ({"entrusted": True}, {"professional_secret": True}):
        assert not decide_item(an_item(DataCategory.CONTACT, **flags), statutory(ROW)).permitted
