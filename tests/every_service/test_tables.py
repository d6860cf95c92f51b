"""The tables are the law: complete, without loose ends, and as they were approved."""

import pytest

from tests.every_service.anatomy import SERVICES, approved, matrix, rows, states, tables

BLANK = "none"  # the state of what is not known here yet


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_law(service: str) -> None:
    assert tables(service)


@pytest.mark.parametrize("service", SERVICES)
def test_every_state_can_be_reached(service: str) -> None:
    for kind in {type(state) for table in tables(service).values() for state in states(table)}:
        moves = {(row.while_, row.then) for _, row in rows(service) if type(row.while_) is kind}
        reached = {BLANK}
        while more := {then for before, then in moves if before in reached} - reached:
            reached |= more
        assert {state for move in moves for state in move} <= reached, kind.__name__


@pytest.mark.parametrize("service", SERVICES)
def test_every_row_is_found_by_its_state_and_command(service: str) -> None:
    for name, table in tables(service).items():
        assert all(table.row(row.while_, row.on) is row for row in table.rows), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_change_of_state_tells_somebody_or_says_why_nobody_needs_to_hear(service: str) -> None:
    silent = [
        f"{name}: {row.while_} × {row.on.__name__}"
        for name, table in tables(service).items()
        for row in table.rows
        if row.then != row.while_ and not (row.tells or table.always or row.because)
    ]
    assert silent == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_matrix_is_the_one_that_was_approved(service: str) -> None:
    assert matrix(service) == approved(service).read_text("utf-8"), (
        "the law has changed: python -m tests.every_service.approve, then read the diff"
    )
