"""What the intake service is asked: commands on cases and words, views, whom to inform, and items for own consent."""

from chassis.http import Routes
from services.intake.api import commands, guardians, information, internal, letter, views

__all__ = ["routes"]

routes = Routes([
    *commands.routes.listed, *views.routes.listed, *information.routes.listed, *letter.routes.listed,
    *guardians.routes.listed, *internal.routes.listed,
])  # fmt: skip
