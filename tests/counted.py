"""What goes to the database, whoever sends it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

FRAME = ("BEGIN", "COMMIT", "ROLLBACK")
LIVES = ";"  # asked of a connection that has rested
TYPES = ("jit", "typeinfo_tree")  # the driver learns, once for a connection, how a type is sent


def counted(database: AsyncEngine, *, frames: bool = False) -> list[str]:
    """Every statement that goes to the database from now on, through SQLAlchemy or straight to the driver.

    `frames`: with what begins and ends transactions.
    """
    found: list[str] = []
    known = set[int]()

    def said(told: Any) -> None:
        framing = told.query == LIVES or (told.query.startswith(FRAME) and not frames)
        if not framing and not any(word in told.query for word in TYPES):
            found.append(" ".join(told.query.split()))

    def listen(connection: Any, _record: object, _proxy: object) -> None:
        driver = connection.driver_connection
        if id(driver) not in known:
            known.add(id(driver))
            driver.add_query_logger(said)

    def prepared(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found.append(" ".join(statement.split()))  # the driver does not tell of those

    sa.event.listen(database.sync_engine, "checkout", listen)
    sa.event.listen(database.sync_engine, "before_cursor_execute", prepared)
    return found
