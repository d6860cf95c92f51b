"""Every service says how it is, what it can be asked, and, where it cannot start, what it is missing."""

import os
import re
from collections.abc import Mapping
from html import unescape
from importlib import import_module
from pathlib import Path

import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from chassis.recovery import Standing
from chassis.service import Running as Whole
from deploy.cli import app as command_line
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import Running

every_service = pytest.mark.parametrize("name", SERVICES)
NOBODY_LISTENS = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"


class Sound:
    """A guard that has found nothing amiss."""

    standing = Standing.SOUND


class Assigned:
    """A consumer that has its topics."""

    assigned = True


@every_service
async def test_a_service_is_alive_and_ready(services: Mapping[str, Running], name: str) -> None:
    answers = [await services[name].client.get(path) for path in ("/health", "/ready")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json() for answer in answers] == [{"alive": True}, {"ready": True}]


@every_service
async def test_a_service_without_its_database_is_not_ready(services: Mapping[str, Running], name: str) -> None:
    whole = Whole(services[name].service)
    whole._consumer = Assigned()  # type: ignore[assignment]  # there is no broker here, and it is not asked
    whole._guard = Sound()  # type: ignore[assignment]  # likewise
    whole._executor = services[name].executor
    for dsn, ready in ((services[name].service.settings.database, True), (NOBODY_LISTENS, False)):
        whole._engine = create_async_engine(dsn)
        assert await whole.ready() is ready
        await whole._engine.dispose()


@every_service
async def test_the_description_is_openapi_and_lists_every_address(services: Mapping[str, Running], name: str) -> None:
    running = services[name]
    document = (await running.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert listed == {(route.method, route.path) for route in running.routes}
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


@every_service
async def test_every_address_says_what_it_is_for_and_who_may_ask(services: Mapping[str, Running], name: str) -> None:
    document = (await services[name].client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert re.fullmatch(r"[A-Z].*", operation["summary"]), path
            assert re.search(r"(May ask: .|Anyone may ask)", operation["description"]), path


@every_service
async def test_the_page_of_the_description_asks_nobody_else(services: Mapping[str, Running], name: str) -> None:
    page = await services[name].client.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert re.search(r"https?://|<script|<link|<img|src=|@import", page.text) is None
    assert all(route.path in page.text for route in services[name].routes)


@every_service
async def test_every_problem_has_a_page_for_people_and_for_programs(
    services: Mapping[str, Running], name: str
) -> None:
    client = services[name].client
    listed = (await client.get("/problems")).json()
    own = {f"/problems/{name}/{reason}" for reason in services[name].service.problems}
    assert own <= {row["type"] for row in listed}
    for row in listed:
        assert (await client.get(row["type"])).json() == row
        page = await client.get(row["type"], headers={"accept": "text/html"})
        assert (page.status_code, row["title"] in unescape(page.text)) == (200, True)


@every_service
def test_a_service_without_settings_does_not_start_and_says_what_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in filter(re.compile("STAFFEL_").match, list(os.environ)):
        monkeypatch.delenv(variable)
    said = CliRunner().invoke(command_line, ["run", name, "--agency", "jobcenter", "--data", str(tmp_path)])
    fields = import_module(f"services.{name}.settings").Settings.model_fields
    needed = {f"STAFFEL_{field.upper()}" for field, info in fields.items() if info.is_required()}
    assert set(re.findall(r"STAFFEL_\w+", said.output)) == needed
    assert (said.exit_code, type(said.exception), "Traceback" in said.output) == (1, SystemExit, False)
    assert f"jobcenter.{name} does not start" in said.output
