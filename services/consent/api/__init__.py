"""What the consent service is asked: notices, consents, what is forbidden, receipts, decisions, releases; the door."""

from chassis.http import Routes
from services.consent.api import commands, decisions, declarations, due, note, receipts, views
from services.consent.api import door as door_routes

routes = Routes([
    *commands.routes.listed, *declarations.routes.listed, *due.routes.listed, *views.routes.listed,
    *note.routes.listed, *receipts.routes.listed, *decisions.routes.listed, *door_routes.routes.listed,
])  # fmt: skip
