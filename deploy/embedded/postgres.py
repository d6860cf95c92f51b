"""A real PostgreSQL on this machine: TCP on 127.0.0.1, passwords by SCRAM, one database and one role per service."""

import asyncio
import json
import os
import pwd
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.embedded.files import private_folder, write
from deploy.embedded.guard import Guard
from deploy.embedded.place import Place
from deploy.embedded.ports import HOST
from deploy.embedded.processes import ENVIRONMENT, Program, Server
from deploy.mistakes import MistakeError

SUPERUSER = "administrator"
READY_SECONDS_MAX = 60  # recovery after a crash included
STOP_SECONDS_MAX = 10
ASK_EVERY_SECONDS = 0.05
NAME_BYTES_MAX = 63  # PostgreSQL cuts longer names off without a word

SETTINGS = {
    "listen_addresses": f"'{HOST}'",
    "unix_socket_directories": "''",
    "shared_buffers": "'64MB'",
    "max_connections": "200",  # twenty services with pools of at most 4 + 4, and room for tests
    "wal_level": "replica",
    "max_wal_size": "'256MB'",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "'scram-sha-256'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_statement": "'none'",
    "log_parameter_max_length": "0",  # a statement's values may be about people
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "'terse'",  # leaves out DETAIL, which quotes rows
    "log_min_error_statement": "panic",
}

# What a role may keep waiting. The door's role must not be able to hold up a withdrawal: consent 1 s, the others 10 s.
LIMITS = {"statement_timeout": "5s", "lock_timeout": "1s", "idle_in_transaction_session_timeout": "10s"}
LIMITS_OF = {"consent": {"idle_in_transaction_session_timeout": "1s"}}


STOP = signal.SIGINT  # "fast": open transactions are rolled back
IMMEDIATE = signal.SIGQUIT  # everybody is cut off and nothing is written down; the next start recovers


class PostgresNotReadyError(MistakeError):
    """The server runs but did not accept a connection in time."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """What is known before a start. `folder` has passwords and log, `place` the data."""

    folder: Path
    place: Place
    port: int

    @property
    def log(self) -> Path:
        """The file into which the server writes."""
        return self.folder / "postgres.log"

    def dsn(self, principal: str) -> str:
        """How a service reaches its database; KeyError for a principal that has none."""
        return self._dsn(principal, principal)

    def administrator(self, database: str = "postgres") -> str:
        """How the superuser reaches a database: for creating and for tests, never for a service."""
        return self._dsn(SUPERUSER, database)

    def start(self, guard: Guard) -> Server:
        """Start the server; does not wait until it answers."""
        private_folder(self.folder)
        self._passwords([SUPERUSER])
        if not self.place.data.exists():
            self._initialise()
        self._configure()
        return Server(self._program(), guard)

    async def ready(self, server: Server) -> None:
        """Wait until a connection succeeds. Raises ServerDiedError, PostgresNotReadyError."""
        until = time.monotonic() + READY_SECONDS_MAX
        engine = _engine(self.administrator())
        while not await _accepts(engine):
            server.must_run()
            if time.monotonic() > until:
                raise PostgresNotReadyError(f"PostgreSQL did not answer within {READY_SECONDS_MAX} s; see {self.log}")
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def provide(self, agencies: Sequence[str], services: Sequence[str]) -> None:
        """Create missing databases and roles, set every role's limits; nobody enters another's database."""
        owners = {f"{agency}.{service}": service for agency in agencies for service in services}
        await provide(self.administrator(), owners, self._passwords([SUPERUSER, *owners]))

    def _dsn(self, user: str, database: str) -> str:
        password = json.loads(self._password_file().read_text())[user]
        return f"postgresql+asyncpg://{user}:{password}@{HOST}:{self.port}/{database}"

    def _password_file(self) -> Path:
        return self.folder / "passwords.json"

    def _passwords(self, users: Iterable[str]) -> dict[str, str]:
        """Every user's password; who has none gets one by chance, written down before anything is created with it."""
        file = self._password_file()
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        missing = [user for user in users if user not in known]
        if missing:
            known |= {user: secrets.token_urlsafe(24) for user in missing}
            write(file, json.dumps(known, indent=2))
        return known

    def _initialise(self) -> None:
        password = json.loads(self._password_file().read_text())[SUPERUSER]
        options = ("--auth-local=reject", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C")
        part = self.place.new_part()  # renamed when complete: half of one would look like a whole one
        argv = (str(self.place.programs / "initdb"), "-D", str(part), "-U", SUPERUSER, *options)
        with _readable_once(password, self.place.user) as source:
            done = subprocess.run(
                (*argv, "--pwfile=/dev/stdin"),
                stdin=source,
                capture_output=True,
                text=True,
                env=ENVIRONMENT,
                user=self.place.user,
                extra_groups=None if self.place.user is None else [],
                cwd="/",
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"PostgreSQL's data folder could not be prepared: {done.stdout}{done.stderr}")
        part.replace(self.place.data)

    def _configure(self) -> None:
        lines = [f"{key} = {value}\n" for key, value in {**SETTINGS, "port": str(self.port)}.items()]
        _overwrite(self.place.data / "postgresql.auto.conf", "".join(lines))

    def _program(self) -> Program:
        return Program(
            name="PostgreSQL",
            argv=(str(self.place.programs / "postgres"), "-D", str(self.place.data)),
            stop=STOP,
            log=self.log,
            output=self.log,
            user=self.place.user,
        )


def works_on(place: Place, argv: Sequence[str]) -> bool:
    """Whether these are the arguments of a server with its data in this place, or of the program that prepares it."""
    return Path(next(iter(argv), "")).parent == place.programs and argv[1:3] in (
        ["-D", str(place.data)],
        ["-D", str(place.part)],
    )


async def provide(administrator: str, owners: Mapping[str, str], passwords: Mapping[str, str]) -> None:
    """Create missing databases and roles, set every role's limits; nobody enters another's database.

    `owners`: name of a role and its database -> the service whose they are.
    """
    engine = _engine(administrator)
    async with engine.connect() as connection:
        for name in ("postgres", "template1"):
            await connection.exec_driver_sql(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
        roles = await _names(connection, "SELECT rolname FROM pg_roles")
        databases = await _names(connection, "SELECT datname FROM pg_database")
        for name, service in owners.items():
            for statement in _role(name, passwords[name], LIMITS | LIMITS_OF.get(service, {}), known=name in roles):
                await connection.exec_driver_sql(statement)
    missing = [name for name in owners if name not in databases]
    await asyncio.gather(*(_create_database(engine, name) for name in missing))


async def stop(server: Server) -> None:
    """Roll back what is open, write everything down, end.

    Where that takes too long it is killed. A child that was writing goes on for a while, by the folder's name: whoever
    puts another folder in its place must not do that before it has ended.
    """
    children = _children(server)
    server.tell_to_stop()
    await server.stopped(STOP_SECONDS_MAX)
    await asyncio.to_thread(psutil.wait_procs, children, STOP_SECONDS_MAX)


def crash(server: Server) -> None:
    """Kill it, and wait until its children have noticed: as long as one is there, no other server gets its memory."""
    children = _children(server)
    server.kill()
    psutil.wait_procs(children, STOP_SECONDS_MAX)


def _children(server: Server) -> list[psutil.Process]:
    try:
        return psutil.Process(server.pid).children()
    except psutil.NoSuchProcess:
        return []


@contextmanager
def _readable_once(secret: str, user: str | None) -> Iterator[IO[bytes]]:
    """A pipe that holds the secret: a file would lie around, an argument could be read by everybody."""
    end, start = os.pipe()
    with os.fdopen(end, "rb") as reader, os.fdopen(start, "wb") as writer:
        if user is not None:
            os.fchown(end, pwd.getpwnam(user).pw_uid, -1)
        writer.write(secret.encode())
        writer.close()
        yield reader


def _overwrite(file: Path, text: str) -> None:
    """Keeps the owner, who is not us when we are root."""
    file.write_text(text)


def _engine(dsn: str) -> AsyncEngine:
    return create_async_engine(dsn, isolation_level="AUTOCOMMIT", poolclass=NullPool)


async def _accepts(engine: AsyncEngine) -> bool:
    try:
        async with engine.connect():
            return True
    except (OSError, DBAPIError):  # nobody listens yet; or it says that it is starting
        return False


async def _names(connection: AsyncConnection, query: str) -> set[str]:
    return {str(name) for name in (await connection.exec_driver_sql(query)).scalars()}


def _role(name: str, password: str, limits: Mapping[str, str], *, known: bool) -> list[str]:
    if len(name.encode()) > NAME_BYTES_MAX:
        raise ValueError(f"{name} is longer than PostgreSQL's names may be")
    create = [] if known else [f"""CREATE ROLE "{name}" LOGIN PASSWORD '{password}'"""]
    return [*create, *(f"""ALTER ROLE "{name}" SET {key} = '{value}'""" for key, value in limits.items())]


async def _create_database(engine: AsyncEngine, name: str) -> None:
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f'CREATE DATABASE "{name}" OWNER "{name}"')
        await connection.exec_driver_sql(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
