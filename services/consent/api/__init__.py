"""What the consent service is asked: notices, consents, decisions, what has left and its note, duties; the door."""

from chassis.http import Routes
from services.consent.api import commands, decisions, note, views
from services.consent.api import door as door_routes

routes = Routes([
    *commands.routes.listed, *views.routes.listed, *note.routes.listed, *decisions.routes.listed,
    *door_routes.routes.listed,
])  # fmt: skip
