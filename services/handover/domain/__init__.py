"""The law of a handover: states, commands, conditions and THE TABLE of either side. Pure.

Read `sender.py` and `receiver.py` first (the protocol with the other agency), then `local.py` and `law.py`.
"""

from contracts.codes import HandoverState as State

from . import memory
from .clocks import STRIKES
from .known_case import learn
from .law import TABLES, allowed, decide, reserves
from .receiver import RECEIVER
from .sender import SENDER
from .subject import Around, CaseState, Clock, Handover, KnownCase, Matter, Reason, baton

__all__ = [
    "RECEIVER",
    "SENDER",
    "STRIKES",
    "TABLES",
    "Around",
    "CaseState",
    "Clock",
    "Handover",
    "KnownCase",
    "Matter",
    "Reason",
    "State",
    "allowed",
    "baton",
    "decide",
    "learn",
    "memory",
    "reserves",
]
