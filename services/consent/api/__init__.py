"""What the consent service is asked: notices, consents, receipts, decisions, what has left, duties; and the door."""

from chassis.http import Routes
from services.consent.api import commands, decisions, receipts, views
from services.consent.api import door as door_routes

routes = Routes([
    *commands.routes.listed, *views.routes.listed, *receipts.routes.listed, *decisions.routes.listed,
    *door_routes.routes.listed,
])  # fmt: skip
