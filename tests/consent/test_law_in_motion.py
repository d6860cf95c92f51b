"""Whatever happens to a person's consents, in whatever order: what may go is what a second reading says may go.

A machine gives, withdraws, replaces, forbids, states and lets time pass, and keeps its own papers of it. After every
step each transmission is compared with the second reading of the law, and so is what the door would decide.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chassis.transitions import Arm, Decided, Disarm
from contracts.codes import AgeBand, ConsentForm, ConsentState, DataCategory, Giver, HandoverState, Purpose, Side
from contracts.ids import AgencyId, ConsentId, HandoverRef, RestrictionId
from contracts.new_ids import new_id
from services.consent.domain import LOOK_AGAIN, Law
from services.consent.domain import commands as c
from services.consent.domain.decision import decide_all, question
from services.consent.domain.words import InvalidReason, Item, Stated, Transmission
from tests.consent.builders import (
    AGENTUR,
    ALLIANCE,
    EXCEPTION_TASK,
    JOBCENTER,
    JUGENDAMT,
    MUSTER,
    PURPOSE,
    TASK,
    Story,
    a_duty_id,
    a_grant,
    a_sheet,
    an_item,
    of_two_youth_offices,
)
from tests.consent.second_reading import Ban, Datum, Moment, Paper, reason

CATEGORIES = (DataCategory.CONTACT, DataCategory.HEALTH, DataCategory.OFFENCES)
IN_ROW = frozenset({DataCategory.CONTACT, DataCategory.OFFENCES})
ROW_ENDS = date(2026, 12, 10)  # in the time the machine lives in; the day here ends at 23:00 UTC
ROW_OVER = datetime.fromisoformat("2026-12-10T23:00:00+00:00")
LAW = Law(JOBCENTER, {MUSTER: of_two_youth_offices(ALLIANCE, categories=tuple(IN_ROW), valid_until=ROW_ENDS)})
TO = ((JUGENDAMT, PURPOSE), (AGENTUR, Purpose.CASE_CONFERENCE))
OTHER = {Giver.SELF: Giver.GUARDIAN, Giver.GUARDIAN: Giver.SELF}

some_categories = st.sets(st.sampled_from(CATEGORIES), min_size=1).map(frozenset)
forms = st.sampled_from(ConsentForm)
givers = st.sampled_from(Giver)
anywhere = st.sampled_from(TO)


@dataclass
class Papers:
    """What the machine keeps of one consent: its lines, as the second reading reads them."""

    id: ConsentId
    lines: dict[Any, Paper]
    status: str = "given"

    def read(self) -> tuple[Paper, ...]:
        return tuple(line._replace(status=self.status) for line in self.lines.values())


@dataclass
class Going:
    """What is to go by one handover, and for what each task was stated last."""

    handover: HandoverRef
    recipient: AgencyId
    purpose: Purpose
    items: tuple[Item, ...]
    stated: dict[str, frozenset[DataCategory]] = field(default_factory=dict)
    over: bool = False


@dataclass
class Shelf:
    """Everything the machine has noted."""

    consents: list[Papers] = field(default_factory=list)
    bans: dict[RestrictionId, Ban] = field(default_factory=dict)
    lapsed: dict[RestrictionId, Ban] = field(default_factory=dict)
    going: list[Going] = field(default_factory=list)


class Life(RuleBasedStateMachine):
    """One young person of 16, who comes of age at some time or other."""

    book: type[Story] = Story

    @initialize()
    def begin(self) -> None:
        self.story = self.book(AgeBand.FROM_15_TO_17, law=LAW)
        self.shelf = Shelf()
        self.due: datetime | None = None
        self.adult = False
        self.insight_noted = False
        for way in TO:  # so that whatever happens first happens to something
            going = Going(HandoverRef(new_id()), *way, tuple(an_item(category) for category in CATEGORIES))
            self._open(going)
            self.shelf.going.append(going)

    def do(self, command: object, *, everything: bool = False) -> None:
        """Have it decided; no two things happen in the same instant.

        `everything`: a grant begins or ends, or something is forbidden: every open transmission is decided anew.
        """
        self._decide(command, everything=everything)
        self._until(self.story.now + timedelta(seconds=1))

    def _decide(self, command: object, *, everything: bool) -> None:
        before = [each.id for each in self.story.person.transmissions if each.decided]
        self.story.person = replace(self.story.person, decisions=())
        decided = self.story.do(command)
        for deadline in decided.deadlines:
            match deadline:
                case Arm(kind, due):
                    assert kind == LOOK_AGAIN
                    assert due > self.story.now
                    self.due = due
                case Disarm():
                    self.due = None
        if everything:
            anew = {each.transmission for each in decided.subject.decisions if each.at == self.story.now}
            assert anew >= set(before), "a grant began or ended, and a transmission was not decided anew"

    def _until(self, then: datetime) -> None:
        """The clock runs what is due on the way, at its instant."""
        while self.due is not None and self.due <= then:
            self.story.now, self.due = self.due, None
            self._decide(c.LookAgain(a_duty_id()), everything=True)
        self.story.now = then

    # --- consents ---

    @rule(by_self=st.booleans(), to=anywhere, categories=some_categories, form=forms, entrusted=st.booleans(),
          period=st.tuples(st.sampled_from((0, 0, 0, 2)), st.integers(1, 30)), second=st.none() | some_categories,
          replaces=st.booleans())
    def give(self, by_self: bool, to: tuple[AgencyId, Purpose], categories: frozenset[DataCategory], form: ConsentForm,
             entrusted: bool, period: tuple[int, int], second: frozenset[DataCategory] | None, replaces: bool) -> None:
        giver = Giver.SELF if by_self or self.adult or self.insight_noted else Giver.GUARDIAN
        if DataCategory.HEALTH in categories | (second or frozenset()):
            form = ConsentForm.WRITTEN
        starts, days = period
        begins = self.story.now + timedelta(days=starts)
        wanted = [
            a_grant(recipient=to[0], purpose=to[1], categories=each, entrusted_included=entrusted, valid_from=begins,
                    valid_until=begins + timedelta(days=days))
            for each in (categories, second) if each
        ]
        older = next((each for each in self.shelf.consents if self.state(each) == "given"), None) if replaces else None
        consent = ConsentId(new_id())
        sheet = a_sheet(self.story.notice.id, *wanted, giver=giver, insight=giver is Giver.SELF, form=form)
        lines = {
            each.id: Paper(str(giver), str(form), "given", self.story.now, str(to[0]), str(to[1]),
                           frozenset(map(str, each.categories)), entrusted, begins, begins + timedelta(days=days))
            for each in wanted
        }
        self.do(c.GiveConsent(consent, sheet, replaces=older.id if older else None), everything=True)
        self.shelf.consents.append(Papers(consent, lines))
        if older:
            older.status = "replaced"

    def state(self, papers: Papers) -> str:
        return self.story.state(papers.id)

    @precondition(lambda self: self.shelf.consents)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Never refused; from now on nothing goes on it."""
        papers = data.draw(st.sampled_from(self.shelf.consents))
        open_still = self.state(papers) == ConsentState.GIVEN
        self.do(c.WithdrawConsent(papers.id, a_duty_id()), everything=open_still)
        if open_still:
            papers.status = "withdrawn"
        elif self.state(papers) in {ConsentState.EXPIRED, ConsentState.REPLACED}:
            papers.lines = {key: line._replace(taken_back=True) for key, line in papers.lines.items()}

    @precondition(lambda self: self.shelf.consents)
    @rule(data=st.data())
    def withdraw_a_grant(self, data: st.DataObject) -> None:
        papers = data.draw(st.sampled_from(self.shelf.consents))
        key = data.draw(st.sampled_from(sorted(papers.lines)))
        open_still = self.state(papers) == ConsentState.GIVEN
        self.do(c.WithdrawGrants(papers.id, frozenset({key}), a_duty_id()), everything=open_still)
        if open_still or self.state(papers) in {ConsentState.EXPIRED, ConsentState.REPLACED}:
            papers.lines[key] = papers.lines[key]._replace(taken_back=True)
        if open_still and all(line.taken_back for line in papers.lines.values()):
            papers.status = "withdrawn"

    @precondition(lambda self: any(self.state(each) == "given" for each in self.shelf.consents))
    @rule(data=st.data())
    def invalidate(self, data: st.DataObject) -> None:
        open_ones = [each for each in self.shelf.consents if self.state(each) == "given"]
        papers = data.draw(st.sampled_from(open_ones))
        self.do(c.InvalidateConsent(papers.id, InvalidReason.NOT_VOLUNTARY, a_duty_id()), everything=True)
        papers.status = "invalidated"

    @precondition(lambda self: self.shelf.consents)
    @rule(data=st.data(), form=forms, ends=st.booleans())
    def clear_or_no_longer(self, data: st.DataObject, form: ConsentForm, ends: bool) -> None:
        """Whoever has not signed lets go what they have entrusted, or takes that back."""
        papers = data.draw(st.sampled_from(self.shelf.consents))
        for key, line in papers.lines.items():
            other = OTHER[Giver(line.signed_by)]
            if ends:
                self.do(c.WithdrawClearance(papers.id, frozenset({key}), a_duty_id()), everything=True)
                papers.lines[key] = line._replace(countersigned_by="", countersigned="")
            else:
                command = c.ClearGrants(papers.id, frozenset({key}), other, form)
                if isinstance(self.story.try_(command), Decided):
                    self.do(command, everything=True)
                    papers.lines[key] = line._replace(countersigned_by=str(other), countersigned=str(form))

    # --- what is forbidden ---

    @rule(by=givers, to=st.none() | st.sampled_from((JUGENDAMT, AGENTUR)), categories=some_categories)
    def forbid(self, by: Giver, to: AgencyId | None, categories: frozenset[DataCategory]) -> None:
        if self.adult:
            by = Giver.SELF
        restriction, at = RestrictionId(new_id()), self.story.now
        self.do(c.Restrict(restriction, by, ConsentForm.WRITTEN, to, categories), everything=True)
        self.shelf.bans[restriction] = Ban(str(by), at, str(to or ""), frozenset(map(str, categories)))

    @precondition(lambda self: self.shelf.bans)
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        restriction = data.draw(st.sampled_from(sorted(self.shelf.bans)))
        by = Giver(self.shelf.bans.pop(restriction).said_by)
        self.do(c.LiftRestriction(restriction, by, ConsentForm.WRITTEN), everything=True)

    # --- the person ---

    @rule(insight=st.booleans())
    def note_insight(self, insight: bool) -> None:
        self.do(c.NoteInsight(insight))
        self.insight_noted = insight

    @rule()
    def come_of_age(self) -> None:
        self.do(c.KnowPerson(AgeBand.FROM_18_TO_20), everything=any(
            ban.said_by == "guardian" for ban in self.shelf.bans.values()
        ))
        self.adult = True
        self.shelf.lapsed |= {key: ban for key, ban in self.shelf.bans.items() if ban.said_by == "guardian"}
        self.shelf.bans = {key: ban for key, ban in self.shelf.bans.items() if ban.said_by != "guardian"}

    @precondition(lambda self: self.adult)
    @rule()
    def turn_out_to_be_younger(self) -> None:
        """The birth date was a typing error."""
        self.do(c.KnowPerson(AgeBand.FROM_15_TO_17), everything=bool(self.shelf.lapsed))
        self.adult = False
        self.shelf.bans |= self.shelf.lapsed
        self.shelf.lapsed = {}

    # --- what is to go ---

    @rule(to=anywhere, data=st.data())
    def propose(self, to: tuple[AgencyId, Purpose], data: st.DataObject) -> None:
        handover = HandoverRef(new_id())
        going = Going(handover, *to, self._items(data))
        self._open(going)
        self.shelf.going.append(going)

    @precondition(lambda self: self._open_ones())
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        going = data.draw(st.sampled_from(self._open_ones()))
        going.items = going.items[:1]
        self._open(going)

    @precondition(lambda self: any(not each.over for each in self.shelf.going))
    @rule(data=st.data(), norm=st.sampled_from((TASK, EXCEPTION_TASK)), harmless=st.sampled_from((True, True, False)),
          categories=st.sets(st.sampled_from(sorted(IN_ROW))).map(frozenset))
    def state_task(self, data: st.DataObject, norm: str, harmless: bool, categories: frozenset[DataCategory]) -> None:
        """By a youth office to another, for what was entrusted or for everything else; harmless no longer is less."""
        going = data.draw(st.sampled_from([each for each in self.shelf.going if not each.over]))
        task = c.StateTask(going.handover, Stated(norm, categories, harmless, new_id(), "needed", "tests"))
        if isinstance(self.story.try_(task), Decided):
            self.do(task)
            going.stated[norm] = categories if harmless else frozenset()

    @precondition(lambda self: any(not each.over for each in self.shelf.going))
    @rule(data=st.data())
    def end_the_handover(self, data: st.DataObject) -> None:
        going = data.draw(st.sampled_from([each for each in self.shelf.going if not each.over]))
        self.do(c.NoteHandover(going.handover, Side.SENDER, going.recipient, MUSTER, HandoverState.COMPLETED, None,
                               a_duty_id()))
        going.over = True

    def _items(self, data: st.DataObject) -> tuple[Item, ...]:
        count = data.draw(st.integers(1, 3))
        return tuple(self._item(data) for _ in range(count))

    def _item(self, data: st.DataObject) -> Item:
        told_by = data.draw(st.sampled_from(("", "", "", *Giver, "somebody")))
        return an_item(
            data.draw(st.sampled_from(CATEGORIES)), entrusted=bool(told_by),
            entruster=told_by if isinstance(told_by, Giver) else None,
            special=data.draw(st.booleans()), professional_secret=data.draw(st.booleans()),
        )

    def _open(self, going: Going) -> None:
        known = self._transmission(going)
        event = new_id()
        self.do(c.OpenTransmission(
            known.id if known else event, event, going.handover, new_id(), MUSTER, going.recipient, going.purpose,  # type: ignore[arg-type]  # ids as they come
            tuple(item.id for item in going.items),
        ))
        self.do(c.TakeFlags(going.handover, event, going.items))

    def _open_ones(self) -> list[Going]:
        """Those that may still be cut: not ended by what was decided, nor with their handover."""
        found = [(each, self._transmission(each)) for each in self.shelf.going]
        return [each for each, known in found if known is not None and known.decided]

    def _transmission(self, going: Going) -> Transmission | None:
        return next((t for t in self.story.person.transmissions if t.handover == going.handover), None)

    # --- time ---

    @rule(hours=st.integers(1, 24 * 12))
    def let_time_pass(self, hours: int) -> None:
        self._until(self.story.now + timedelta(hours=hours))

    # --- what holds in every state ---

    @invariant()
    def what_may_go_is_what_the_second_reading_says(self) -> None:
        for going in self.shelf.going:
            known = self._transmission(going)
            assert known is not None
            expected = [reason(self._datum(item), self._moment(going)) for item in going.items]
            if known.decided:
                assert [str(each.reason) for each in known.verdicts] == expected, (going, known.state)
            assert self._at_the_door(known) == expected, going

    def _at_the_door(self, known: Transmission) -> list[str]:
        about = question(self.story.person, known, LAW.alliances[MUSTER], JOBCENTER, self.story.now)
        return [str(each.reason) for each in decide_all(known.asked, known.items, about)]

    def _moment(self, going: Going) -> Moment:
        in_row = going.recipient == JUGENDAMT and self.story.now < ROW_OVER
        by_law, by_65 = (going.stated.get(norm, ()) if in_row else () for norm in (TASK, EXCEPTION_TASK))
        papers = tuple(paper for each in self.shelf.consents for paper in each.read())
        return Moment(
            self.story.now, str(going.recipient), str(going.purpose), True, papers, tuple(self.shelf.bans.values()),
            frozenset(map(str, by_law)), frozenset(map(str, by_65)),
        )

    @staticmethod
    def _datum(item: Item) -> Datum:
        told_by = ("somebody" if item.entruster is None else str(item.entruster)) if item.entrusted else ""
        return Datum(str(item.category), told_by, item.special, item.professional_secret)


def live(times: int, steps: int) -> None:
    run_state_machine_as_test(
        Life, settings=settings(max_examples=times, stateful_step_count=steps, deadline=None)
    )


def test_in_every_order_of_things_what_may_go_is_what_the_second_reading_says() -> None:
    live(100, 30)


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_in_very_many_orders_of_things_what_may_go_is_what_the_second_reading_says() -> None:
    live(1000, 50)
