"""Receipts: signed for systems, printed for people, and the page on a phone where a consent is seen and taken back."""

from chassis.http import Routes
from services.consent.api.receipts import phone, staff

routes = Routes([*staff.routes.listed, *phone.routes.listed])
