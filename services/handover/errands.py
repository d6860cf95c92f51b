"""What needs the network in the course of a handover: nothing; it lives on what it hears."""

from typing import Final

from chassis.errands import Functions

ERRANDS: Final[Functions] = {}
