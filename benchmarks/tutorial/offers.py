"""The offers service: hears that handovers move and has nothing to do with it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.tutorial.models import Errand
from benchmarks.tutorial.service import Handler, Place


class Offers:
    """No routes and no handlers."""

    errand: str | None = None

    def __init__(self, where: Place) -> None:
        self.router = APIRouter()
        self.handlers: Mapping[str, Handler] = {}

    async def run(self, session: AsyncSession, errand: Errand, intake: httpx.AsyncClient) -> None:
        """There are no errands."""
        raise NotImplementedError
