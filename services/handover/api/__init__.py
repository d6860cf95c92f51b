"""What the handover service is asked: commands of either side, and views."""

from chassis.http import Routes
from services.handover.api import commands, views

routes = Routes([*commands.routes.listed, *views.routes.listed])

__all__ = ["routes"]
