"""The law of a case: which command is possible in which state, where it leads, who learns of it, and why."""

from dataclasses import replace

from chassis.transitions import Context, Decided, Refused, Row, Table, as_matrix  # noqa: F401
