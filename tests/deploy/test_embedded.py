"""Kafka and PostgreSQL from packages: who is let in, what stays after a stop and after a crash."""

import asyncio
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)
from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]  # ships no types
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.embedded import place, postgres
from deploy.embedded.admin import Acl, TopicSpec, connected
from deploy.embedded.cluster import Addresses, DataFolderInUseError, Embedded
from deploy.embedded.guard import Guard
from deploy.embedded.pki import Pki, Tls
from deploy.embedded.processes import Program, Server, ServerDiedError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With a name as people give them."""
    folder = tmp_path / "Daten für Übungen"
    yield folder
    Embedded(folder, [], []).erase()


@asynccontextmanager
async def producer(bootstrap: str, tls: Tls | None) -> AsyncIterator[AIOKafkaProducer]:
    context = tls and create_ssl_context(cafile=tls.ca, certfile=tls.certificate, keyfile=tls.key)
    protocol = "PLAINTEXT" if tls is None else "SSL"
    it = AIOKafkaProducer(bootstrap_servers=bootstrap, security_protocol=protocol, ssl_context=context, acks="all")
    try:
        await it.start()
        yield it
    finally:
        await it.stop()


@asynccontextmanager
async def database(dsn: str) -> AsyncIterator[AsyncConnection]:
    async with create_async_engine(dsn, poolclass=NullPool).begin() as connection:
        yield connection


async def told(addresses: Addresses, topic: str) -> list[bytes]:
    """Everything on a topic of one partition, read by the administrator."""
    tls = addresses.admin
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=addresses.bootstrap,
        security_protocol="SSL",
        ssl_context=create_ssl_context(cafile=tls.ca, certfile=tls.certificate, keyfile=tls.key),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        batches = await consumer.getmany(timeout_ms=5_000)
    finally:
        await consumer.stop()
    return [record.value for records in batches.values() for record in records]


@pytest.fixture
def topic(embedded: Addresses) -> Iterator[str]:
    """A topic that nobody may use yet; the instance is shared with all tests of this run."""
    with connected(embedded.bootstrap, embedded.admin) as kafka:
        kafka.create_topics([TopicSpec("of.this.test", partitions=1, replication=1)])
        allowed = kafka.acls()
        yield "of.this.test"
        kafka.delete_acls(kafka.acls() - allowed)
        kafka.delete_topics(["of.this.test"])


async def test_a_service_may_not_write_before_the_access_list_says_so_and_may_afterwards(
    embedded: Addresses, topic: str
) -> None:
    async with producer(embedded.bootstrap, embedded.tls("jobcenter.intake")) as it:
        with pytest.raises(TopicAuthorizationFailedError):
            await it.send_and_wait(topic, b"refused")
        with connected(embedded.bootstrap, embedded.admin) as kafka:
            kafka.create_acls([Acl("jobcenter.intake", "WRITE", "TOPIC", topic)])
        await it.send_and_wait(topic, b"allowed")
    assert await told(embedded, topic) == [b"allowed"]


async def test_a_refusal_is_in_the_broker_s_log_with_the_name_of_the_service(embedded: Addresses, topic: str) -> None:
    async with producer(embedded.bootstrap, embedded.tls("jobcenter.consent")) as it:
        with pytest.raises(TopicAuthorizationFailedError):
            await it.send_and_wait(topic, b"refused")
    lines = embedded.kafka.log().read_text().splitlines()
    assert any("Principal = User:jobcenter.consent is Denied" in line for line in lines)


async def test_who_shows_no_certificate_is_not_let_in(embedded: Addresses) -> None:
    with pytest.raises(KafkaConnectionError):
        async with producer(embedded.bootstrap, None):
            pass


async def test_a_certificate_of_a_foreign_authority_is_not_let_in(embedded: Addresses, tmp_path: Path) -> None:
    foreign = Pki(tmp_path, embedded.kafka.pki.cluster)
    foreign.provide(["jobcenter.intake"], datetime.now(UTC))
    tls = replace(foreign.tls("jobcenter.intake"), ca=embedded.admin.ca)
    with pytest.raises(KafkaConnectionError):
        async with producer(embedded.bootstrap, tls):
            pass


async def test_the_controller_s_port_wants_a_certificate_too(embedded: Addresses) -> None:
    trusting = ssl.create_default_context(cafile=str(embedded.admin.ca))
    reader, writer = await asyncio.open_connection("127.0.0.1", embedded.kafka.ports["controller-1"], ssl=trusting)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await reader.read(1)  # TLS 1.3: the refusal comes with the first answer
    writer.close()


async def test_the_administrator_sees_how_many_brokers_there_are(embedded: Addresses) -> None:
    with connected(embedded.bootstrap, embedded.admin) as kafka:
        assert kafka.brokers() == 1


async def test_what_is_taken_from_the_access_list_is_gone(embedded: Addresses) -> None:
    acl = Acl("jugendamt.intake", "READ", "GROUP", "taken.away.", "PREFIXED")
    with connected(embedded.bootstrap, embedded.admin) as kafka:
        kafka.create_acls([acl])
        before = kafka.acls()
        kafka.delete_acls([acl])
        after = kafka.acls()
    assert before - after == {acl}


async def test_a_topic_is_described_as_it_was_specified_and_changed(embedded: Addresses) -> None:
    spec = TopicSpec("described", partitions=3, replication=1, configs={"retention.ms": "86400000"})
    with connected(embedded.bootstrap, embedded.admin) as kafka:
        kafka.create_topics([spec])
        assert kafka.topics()[spec.name] == spec
        kafka.alter_configs(spec.name, {"segment.ms": "3600000"})
        assert kafka.configs([spec.name]) == {spec.name: {"retention.ms": "86400000", "segment.ms": "3600000"}}
        kafka.delete_topics([spec.name])


async def test_a_service_reaches_its_own_database(embedded: Addresses) -> None:
    async with database(embedded.dsn("jobcenter", "intake")) as connection:
        assert (await connection.exec_driver_sql("SELECT current_user")).scalar() == "jobcenter.intake"


@pytest.mark.parametrize("name", ["jugendamt.intake", "jobcenter.consent", "postgres", "template1"])
async def test_a_service_reaches_no_other_database(embedded: Addresses, name: str) -> None:
    own = embedded.dsn("jobcenter", "intake")
    with pytest.raises(DBAPIError, match="permission denied for database"):
        async with database(f"{own.rpartition('/')[0]}/{name}"):
            pass


async def test_a_wrong_password_is_refused(embedded: Addresses) -> None:
    own = embedded.dsn("jobcenter", "intake")
    with pytest.raises(DBAPIError, match="password authentication failed"):
        async with database(own.replace("@", "wrong@")):
            pass


@pytest.mark.parametrize(("service", "idle"), [("intake", "10s"), ("consent", "1s")])
async def test_no_role_can_keep_others_waiting_for_long(embedded: Addresses, service: str, idle: str) -> None:
    async with database(embedded.dsn("jobcenter", service)) as connection:
        for setting, value in {
            "statement_timeout": "5s",
            "lock_timeout": "1s",
            "idle_in_transaction_session_timeout": idle,
        }.items():
            assert (await connection.exec_driver_sql(f"SHOW {setting}")).scalar() == value


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("password_encryption", "scram-sha-256"),
        ("max_connections", "200"),
    ],
)
async def test_the_database_runs_as_in_production(embedded: Addresses, setting: str, value: str) -> None:
    async with database(embedded.postgres.administrator()) as connection:
        assert (await connection.exec_driver_sql(f"SHOW {setting}")).scalar() == value


async def test_keys_and_passwords_are_readable_by_their_owner_alone(embedded: Addresses) -> None:
    data = embedded.keys_folder.parent
    secret = [*data.rglob("*.key"), embedded.kafka.pki.broker, data / "postgres" / "passwords.json"]
    secret += [file for file in embedded.keys_folder.rglob("*.json") if file.name != "public.json"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in secret} == {0o600}
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


async def test_a_data_folder_is_used_by_one_at_a_time(embedded: Addresses) -> None:
    with pytest.raises(DataFolderInUseError):
        await Embedded(embedded.keys_folder.parent, [], []).start()


async def write_something(addresses: Addresses) -> None:
    with connected(addresses.bootstrap, addresses.admin) as kafka:
        kafka.create_topics([TopicSpec("kept", partitions=1, replication=1)])
    async with producer(addresses.bootstrap, addresses.admin) as it:
        await it.send_and_wait("kept", b"before the crash")
    async with database(addresses.dsn("jugendamt", "intake")) as connection:
        await connection.exec_driver_sql("CREATE TABLE kept (word text)")
        await connection.exec_driver_sql("INSERT INTO kept VALUES ('before the crash')")


async def expect_it_there(addresses: Addresses) -> None:
    assert await told(addresses, "kept") == [b"before the crash"]
    async with database(addresses.dsn("jugendamt", "intake")) as connection:
        assert (await connection.exec_driver_sql("SELECT word FROM kept")).scalars().all() == ["before the crash"]


async def test_beside_another_one_it_survives_a_stop_and_the_death_of_its_starter(
    embedded: Addresses, folder: Path
) -> None:
    """One long test instead of three: each start takes seconds."""
    async with Embedded(folder, ["jugendamt"], ["intake"]) as addresses:
        assert addresses.bootstrap != embedded.bootstrap
        await write_something(addresses)

    script = Path(__file__).with_name("keeps_running.py")
    starter = await asyncio.create_subprocess_exec(sys.executable, script, folder, cwd="/", stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert await starter.stdout.readline() == b"ready\n"
    starter.kill()
    await starter.wait()

    async with Embedded(folder, ["jugendamt"], ["intake"]) as again:
        assert again == addresses
        await expect_it_there(again)


def left_behind(folder: Path) -> list[str]:
    """Programs that still work on this folder or on the place that belongs to it."""
    paths = (str(folder), str(place.choose(folder).data))
    running = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [command for command in running if any(path in command for path in paths)]


async def test_when_one_cannot_start_the_other_does_not_stay_behind(folder: Path) -> None:
    place.choose(folder).data.mkdir(parents=True)  # looks prepared, and has nothing in it
    with pytest.raises(ServerDiedError):
        await Embedded(folder, ["jugendamt"], ["intake"]).start()
    assert left_behind(folder) == []


@pytest.mark.parametrize("seconds", [0.2, 1.2], ids=["while-preparing", "while-starting"])
async def test_a_start_that_is_given_up_leaves_nothing_behind(folder: Path, seconds: float) -> None:
    given_up = Embedded(folder, ["jugendamt"], ["intake"])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(given_up.start(), seconds)
    assert left_behind(folder) == []
    given_up.erase()  # refuses while anybody holds the folder


async def test_a_server_that_is_killed_for_stopping_too_long_has_no_child_left_when_its_stop_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child writes by the folder's name: into whatever is put in its place meanwhile."""
    monkeypatch.setattr(postgres, "STOP_SECONDS_MAX", 2)
    log, guard = tmp_path / "log", Guard()
    stubborn = ["/bin/sh", "-c", "trap '' INT; sleep 3 & wait; wait"]
    try:
        server = Server(Program("stubborn", stubborn, signal.SIGINT, log, log), guard)
        async with asyncio.timeout(2):
            while not (children := psutil.Process(server.pid).children()):  # noqa: ASYNC110  # nobody tells us
                await asyncio.sleep(0.01)
        await postgres.stop(server)
    finally:
        guard.close()
    assert not server.runs
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
