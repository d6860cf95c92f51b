"""What the environment must say to the handover service, beside what it says to every service."""

from functools import cached_property
from pathlib import Path

import yaml
from pydantic import Field

from chassis.service import ServiceSettings
from contracts.alliance import Alliance
from contracts.ids import AgencyId


class Settings(ServiceSettings):
    """Whose service this is, and with whom that agency works together."""

    agency: AgencyId = Field(description="Id of the agency that runs this service, as in the alliance files")
    alliances: tuple[Path, ...] = Field(description="Files of the alliances this agency belongs to, as a JSON list")

    @cached_property
    def read_alliances(self) -> tuple[Alliance, ...]:
        """The files, each read once; ValueError names the place where one is wrong."""
        return tuple(Alliance.model_validate(yaml.safe_load(file.read_text("utf-8"))) for file in self.alliances)
