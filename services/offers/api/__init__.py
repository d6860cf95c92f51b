"""What the offers service is asked: commands on own offers, and the catalogue."""

from chassis.http import Routes
from services.offers.api import catalogue, commands

routes = Routes([*commands.routes.listed, *catalogue.routes.listed])
