"""The command line `staffel`."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import httpx
import typer
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from chassis.database import DATABASE_ERRORS
from contracts.alliance import Alliance
from contracts.calendar import day_of
from deploy.installation import SERVICES, Installation, read_alliance
from deploy.matrix import End
from deploy.mistakes import MistakeError

if TYPE_CHECKING:  # a service starts without what asks services
    from deploy.operating import Operator

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Staffel: carries a case from one public agency to the next.",
)
topics_app = typer.Typer(no_args_is_help=True, help="Topics, as the alliance files say.")
acls_app = typer.Typer(no_args_is_help=True, help="Access lists of the cluster, as the alliance files say.")
parked_app = typer.Typer(no_args_is_help=True, help="Events that wait for a human.")
app.add_typer(topics_app, name="topics")
app.add_typer(acls_app, name="acls")
brake_app = typer.Typer(no_args_is_help=True, help="Consumers that were stopped by too much trouble.")
matrix_app = typer.Typer(no_args_is_help=True, help="What may go without consent, as an alliance file says.")
app.add_typer(parked_app, name="parked")
app.add_typer(brake_app, name="brake")
app.add_typer(matrix_app, name="matrix")

WIDTH = None if sys.stdout.isatty() else 160  # a log has room; a terminal says itself how much
console = Console(highlight=False, width=WIDTH)
errors = Console(stderr=True, highlight=False)

DataOption = Annotated[Path, typer.Option("--data", envvar="STAFFEL_DATA", help="Folder of the installation.")]
AgencyOption = Annotated[str, typer.Option("--agency", help="Id of the agency in the alliance file.")]
DATA = Path(".staffel")
REPLICAS = 3  # of each topic, where the cluster has so many brokers


@app.command()
def up(
    data: DataOption = DATA,
    alliance: Annotated[
        list[Path] | None, typer.Option("--alliance", help="Alliance file; may be given several times.")
    ] = None,
    agency: Annotated[list[str] | None, typer.Option("--agency", help="Run only these agencies' services.")] = None,
) -> None:
    """Run Kafka, PostgreSQL and the services of the agencies until Ctrl-C."""
    from deploy.system import ALLIANCES, System

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        files = tuple(alliance) if alliance else (ALLIANCES / "musterland.yaml",)
        system = System(data, alliances=files, agencies=agency or (), say=console.print)
        async with system as installation:
            for one in installation.agencies:
                for name in SERVICES:
                    console.print(f"  {one}.{name:<9} {installation.url(one, name)}/docs")
            while not stop.is_set():
                system.mend()
                await _either(stop, 1.0)

    asyncio.run(main())


async def _either(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


@app.command()
def run(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")],
    agency: AgencyOption,
    data: DataOption = DATA,
    migrate: Annotated[bool, typer.Option(help="Bring the database's tables up to date first.")] = True,
) -> None:
    """Run one service of one agency. Settings come from the environment (STAFFEL_…), else from the installation."""
    from chassis import crashpoints
    from chassis.service import run as run_service

    if service not in SERVICES:
        _fail(f"{service} is no service; there are {', '.join(SERVICES)}")
    _settings_of_the_installation(data, agency, service)
    settings = _settings(agency, service)
    if migrate:
        from deploy.migrations import migrate as migrate_database

        crashpoints.arm(os.environ)
        asyncio.run(migrate_database(settings.database, service))
    run_service(importlib.import_module(f"services.{service}.app").service(settings))


def _settings_of_the_installation(data: Path, agency: str, service: str) -> None:
    """What the environment does not say is read from the installation's file, if there is one."""
    file = data / "nodes" / agency / f"{service}.env"
    if file.exists():
        for line in file.read_text().splitlines():
            key, _, value = line.partition("=")
            os.environ.setdefault(key, value)


EACH_ITS_OWN = (
    "STAFFEL_DATABASE",
    "STAFFEL_PORT",
    "STAFFEL_KAFKA_CERTIFICATE",
    "STAFFEL_KAFKA_KEY",
    "STAFFEL_SERVICE_KEY",
)


@app.command()
def node(
    agency: AgencyOption,
    data: DataOption = DATA,
    settings: Annotated[
        Path | None, typer.Option(help="Folder with one file of settings per service, <service>.env.")
    ] = None,
    migrate: Annotated[bool, typer.Option(help="Bring the databases' tables up to date first.")] = True,
) -> None:
    """Run the four services of one agency in one process. Still each has its port, database and certificate.

    Settings come from <service>.env in the folder, by default the installation's; what the environment says (STAFFEL_…)
    holds for all four.
    """
    from chassis.service import run as run_services

    if said := [name for name in EACH_ITS_OWN if name in os.environ]:
        _fail(f"{', '.join(said)}: every service has its own; say it in the files of the folder")
    folder = settings or data / "nodes" / agency
    if missing := [name for name in SERVICES if not (folder / f"{name}.env").is_file()]:
        _fail(f"{folder}: has no {', '.join(f'{name}.env' for name in missing)}")
    read = {name: _settings(agency, name, folder / f"{name}.env") for name in SERVICES}
    if migrate:
        from deploy.migrations import migrate as migrate_database

        for name in SERVICES:
            asyncio.run(migrate_database(read[name].database, name))
    run_services(*(importlib.import_module(f"services.{name}.app").service(read[name]) for name in SERVICES))


def _settings(agency: str, service: str, file: Path | None = None) -> Any:
    """What the environment says, and where it says nothing the file."""
    settings_class = importlib.import_module(f"services.{service}.settings").Settings
    try:
        settings = settings_class(_env_file=file, _env_file_encoding="utf-8")
    except SettingsError as error:
        _fail(f"{error}: lists are written as JSON")
    except ValidationError as error:
        for line in error.errors(include_input=False, include_url=False):
            errors.print(f"STAFFEL_{'_'.join(map(str, line['loc'])).upper()}: {line['msg']}")
        _fail(f"{agency}.{service} does not start: settings are missing or wrong")
    if settings.agency != agency:
        _fail("STAFFEL_AGENCY: is another agency than --agency")
    return settings


@app.command()
def migrate(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")],
    database: Annotated[str, typer.Option(envvar="STAFFEL_DATABASE", help="DSN, postgresql+asyncpg://…")],
) -> None:
    """Bring a service's database to the tables its code expects."""
    from chassis import crashpoints
    from deploy.migrations import migrate as migrate_database

    crashpoints.arm(os.environ)
    asyncio.run(migrate_database(database, service))


@app.command()
def recover(
    agency: AgencyOption,
    service: Annotated[str, typer.Option("--service", help=f"One of {', '.join(SERVICES)}.")],
    by: Annotated[str, typer.Option(help="Who does it: an id of the agency's own user, kept with the report.")],
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this only say what would be done.")] = False,
    data: DataOption = DATA,
) -> None:
    """Make known again what a service has said and its restored database does not know; a dry run without --apply."""
    from deploy.recovering import recover_service

    if service not in SERVICES:
        _fail(f"{service} is no service; there are {', '.join(SERVICES)}")
    _settings_of_the_installation(data, agency, service)
    settings = _settings(agency, service)
    built = importlib.import_module(f"services.{service}.app").service(settings)
    if not asyncio.run(recover_service(built, console, by=by, apply=apply)):
        raise typer.Exit(1)


@app.command()
def token(
    agency: AgencyOption,
    service: Annotated[str, typer.Option(help="The service it is for (its audience).")],
    role: Annotated[list[str], typer.Option(help="Role of the caller; may be given several times.")],
    subject: Annotated[str, typer.Option(help="Who asks: an id of the agency's own user.")] = "operator",
    data: DataOption = DATA,
) -> None:
    """Issue an access token (RFC 9068) with the local issuer's key; the answer is the token alone."""
    from deploy.tokens import access_token

    sys.stdout.write(access_token(_installation(data), agency, service, role, subject) + "\n")


KafkaOption = Annotated[str | None, typer.Option("--kafka", help="Bootstrap servers of another cluster.")]
CaOption = Annotated[Path | None, typer.Option("--ca", help="PEM file of the authority of that cluster.")]
CertificateOption = Annotated[Path | None, typer.Option("--certificate", help="PEM file of its administrator.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="PEM file of the administrator's private key.")]
AllianceOption = Annotated[list[Path] | None, typer.Option("--alliance", help="Alliance file; several are allowed.")]


def _plan_and_apply(what: str, of: typer.Typer) -> None:
    """The two verbs that topics and access lists have in common."""
    where = "in this installation's cluster, or in another one (--kafka and what goes with it)"

    def verb(name: str, sentence: str, *, apply: bool) -> None:
        @of.command(name, help=f"{sentence}, {where}.")
        def run(
            data: DataOption = DATA,
            alliance: AllianceOption = None,
            kafka: KafkaOption = None,
            ca: CaOption = None,
            certificate: CertificateOption = None,
            key: KeyOption = None,
        ) -> None:
            _provide(what, _cluster(data, alliance, kafka, (ca, certificate, key)), apply=apply)

    verb("plan", "Show what apply would change", apply=False)
    verb("apply", "Make it as the alliance files say", apply=True)


Cluster = tuple[str, tuple[Path, Path, Path], tuple[Path, ...]]
"""Bootstrap servers, PEM files (authority, administrator's certificate and key), alliance files."""


def _cluster(
    data: Path, alliances: list[Path] | None, kafka: str | None, pem: tuple[Path | None, Path | None, Path | None]
) -> Cluster:
    if kafka is None:
        installation = _installation(data)
        return installation.bootstrap, installation.tls("admin"), tuple(alliances or installation.alliances)
    ca, certificate, key = pem
    if ca is None or certificate is None or key is None or not alliances:
        _fail("--kafka needs --ca, --certificate, --key and at least one --alliance")
    return kafka, (ca, certificate, key), tuple(alliances)


def _provide(what: str, cluster: Cluster, *, apply: bool) -> None:
    from deploy import acls, topics
    from deploy.embedded import admin
    from deploy.embedded.pki import Tls

    bootstrap, pem, files = cluster
    alliances = [read_alliance(file) for file in files]
    with admin.connected(bootstrap, Tls(*pem)) as kafka:
        if what == "topics":
            topic_plan = topics.plan(kafka, alliances, replication=min(REPLICAS, kafka.brokers()))
            lines = list(topic_plan.lines())
            if apply:
                topics.apply(kafka, topic_plan)
        else:
            acl_plan = acls.plan(kafka, alliances)
            lines = list(acl_plan.lines())
            if apply:
                acls.apply(kafka, acl_plan)
    console.print("\n".join(lines) or "nothing to change", soft_wrap=True)


_plan_and_apply("topics", topics_app)
_plan_and_apply("acls", acls_app)


@topics_app.command("read")
def topics_read(
    principal: Annotated[str, typer.Option("--as", help="Whose certificate to read with, <agency>.<service>.")],
    topic: Annotated[
        list[str] | None, typer.Argument(help="Names of topics; without one all that this principal may see.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = False,
    data: DataOption = DATA,
) -> None:
    """Read topics from the beginning: one line per event with its attributes and its body."""
    from deploy.reading import read_topics

    seen = asyncio.run(read_topics(_installation(data), principal, topic or (), follow=follow, say=console.out))
    if seen == 0:
        errors.print(f"{principal} sees nothing")


@app.command()
def timeline(ref: Annotated[str, typer.Argument(help="Handover reference.")], data: DataOption = DATA) -> None:
    """What was told and heard about a handover, over all agencies of this installation, with trace ids."""
    from deploy.reading import print_timelines

    asyncio.run(print_timelines(_installation(data), ref, console))


FileOption = Annotated[Path, typer.Option("--alliance", help="Alliance file.")]
DayOption = Annotated[datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Day; today without it.")]


@matrix_app.command("show")
def matrix_show(alliance: FileOption, on: DayOption = None) -> None:
    """Every row: what may go, for which task, who has approved it, and between whom it counts that day."""
    from deploy import matrix

    for line in matrix.lines(read_alliance(alliance), _day(on)):
        console.print(line, soft_wrap=True, markup=False)


@matrix_app.command("approve")
def matrix_approve(
    alliance: FileOption,
    row: Annotated[int, typer.Option(help="Number of the row, as `matrix show` counts them.")],
    side: Annotated[End, typer.Option(help="Of the row: whose officer signs.")],
    officer: Annotated[
        str | None, typer.Option(help="Who has approved it; without this only what is to be signed is shown.")
    ] = None,
    agency: Annotated[str | None, typer.Option(help="Which agency, where several are on that side.")] = None,
    digest: Annotated[
        str | None,
        typer.Option(help="With --officer: the digest on what was signed, 12 letters or more; another is refused."),
    ] = None,
    on: DayOption = None,
) -> None:
    """Write down that an agency's data-protection officer has approved a row as it stands; it raises the version."""
    from deploy import matrix

    found = read_alliance(alliance)
    wanted = matrix.row_of(found, row)
    signer = matrix.signer(found, wanted, side, agency)
    if officer is None:
        for line in matrix.row_lines(found, row, wanted):
            console.print(line, soft_wrap=True, markup=False)
        console.print(f"for {signer}: nothing is written without --officer")
        return
    if digest is None:
        raise MistakeError("say with --digest which wording was signed: it stands on what the officer has seen")
    _say_version(matrix.approve(alliance, row, (signer, officer, _day(on)), digest))


@matrix_app.command("export")
def matrix_export(
    alliance: FileOption, csv: Annotated[Path, typer.Option("--csv", help="File to write.")]
) -> None:
    """Write the rows as CSV, for a spreadsheet; `matrix import` reads it back without loss."""
    from deploy.embedded.files import PUBLIC, write
    from deploy.matrix_csv import export_rows

    write(csv, export_rows(read_alliance(alliance)), PUBLIC)


@matrix_app.command("import")
def matrix_import(
    alliance: FileOption, csv: Annotated[Path, typer.Option("--csv", help="File to read.")]
) -> None:
    """Put the rows of a CSV file in the place of the alliance file's; it raises the version.

    An approval counts for the wording it was given for: a row that was changed needs both sides again.
    """
    from deploy.matrix_csv import import_rows

    _say_version(import_rows(alliance, csv))


@matrix_app.command("page")
def matrix_page(
    alliance: FileOption, out: Annotated[Path | None, typer.Option(help="File to write; else it is printed.")] = None
) -> None:
    """Write a page in German for lawyers: who may tell whom what, on which norm, approved by whom until when."""
    from deploy.embedded.files import PUBLIC, write
    from deploy.matrix_page import page

    text = page(read_alliance(alliance))
    if out is None:
        sys.stdout.write(text)
    else:
        write(out, text, PUBLIC)


def _day(on: datetime | None) -> date:
    return day_of(datetime.now(UTC)) if on is None else on.date()


def _say_version(alliance: Alliance | None) -> None:
    console.print("nothing to change" if alliance is None else f"{alliance.id} has version {alliance.version} now")


@parked_app.command("list")
def parked_list(data: DataOption = DATA, agency: Annotated[str | None, typer.Option()] = None) -> None:
    """The held lanes of every service."""
    _ask_all(data, lambda operator: operator.list(agency))


@app.command()
def waiting(data: DataOption = DATA, agency: Annotated[str | None, typer.Option()] = None) -> None:
    """What waits in every service beside held lanes: unsent facts, unreadable records, errands, overdue deadlines."""
    _ask_all(data, lambda operator: operator.waiting(agency))


@app.command()
def status(
    data: DataOption = DATA,
    agency: Annotated[str | None, typer.Option()] = None,
    watch: Annotated[bool, typer.Option(help="Look again every two seconds until Ctrl-C.")] = False,
) -> None:
    """One screen for the night: how every service stands, and what needs a human; exit code 1 if something does."""
    from deploy.status import show

    if not asyncio.run(show(_installation(data), console, agency, watch=watch)):
        raise typer.Exit(1)


@parked_app.command("show")
def parked_show(
    agency: AgencyOption,
    service: Annotated[str, typer.Option()],
    topic: Annotated[str, typer.Argument()],
    key: Annotated[str, typer.Argument()],
    data: DataOption = DATA,
) -> None:
    """Every event that waits in one lane, in order."""
    from deploy.operating import Operator

    asyncio.run(Operator(_installation(data), console).show(agency, service, topic, key))


@parked_app.command("retry")
def parked_retry(
    topic: Annotated[str | None, typer.Argument(help="The lane's topic; with it belong key, agency, service.")] = None,
    key: Annotated[str | None, typer.Argument()] = None,
    error_class: Annotated[str | None, typer.Option("--class", help="Instead: all lanes held by this class.")] = None,
    agency: Annotated[str | None, typer.Option()] = None,
    service: Annotated[str | None, typer.Option()] = None,
    data: DataOption = DATA,
) -> None:
    """Try a held lane again, or all lanes of a class (of a service, an agency, or everywhere): each in order."""
    from deploy.operating import Operator

    operator = Operator(_installation(data), console)
    if error_class is not None and topic is None:
        free = asyncio.run(operator.retry_class(error_class, agency, service))
    elif error_class is None and topic is not None and key is not None and agency is not None and service is not None:
        free = asyncio.run(operator.retry(agency, service, topic, key))
    else:
        _fail("either --class, or --agency, --service, topic and key of one lane")
    _end(operator, well=free)


@parked_app.command("skip")
def parked_skip(
    agency: AgencyOption,
    service: Annotated[str, typer.Option()],
    topic: Annotated[str, typer.Argument()],
    key: Annotated[str, typer.Argument()],
    event: Annotated[str, typer.Argument(help="Id of the first event that waits in the lane.")],
    reason: Annotated[str, typer.Option(help="Why; kept for good, and shown by `parked skips`.")],
    by: Annotated[str, typer.Option("--as", help="Who says so: an id of the agency's own user.")],
    data: DataOption = DATA,
) -> None:
    """Let go of the first event of a lane, for good: a fact of the own agency only, consent's by two people."""
    from deploy.operating import Operator

    operator = Operator(_installation(data), console, by)
    if not asyncio.run(operator.skip(agency, service, (topic, key), event, reason)):
        raise typer.Exit(1)


@parked_app.command("skips")
def parked_skips(data: DataOption = DATA, agency: Annotated[str | None, typer.Option()] = None) -> None:
    """Who let go of which events, when and why."""
    _ask_all(data, lambda operator: operator.skips(agency))


@brake_app.command("list")
def brake_list(data: DataOption = DATA, agency: Annotated[str | None, typer.Option()] = None) -> None:
    """The services whose consumer is stopped, and by what; exit code 1 if there is one, 2 if one did not answer."""
    _ask_all(data, lambda operator: operator.brakes(agency))


@brake_app.command("release")
def brake_release(
    agency: AgencyOption,
    service: Annotated[str, typer.Option()],
    by: Annotated[str, typer.Option("--as", help="Who says so: an id of the agency's own user.")],
    data: DataOption = DATA,
) -> None:
    """Let the consumer of a service go on, after what had stopped it has been mended."""
    from deploy.operating import Operator

    asyncio.run(Operator(_installation(data), console, by).release(agency, service))


@app.command()
def rebuild(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")],
    model: Annotated[str, typer.Argument(help="The read model: known_case of handover, offer of offers.")],
    agency: AgencyOption,
    swap: Annotated[bool, typer.Option("--swap", help="Put right what differs; without it nothing changes.")] = False,
    data: DataOption = DATA,
) -> None:
    """Make a read model anew from the feeds while the service runs, and compare it with the live one."""
    from chassis import service as running
    from chassis.feed import NotComparable, NotHad

    if service not in SERVICES:
        _fail(f"{service} is no service; there are {', '.join(SERVICES)}")
    _settings_of_the_installation(data, agency, service)
    built = importlib.import_module(f"services.{service}.app").service(_settings(agency, service))
    if model not in {known.table for known in built.read_models}:
        _fail(f"{service} has no read model {model}")
    try:
        found = asyncio.run(running.rebuild(built, model, swap=swap))
    except NotHad as error:
        _fail(f"a feed is not to be had: {error}")
    except NotComparable:
        _fail(f"{model}: the service has heard what no feed has (yet); try again when less is on its way")
    console.print(f"live     {found.live_rows} rows, {found.live_hash}")
    console.print(f"rebuilt  {found.rows} rows, {found.hash}")
    for subject in found.differing:
        console.print(f"differs  {subject}")
    console.print("equal" if found.equal else "put right" if found.swapped else "different: --swap puts it right")
    if not found.equal and not found.swapped:
        raise typer.Exit(1)


@app.command()
def demo(
    data: DataOption = DATA,
    once: Annotated[bool, typer.Option("--once", help="End when the stories are told, even on a terminal.")] = False,
) -> None:
    """Two real handovers on real Kafka and PostgreSQL; stays up on a terminal until Ctrl-C."""
    from deploy.demo import tell

    raise typer.Exit(asyncio.run(tell(data.absolute(), stay=sys.stdout.isatty() and not once, console=console)))


def _ask_all(data: Path, question: Callable[[Operator], Coroutine[Any, Any, bool | None]]) -> None:
    """Put one question to every service; `False` says that something needs a human."""
    from deploy.operating import Operator

    operator = Operator(_installation(data), console)
    _end(operator, well=asyncio.run(question(operator)) is not False)


def _end(operator: Operator, *, well: bool = True) -> None:
    """Exit code 2 where a service did not answer: what it holds nobody has said. 1: something needs a human."""
    if operator.unasked:
        raise typer.Exit(2)
    if not well:
        raise typer.Exit(1)


def _installation(data: Path) -> Installation:
    return Installation.load(data)


def _fail(reason: str) -> NoReturn:
    errors.print(reason)
    raise typer.Exit(1)


# What goes wrong at an operator's desk is said in one line; everything else is a bug and may show its stack.
MISTAKES = (
    MistakeError, ValidationError, OSError, httpx.TransportError, KafkaError, SQLAlchemyError, *DATABASE_ERRORS
)  # fmt: skip


def main() -> None:
    """The program `staffel`: an operator's mistake is one line and exit code 1, or 2 where nobody could be asked."""
    try:
        app()
    except MISTAKES as error:
        said = error.args[0] if isinstance(error, DATABASE_ERRORS) else error  # not the row that it was about
        errors.print(f"{type(error).__name__.removesuffix('Error')}: {said}", soft_wrap=True, markup=False)
        sys.exit(error.exit_code if isinstance(error, MistakeError) else 1)


if __name__ == "__main__":
    main()
