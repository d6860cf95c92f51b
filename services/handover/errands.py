"""What needs the network in the course of a handover: nothing; it lives on what it hears."""

from collections.abc import Mapping
from typing import Final

from chassis.errands import ErrandFunction

ERRANDS: Final[Mapping[str, ErrandFunction]] = {}
