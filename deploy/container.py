"""The one program in the image of a service: run it, migrate its database, or say whether callers should come.

    python -m deploy.container run | migrate | ready

The image names its service (`STAFFEL_SERVICE`). Settings come from the environment, else from the file that
`STAFFEL_SETTINGS` names. `metadata <folder>` is for building the image: it writes down which version is inside.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tomllib
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

PATIENCE_SECONDS = 3.0  # for the answer of a service that is asked whether it is ready
USAGE = "python -m deploy.container run | migrate | ready"


class StartError(RuntimeError):
    """Why the service cannot be run; its text is for the one who runs it."""


def settings_of(service: str) -> Any:
    """The settings of that service. StartError names what is missing or wrong, and never repeats a value."""
    settings_class = importlib.import_module(f"services.{service}.settings").Settings
    try:
        return settings_class(_env_file=os.environ.get("STAFFEL_SETTINGS"), _env_file_encoding="utf-8")
    except SettingsError as error:
        raise StartError(f"{error}: lists are written as JSON") from error
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        lines = [f"STAFFEL_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in found]
        raise StartError("\n".join([*lines, f"{service} does not start: settings are missing or wrong"])) from error


def run(service: str) -> int:
    """Run the service until SIGTERM."""
    from chassis.service import run as run_service  # noqa: PLC0415  # asking whether it is ready needs none of it

    run_service(importlib.import_module(f"services.{service}.app").service(settings_of(service)))
    return 0


def migrate(service: str) -> int:
    """Bring the service's database to the tables its code expects."""
    from deploy.migrations import migrate as migrate_database  # noqa: PLC0415  # see above

    asyncio.run(migrate_database(settings_of(service).database, service))
    return 0


def ready(service: str) -> int:
    """0 if the service in this container says that callers should come, else 1."""
    asked = HTTPConnection("127.0.0.1", settings_of(service).port, timeout=PATIENCE_SECONDS)
    try:
        asked.request("GET", "/ready")
        return 0 if asked.getresponse().status == HTTPStatus.OK else 1
    except (OSError, HTTPException):
        return 1
    finally:
        asked.close()


def metadata(folder: str) -> int:
    """Write what `importlib.metadata` needs to know of this project into a folder of libraries."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    place = Path(folder) / f"{project['name']}-{project['version']}.dist-info"
    place.mkdir(parents=True, exist_ok=True)
    lines = ("Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}", "")
    (place / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    return 0


VERBS = {"run": run, "migrate": migrate, "ready": ready}


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    match arguments:
        case ["metadata", folder]:
            return metadata(folder)
        case [verb] if verb in VERBS:
            try:
                return VERBS[verb](os.environ["STAFFEL_SERVICE"])
            except StartError as error:
                sys.stderr.write(f"{error}\n")
                return 1
    sys.stderr.write(f"{USAGE}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
