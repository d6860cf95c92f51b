"""The tables are the law: complete, without loose ends, and as they were approved."""

import pytest

from tests.every_service.anatomy import SERVICES, approved, blanks, matrix, rows, tables

# States that something other than a row of a table leads to, and what that is.
REACHED_ELSEWHERE = {
    "consent": {
        "closed": "the door closes a release in its own short transaction, when its bytes have ended",
        "heard_of": "whatever is first said of a person leaves her heard of, until intake tells who she is",
    }
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_law(service: str) -> None:
    assert tables(service)


@pytest.mark.parametrize("service", SERVICES)
def test_every_state_can_be_reached(service: str) -> None:
    for kind in {type(row.then) for _, row in rows(service)}:
        moves = {(row.while_, row.then) for _, row in rows(service) if type(row.then) is kind}
        reached = blanks(service) | set(REACHED_ELSEWHERE.get(service, {}))
        while more := {then for before, then in moves if before in reached} - reached:
            reached |= more
        assert {state for move in moves for state in move} <= reached, kind.__name__


@pytest.mark.parametrize("service", SERVICES)
def test_every_row_is_found_by_its_state_and_command(service: str) -> None:
    for name, table in tables(service).items():
        assert all(table.row(row.while_, row.on) is row for row in table.rows), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_change_of_state_tells_somebody_or_says_why_nobody_needs_to_hear(service: str) -> None:
    always = {row for table in tables(service).values() if table.always for row in table.rows}
    moves = [(name, row) for name, row in rows(service) if row.then != row.while_ and row not in always]
    silent = [name for name, row in moves if not (row.tells or row.because)]
    assert silent == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_matrix_is_the_one_that_was_approved(service: str) -> None:
    assert matrix(service) == approved(service).read_text("utf-8"), (
        "the law has changed: python -m tests.every_service.approve, then read the diff"
    )
