"""What the offers service does over the network between decisions: nothing so far."""

from typing import Final

from chassis.errands import Functions

ERRANDS: Final[Functions] = {}
