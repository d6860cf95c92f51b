"""The column *duty* of the checked protocol, row by row, against what consent does (design: consent keeps the duty).

The protocol's facts travel here under other names: its `ConsentWithdrawn` begins with a withdrawal, `Stopped` and
`ConsentEnded` reach the receiver's consent service as `consent.withdrawal_notified`, and the receiver's own ends reach
the sender's as `handover.changed`, recorded beside the end of its own.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.codes import DutyAnswer, HandoverState, RetentionNorm, Side
from contracts.ids import DutyId, HandoverRef, ReleaseId
from contracts.new_ids import new_id
from services.consent.domain import Reason
from services.consent.domain import commands as c
from tests.consent.builders import JUGENDAMT, Story, a_duty_id, refused
from tests.consent.test_domain import moved, owed, released

ROWS = json.loads((Path(__file__).parents[1] / "handover" / "handover_protocol.json").read_text("utf-8"))
NEVER_OPEN = {"draft", "requested", "inquiry", "waitlisted", "redirecting"}  # the door was: nothing is in the ledger
DUTY_OF = {
    "awaits": "awaits", "owes": "owes", "erasing": "owes", "waits": "owes", "answered": "answered", "lapsed": "none",
}


def rows(side: str, *on: str) -> list[Any]:
    found = [row for row in ROWS if row["side"] == side and row["on"] in on]
    assert found
    return [pytest.param(row, id=f"{row['while']}-{row['on']}") for row in found]


def duty_of(story: Story) -> str:
    """In the words of the protocol."""
    return DUTY_OF[str(story.person.duties[-1].state)] if story.person.duties else "none"


def state(word: str) -> HandoverState:
    return HandoverState(word)


@pytest.mark.parametrize("row", rows("sender", "ConsentWithdrawn"))
def test_the_sender_awaits_an_answer_where_something_may_be_left(row: dict[str, Any]) -> None:
    story, consent, handover, _ = released()
    if row["while"] in NEVER_OPEN:
        story.person = replace(story.person, ledger=())
    if row["while"] != "draft":
        story.do(moved(handover, state(row["while"])))
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    assert duty_of(story) == {"awaits": "awaits", "unchanged": "none"}[row["duty"]]


@pytest.mark.parametrize(
    "row", [each for each in rows("sender", "NotReached", "GivenBack", "CancelConfirmed", "CancelDenied", "Completed",
                                  "EndHeard", "FirstContactMade") if each.values[0]["while"] == "stopped"]
)
def test_the_sender_awaits_nothing_any_more_where_the_receiver_has_erased(row: dict[str, Any]) -> None:
    story, consent, handover, _ = released()
    story.do(moved(handover, HandoverState.ACTIVE))
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    story.do(moved(handover, HandoverState.STOPPED, state(row["records"]) if row["records"] else None))
    assert duty_of(story) == {"none": "none", "unchanged": "awaits"}[row["duty"]]


@pytest.mark.parametrize("row", rows("sender", "DataAnswered"))
def test_the_sender_hears_the_answer(row: dict[str, Any]) -> None:
    story, consent, handover, _ = released()
    story.do(moved(handover, HandoverState.ACTIVE))
    story.do(c.WithdrawConsent(consent, a_duty_id()))
    story.do(moved(handover, state(row["while"])))
    story.do(c.HearAnswer(JUGENDAMT, story.person.duties[0].id, DutyAnswer.ERASED, None))
    assert duty_of(story) == row["duty"]


@pytest.mark.parametrize("told_by_handover_first", [True, False])
@pytest.mark.parametrize(
    "row", [each for each in rows("receiver", "Stopped", "ConsentEnded")
            if each.values[0]["while"] not in {*NEVER_OPEN, "accepting"}]
)
def test_the_receiver_owes_an_answer_where_something_is_left(
    row: dict[str, Any], told_by_handover_first: bool
) -> None:
    story = Story()
    handover = HandoverRef(new_id())
    story.do(moved(handover, state(row["while"]), side=Side.RECEIVER))
    demand = owed(handover, ReleaseId(new_id()))
    news = moved(handover, state(row["then"]), state(row["records"]) if row["records"] else None, Side.RECEIVER)
    for command in (news, demand) if told_by_handover_first else (demand, news):
        story.do(command)
    assert duty_of(story) == {"owes": "owes", "unchanged": "none"}[row["duty"]]


@pytest.mark.parametrize("row", rows("receiver", "AnswerOnData"))
def test_the_receiver_answers_once_and_only_where_it_owes(row: dict[str, Any]) -> None:
    story = Story()
    handover, duty = HandoverRef(new_id()), DutyId(new_id())
    answer = c.AnswerRetained(duty, RetentionNorm.SGB_X_84)
    story.do(moved(handover, state(row["while"]), side=Side.RECEIVER))
    assert refused(story.try_(answer)) == Reason.UNKNOWN_DUTY
    story.do(replace(owed(handover, ReleaseId(new_id())), duty=duty))
    story.do(answer)
    assert (row["guard"], duty_of(story)) == ("owes_answer", row["duty"])
    assert refused(story.try_(answer)) == Reason.NOT_NOW


def test_no_other_row_of_the_protocol_speaks_of_a_duty() -> None:
    tested = {"ConsentWithdrawn", "NotReached", "GivenBack", "CancelConfirmed", "DataAnswered", "Stopped",
              "ConsentEnded", "AnswerOnData"}
    assert {row["on"] for row in ROWS if row["duty"] != "unchanged"} <= tested
