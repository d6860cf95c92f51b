"""Every way of getting one cell of one row of the protocol wrong, or of forgetting a fact's row."""

from collections.abc import Iterator
from typing import Any

from tests.models.explore_handover import check_coverage, check_the_table, explore
from tests.models.laws import Broken, TableLaw
from tests.models.protocol import ProtocolRow

STATES_MAX = 30_000  # three times what the table reaches: beyond it an exchange goes round for ever
UNCHANGED = "unchanged"
NEUTRAL: dict[str, Any] = {"lead": UNCHANGED, "duty": UNCHANGED, "data": UNCHANGED, "records": None, "guard": None}


def wrong_rows(row: ProtocolRow) -> Iterator[ProtocolRow]:
    """The row with one cell wrong: it stays, leaves a fact untold, forgets a column, or moves a lead it should not."""
    if row.then != row.while_:
        yield row._replace(then=row.while_)
    for at in range(len(row.tells)):
        yield row._replace(tells=row.tells[:at] + row.tells[at + 1 :])
    for column, neutral in NEUTRAL.items():
        if getattr(row, column) != neutral:
            yield row._replace(**{column: neutral})
    if row.lead == "unchanged":
        yield row._replace(lead="takes")
        yield row._replace(lead="drops")


def mutants(rows: tuple[ProtocolRow, ...]) -> Iterator[tuple[str, tuple[ProtocolRow, ...]]]:
    """What is wrong, and the table with it."""
    for at, row in enumerate(rows):
        if row.kind == "fact":
            yield f"{row.key}: no row", rows[:at] + rows[at + 1 :]
        for wrong in wrong_rows(row):
            changed = {name: value for name, value in wrong._asdict().items() if value != getattr(row, name)}
            yield f"{row.key}: {changed}", (*rows[:at], wrong, *rows[at + 1 :])


def noticed(rows: tuple[ProtocolRow, ...]) -> str | None:
    """The promise that this table breaks; None where it seems as good as the right one."""
    try:
        check_the_table(rows)
        check_coverage(explore(TableLaw(rows), limit=STATES_MAX), rows)
    except Broken as broken:
        return str(broken).split(":")[0]
    return None

