"""What the offers service does over the network between decisions: nothing so far."""

from collections.abc import Mapping
from typing import Final

from chassis.errands import ErrandFunction

ERRANDS: Final[Mapping[str, ErrandFunction]] = {}
