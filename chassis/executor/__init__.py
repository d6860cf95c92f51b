"""The one way in: commands and heard events run together, many subjects at once, in one transaction.

    take what is waiting (never wait for more) · causes · load subjects · reserve · decide · write · answer

A refusal, or a bug in a decision, is that item's answer and never fails its neighbours. A database error fails the
batch: it is rolled back and run again in halves, so that one bad row ends up failing alone.
"""

from chassis.executor.run import Executor
from chassis.executor.work import (
    Answer,
    Asked,
    Bug,
    Cause,
    Inner,
    Kind,
    Overloaded,
    Restored,
    Trouble,
    Unavailable,
    Work,
)
from chassis.transitions import Step

__all__ = [
    "Answer",
    "Asked",
    "Bug",
    "Cause",
    "Executor",
    "Inner",
    "Kind",
    "Overloaded",
    "Restored",
    "Step",
    "Trouble",
    "Unavailable",
    "Work",
]
