"""How a row of this service is written down: the columns of the model first, the rest by name."""

from chassis.transitions import Condition, Effect, Row, Teller
from contracts.codes import HandoverState as State

from .commands import Command, Heard
from .conditions import said_by_the_counterpart
from .subject import Handover


def row(  # the columns of the table
    while_: State,
    on: type[Command],
    then: State,
    tells: tuple[Teller[Handover], ...] = (),
    does: tuple[Effect[Handover], ...] = (),
    *,
    provided: tuple[Condition[Handover], ...] = (),
    because: str = "",
) -> Row[Handover]:
    """One line of a table. Whatever is heard counts only if the counterpart of that handover has said it.

    (A copy that does not exist yet has no counterpart; its first row asks on its own.)
    """
    asked = (said_by_the_counterpart, *provided) if issubclass(on, Heard) and while_ is not State.NONE else provided
    return Row(while_, on, then, tells, asked, because, does)
