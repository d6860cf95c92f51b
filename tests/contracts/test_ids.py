"""New ids are UUIDv7: they carry their time and increase."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from contracts.ids import time_of
from contracts.new_ids import _Maker, new_id

NOON = datetime(2026, 3, 2, 12, 0, 0, 123_000, tzinfo=UTC)


def test_a_new_id_is_a_uuid_of_version_7() -> None:
    made = new_id()
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_made_in_one_process_increase_and_never_repeat() -> None:
    made = [new_id() for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(made))


def test_ids_increase_even_when_the_clock_is_set_back() -> None:
    maker = _Maker()
    before = maker.make(2_000, never_back=True)
    after = maker.make(1_000, never_back=True)
    assert before < after
    assert time_of(after) == time_of(before)


def test_an_id_carries_the_time_it_was_given() -> None:
    assert time_of(new_id(NOON)) == NOON
    assert time_of(new_id(NOON - timedelta(days=900))) == NOON - timedelta(days=900)


def test_a_time_from_the_future_does_not_run_ahead_of_the_clock() -> None:
    new_id(NOON + timedelta(days=36_500))
    assert abs(time_of(new_id()) - datetime.now(UTC)) < timedelta(seconds=5)


def test_ids_of_one_given_instant_increase() -> None:
    made = [new_id(NOON) for _ in range(100)]
    assert made == sorted(set(made))


def test_other_uuids_carry_no_time() -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        time_of(UUID("12345678-1234-4234-8234-123456789abc"))


def test_a_uuid_of_the_standard_is_read_as_the_standard_says() -> None:
    # RFC 9562, appendix A.6
    made = UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
    assert time_of(made) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
