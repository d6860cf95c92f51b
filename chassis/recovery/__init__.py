"""A database that is older than what it has said: noticed before anything is said again, and brought up by `recover`.

`noticing` looks, `guard` keeps everything shut meanwhile, `remembering` puts back what the service said itself.
"""

from chassis.recovery.guard import Guard, Standing
from chassis.recovery.noticing import Finding, Kind

__all__ = ["Finding", "Guard", "Kind", "Standing"]
