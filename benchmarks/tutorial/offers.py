"""The offers service: hears that handovers move and has nothing to do with it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from benchmarks.tutorial.service import Handler, Place, Run


class Offers:
    """No routes and no handlers."""

    errands: Mapping[str, Run] = {}

    def __init__(self, where: Place) -> None:
        self.router = APIRouter()
        self.handlers: Mapping[str, Handler] = {}
