"""A question before anything is proposed: every reason against an item, and the consents that would help, which do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from contracts.codes import (
    PERMITTING_REASONS,
    AgeBand,
    ConsentForm,
    ConsentState,
    DataCategory,
    DecisionReason,
    Giver,
    HandoverState,
    Purpose,
    Role,
)
from contracts.ids import ConsentId, GrantId
from contracts.new_ids import new_id
from services.consent.domain.consents import rightful
from services.consent.domain.decision import Question, against, decide_item
from services.consent.domain.explaining import Help, explained, helps
from services.consent.domain.words import Clearance, Consent, Grant, Item
from tests.consent.builders import ALLIANCE, JOBCENTER, JUGENDAMT, MUSTER, NOW, PURPOSE, a_restriction, an_item
from tests.consent.conftest import DECLARED, Consenting, token
from tests.consent.test_decision import CONTACT, EVERY, GRANTED_WAY, IN_WINTER, ROW, lines, statutory

AGES = (AgeBand.UNDER_15, AgeBand.FROM_15_TO_17, AgeBand.FROM_18_TO_20)


def given(about: Question, wanted: Help, giver: Giver, form: ConsentForm, cleared_by: Giver | None) -> Question:
    """The same question, had that consent been given at that moment, and been cleared by that entruster."""
    cleared = None if cleared_by is None else Clearance(cleared_by, form, about.at)
    grant = Grant(
        GrantId(new_id()), MUSTER, about.recipient, about.purpose, wanted.categories, wanted.entrusted_included,
        about.at, about.at + timedelta(days=1), cleared=cleared,
    )
    consent = Consent(ConsentId(new_id()), 1, ConsentState.GIVEN, giver, form=form, grants=(grant,), given_at=about.at)
    return replace(about, consents=(*about.consents, consent))


def test_the_reasons_begin_with_the_one_that_decides_and_there_are_none_where_an_item_may_go() -> None:
    for line in lines(every=EVERY):
        reasons = against(line.item, line.about)
        first = line.expected
        assert reasons[:1] == (() if first in PERMITTING_REASONS else (first,)), line
        assert len(set(reasons)) == len(reasons), line


def test_all_that_stands_in_the_way_is_said_at_once() -> None:
    """Whoever mends one thing must not learn of the next one only then."""
    thing = an_item(DataCategory.SCHOOL, entrusted=True, professional_secret=True, entruster=Giver.GUARDIAN)
    forbidden = (a_restriction(JUGENDAMT, DataCategory.SCHOOL),)
    about = Question(NOW, JOBCENTER, JUGENDAMT, Purpose.WORK_PLACEMENT, ALLIANCE, (), forbidden)
    assert against(thing, about) == (
        DecisionReason.RECIPIENT_NOT_ELIGIBLE, DecisionReason.ENTRUSTED, DecisionReason.PROFESSIONAL_SECRET,
        DecisionReason.RESTRICTED,
    )
    assert against(CONTACT, replace(about, restrictions=())) == (
        DecisionReason.RECIPIENT_NOT_ELIGIBLE, DecisionReason.NO_BASIS,
    )
    assert against(CONTACT, statutory(ROW)) == ()


@pytest.mark.parametrize("age", AGES)
def test_a_consent_that_is_said_to_help_does_and_no_other_would(age: AgeBand) -> None:
    """Whoever may give it in a form that is named: the item goes, where its entruster lets it go if that is named, too.

    By any other giver, in any other form, without the entruster: it does not.
    """
    seen = {"helped": 0, "helped if cleared": 0, "helpless": 0}
    for line in lines([IN_WINTER], every=101, ways=GRANTED_WAY):
        if line.expected == DecisionReason.CONSENT:
            continue
        thing, about = line.item, line.about
        found = helps((thing.id,), {thing.id: thing}, about, age)
        able = {rightful(age, insight=insight) for insight in (True, False)}
        helpful = {(giver, form, one.cleared_by) for one in found for giver, form in product(one.givers, one.forms)}
        wanted = Help(frozenset(), frozenset(), thing.entrusted, None, frozenset({thing.category}), (thing.id,))
        for giver, form, cleared_by in product(able, ConsentForm, (None, *Giver)):
            goes = decide_item(thing, given(about, wanted, giver, form, cleared_by)).permitted
            assert goes is bool({(giver, form, None), (giver, form, cleared_by)} & helpful), (line, giver, form)
        cleared = any(one.cleared_by is not None for one in found)
        seen["helped if cleared" if cleared else "helped" if found else "helpless"] += 1
    assert min(seen.values()) > 0


def test_items_that_one_consent_would_let_go_are_named_together() -> None:
    plain, school = an_item(DataCategory.MASTER_DATA), an_item(DataCategory.SCHOOL)
    health, told = an_item(DataCategory.HEALTH), an_item(DataCategory.SCHOOL, entrusted=True, entruster=Giver.SELF)
    things = {each.id: each for each in (plain, school, health, told)}
    about = Question(NOW, JOBCENTER, JUGENDAMT, PURPOSE, ALLIANCE, ())
    found = helps(tuple(things), things, about, AgeBand.FROM_18_TO_20)
    assert [set(each.items) for each in found] == [{plain.id, school.id}, {health.id}, {told.id}]
    assert [each.entrusted_included for each in found] == [False, False, True]
    assert ConsentForm.ORAL_DOCUMENTED not in found[1].forms


def test_of_what_own_intake_no_longer_has_nothing_helps() -> None:
    gone = an_item()
    about = Question(NOW, JOBCENTER, JUGENDAMT, PURPOSE, ALLIANCE, ())
    (one,) = explained((gone.id,), {}, about)
    assert one.against == (DecisionReason.ITEM_GONE,)
    assert helps((gone.id,), dict[Any, Item](), about, AgeBand.FROM_18_TO_20) == ()


# --- over HTTP --------------------------------------------------------------------------------------------------------


async def explain(consenting: Consenting, of: UUID, items: list[UUID], **more: Any) -> Any:
    body: dict[str, Any] = {"person": str(of), "alliance": MUSTER, "recipient": JUGENDAMT, "purpose": PURPOSE}
    body |= {"items": [str(each) for each in items], **more}
    return await consenting.client.post("/decisions", json=body, headers=token(Role.CASEWORKER))


async def test_what_is_missing_is_asked_for_as_it_was_said_and_then_nothing_is_missing(consenting: Consenting) -> None:
    person = await consenting.a_person()
    plain, health = consenting.neighbours.put(), consenting.neighbours.put(category="health")
    before = (await explain(consenting, person, [plain, health])).json()
    assert before["outcome"] == "deny"
    assert [each["reasons"] for each in before["items"]] == [["no_basis"], ["no_basis"]]
    assert [each["items"] for each in before["consents_that_help"]] == [[str(plain)], [str(health)]]

    notice = await consenting.a_notice()
    for each in before["consents_that_help"]:
        form = DECLARED | {"giver": each["givers"][0], "form": each["forms"][-1], "grants": [each["grant"]]}
        answer = await consenting.command("/consents", {"person": str(person), "notice": str(notice), **form})
        assert answer.status_code == 201, answer.text
        seen = (await explain(consenting, person, [plain, health])).json()
        assert seen["outcome"] == ("partly" if each is before["consents_that_help"][0] else "permit")
    assert [[basis["norm"] for basis in each["bases"]] for each in seen["items"]] == [["consent_sgb_x_67b"]] * 2
    assert seen["consents_that_help"] == []


async def test_nothing_is_kept_and_nothing_permitted_by_an_answer(consenting: Consenting) -> None:
    person = await consenting.a_person()
    item = consenting.neighbours.put()
    await consenting.given(person)
    handover = await consenting.proposed(person, [item], HandoverState.ACCEPTED)
    consent = (await consenting.get(f"/persons/{person}/consents"))["consents"][0]["id"]
    kept = await consenting.rows("SELECT id FROM decision ORDER BY id")
    assert (await explain(consenting, person, [item])).json()["outcome"] == "permit"
    assert await consenting.rows("SELECT id FROM decision ORDER BY id") == kept != []
    await consenting.command(f"/consents/{consent}/withdrawal", {"person": str(person)})
    assert (await explain(consenting, person, [item])).json()["items"][0]["reasons"] == ["consent_withdrawn"]
    assert (await consenting.fetch(handover)).json()["type"] == "/problems/consent/consent-withdrawn"


async def test_about_the_items_of_somebody_else_nothing_is_said(consenting: Consenting) -> None:
    person, other = await consenting.a_person(), await consenting.a_person()
    await consenting.given(person)
    item = consenting.neighbours.put(person=str(other))
    answer = (await explain(consenting, person, [item])).json()
    assert [each["reasons"] for each in answer["items"]] == [["item_gone"]]
    assert answer["consents_that_help"] == []
    assert (await explain(consenting, other, [item])).json()["items"][0]["reasons"] == ["no_basis"]


async def test_a_consent_for_a_time_to_come_covers_it(consenting: Consenting) -> None:
    person, item = await consenting.a_person(), consenting.neighbours.put()
    at = (datetime.now(UTC) + timedelta(days=800)).isoformat()
    (wanted,) = (await explain(consenting, person, [item], at=at)).json()["consents_that_help"]
    said = {"person": str(person), "notice": await consenting.a_notice(), **DECLARED, "grants": [wanted["grant"]]}
    assert (await consenting.command("/consents", said)).status_code == 201
    assert (await explain(consenting, person, [item], at=at)).json()["outcome"] == "permit"
    assert (await explain(consenting, person, [item])).json()["outcome"] == "deny"


async def test_a_question_nobody_can_answer_is_refused_by_its_reason(consenting: Consenting) -> None:
    person, item = await consenting.a_person(), consenting.neighbours.put()
    for said, status, reason in (
        ({"person": str(new_id())}, 404, "unknown-person"), ({"alliance": "nowhere"}, 422, "unknown-alliance"),
    ):
        answer = await explain(consenting, person, [item], **said)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/consent/{reason}")
    late = await explain(consenting, person, [item], at="2026-01-01T00:00:00Z")
    assert (late.status_code, late.json()["type"]) == (422, "/problems/consent/retroactive")
    consenting.neighbours.down = {"intake"}
    answer = await explain(consenting, person, [item])
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/consent/unreachable")
