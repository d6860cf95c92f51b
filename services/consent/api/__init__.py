"""What the consent service is asked: notices, consents, what is decided and released, duties; and the door."""

from chassis.http import Routes
from services.consent.api import commands, views
from services.consent.api import door as door_routes

routes = Routes([*commands.routes.listed, *views.routes.listed, *door_routes.routes.listed])
