"""Both have said yes, and nobody has been met: what may still be undone, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploy.desk import ProblemError
from tests.journeys.journey import Journey

MOVED_AWAY = {"reason": "moved_away"}


@pytest.fixture
async def accepted(asked: Journey) -> Journey:
    """Both have said yes and the dossier is at the receiver."""
    await asked.act(asked.receiver, "acceptance")
    await asked.dossier_is("stored")
    await asked.sender_is("accepted")
    return asked


async def test_a_case_that_is_given_back_leaves_nothing_at_the_receiver(accepted: Journey) -> None:
    await accepted.act(accepted.receiver, "give-back", {"reason": "not_competent"})
    await accepted.both_are("given_back")
    await accepted.is_erased_at_the_receiver()
    assert await accepted.leading() == ["jobcenter"]
    await accepted.again()
    await accepted.receiver_is("requested")


async def test_a_young_person_is_not_reached_only_after_trying_in_earnest(accepted: Journey) -> None:
    with pytest.raises(ProblemError) as refused:
        await accepted.act(accepted.receiver, "not-reached", _attempts("phone", "phone", "phone"))
    assert (refused.value.status, refused.value.reason) == (422, "not-tried-enough")

    await accepted.act(accepted.receiver, "not-reached", _attempts("phone", "letter", "phone"))
    await accepted.both_are("not_reached")
    await accepted.is_erased_at_the_receiver()
    assert await accepted.leading() == ["jobcenter"]


async def test_a_cancel_request_that_is_denied_closes_the_door_only_meanwhile(accepted: Journey) -> None:
    await accepted.act(accepted.sender, "cancel-request", MOVED_AWAY)
    await accepted.receiver_is("cancelling")
    await accepted.act(accepted.receiver, "cancel-denial")
    await accepted.both_are("accepted")

    await accepted.first_contact()
    await accepted.sender_is("active", lead=False)
    assert await accepted.leading() == ["jugendamt"]


async def test_a_cancel_request_that_is_confirmed_undoes_everything(accepted: Journey) -> None:
    await accepted.act(accepted.sender, "cancel-request", MOVED_AWAY)
    await accepted.receiver_is("cancelling")
    await accepted.act(accepted.receiver, "cancel-confirmation")
    await accepted.both_are("cancelled")
    await accepted.is_erased_at_the_receiver()
    assert await accepted.leading() == ["jobcenter"]
    await accepted.again()
    await accepted.receiver_is("requested")


async def test_a_first_contact_answers_a_cancel_request(accepted: Journey) -> None:
    await accepted.act(accepted.sender, "cancel-request", MOVED_AWAY)
    await accepted.receiver_is("cancelling")
    await accepted.first_contact()
    await accepted.both_are("active")
    assert await accepted.leading() == ["jugendamt"]


async def test_work_that_rests_goes_on_and_comes_to_its_end(accepted: Journey) -> None:
    await accepted.first_contact()
    review_on = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    await accepted.act(accepted.receiver, "pause", {"reason": "illness", "review_on": review_on})
    await accepted.sender_is("paused", review_on=review_on)
    await accepted.act(accepted.receiver, "resumption")
    await accepted.both_are("active")
    await accepted.complete("placed_training")
    await accepted.sender_is("completed", outcome="placed_training")
    assert await accepted.leading() == ["jugendamt"]


def _attempts(*channels: str) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "attempts": [
            {"at": (now - timedelta(days=days)).isoformat(), "channel": channel}
            for days, channel in enumerate(channels, start=1)
        ]
    }
