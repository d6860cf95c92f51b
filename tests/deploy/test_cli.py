"""The command line: what it says of itself, whom it refuses, and that plans carried out leave nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from chassis.auth import Caller, Gate, NotProved, read_keys
from contracts.alliance import Alliance
from contracts.codes import Service
from contracts.topics import own
from deploy import acls, topics
from deploy.cli import app, main
from deploy.embedded import admin
from deploy.embedded.admin import Acl, Admin, TopicSpec
from deploy.embedded.cluster import Addresses
from deploy.embedded.keys import AgencyKeys
from deploy.installation import SERVICES, Installation, install, read_alliance
from deploy.system import ALLIANCES
from tests.conftest import AGENCIES

MUSTERLAND = ALLIANCES / "musterland.yaml"


def verbs() -> list[tuple[str, ...]]:
    """Every verb there is, with the group it belongs to."""
    found: list[tuple[str, ...]] = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # the command line is a group
        inner = getattr(command, "commands", None)
        found += [(name,)] if inner is None else [(name, each) for each in inner]
    return found


@pytest.fixture(scope="module")
def installation(embedded: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    data = tmp_path_factory.mktemp("installed")
    for agency in AGENCIES:
        AgencyKeys(data / "keys", agency).provide(SERVICES, datetime.now(UTC))
    return install(data, embedded, (MUSTERLAND,), AGENCIES)


@pytest.fixture
def kafka(embedded: Addresses) -> Iterator[Admin]:
    with admin.connected(embedded.bootstrap, embedded.admin) as connected:
        yield connected


@pytest.fixture(scope="module")
def alliance() -> Alliance:
    """Musterland, but with agencies that no other test knows."""
    said = read_alliance(MUSTERLAND).model_dump(mode="json", by_alias=True)
    small = {agency["id"]: f"cli-{agency['id']}" for agency in said["agencies"]}
    said["id"] = "cli-musterland"
    for agency in said["agencies"]:
        agency["id"] = small[agency["id"]]
    for agreement in said["agreements"]:
        agreement |= {"from": small[agreement["from"]], "to": small[agreement["to"]]}
    return Alliance.model_validate(said)


def ours(names: tuple[str, ...] | list[str]) -> list[str]:
    """Names that belong to these tests."""
    return [name for name in names if "cli-" in name]


# --- what it says -----------------------------------------------------------------------------------------------------


def test_the_verbs_are_those_that_are_promised() -> None:
    promised = {
        ("demo",), ("up",), ("run",), ("node",), ("token",), ("timeline",), ("topics", "plan"), ("topics", "apply"),
        ("topics", "read"), ("acls", "plan"), ("acls", "apply"), ("parked", "list"), ("parked", "show"),
        ("parked", "retry"), ("parked", "skip"), ("parked", "skips"), ("brake", "list"), ("brake", "release"),
        ("status",),
    }  # fmt: skip
    assert promised <= set(verbs())


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_says_in_a_sentence_what_it_does(verb: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*verb, "--help"])
    assert (said.exit_code, "Usage:" in said.output) == (0, True)
    group = get_command(app)
    for name in verb:
        group = group.commands[name]  # type: ignore[attr-defined]  # groups on the way, a command at the end
    sentence = (group.help or "").strip()
    assert sentence[:1].isupper()
    assert sentence.endswith(".")


def test_without_a_verb_it_lists_them() -> None:
    said = CliRunner().invoke(app, [])
    assert all(verb[0] in said.output for verb in verbs())


# --- whom it refuses --------------------------------------------------------------------------------------------------


def test_a_service_that_does_not_exist_is_not_run() -> None:
    said = CliRunner().invoke(app, ["run", "intakes", "--agency", "jobcenter"])
    assert (said.exit_code, "Traceback" in said.output) == (1, False)
    assert "intakes is no service; there are intake, consent, handover, offers" in " ".join(said.output.split())


def test_a_node_needs_a_file_of_settings_for_each_service(tmp_path: Path) -> None:
    (tmp_path / "intake.env").touch()
    said = CliRunner().invoke(app, ["node", "--agency", "jobcenter", "--settings", str(tmp_path)])
    assert said.exit_code == 1
    assert "has no consent.env, handover.env, offers.env" in " ".join(said.output.split())


def test_a_node_is_not_run_where_the_environment_gives_four_services_one_port(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAFFEL_PORT", "1")
    said = CliRunner().invoke(app, ["node", "--agency", "jobcenter", "--data", str(installation.data)])
    assert said.exit_code == 1
    assert "STAFFEL_PORT: every service has its own" in " ".join(said.output.split())


def test_a_node_is_not_run_for_an_agency_that_its_settings_do_not_name(installation: Installation) -> None:
    folder = str(installation.data / "nodes" / "jugendamt")
    said = CliRunner().invoke(app, ["node", "--agency", "jobcenter", "--settings", folder])
    assert (said.exit_code, said.output.strip()) == (1, "STAFFEL_AGENCY: is another agency than --agency")


def test_a_service_is_not_run_for_an_agency_that_its_settings_do_not_name(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in installation.environment_file("jobcenter", "offers").read_text("utf-8").splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    said = CliRunner().invoke(app, ["run", "offers", "--agency", "jugendamt", "--data", str(installation.data)])
    assert (said.exit_code, said.output.strip()) == (1, "STAFFEL_AGENCY: is another agency than --agency")


@pytest.mark.parametrize("verb", [("topics", "plan"), ("acls", "apply"), ("timeline", "x"), ("parked", "list")])
def test_where_nothing_is_installed_it_says_where_it_looked_and_how_to_name_another_folder(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["staffel", *verb, "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capfd.readouterr().err.split())
    assert (ended.value.code, "Traceback" in said) == (2, False)
    assert f"there is no installation in {tmp_path}: name its folder with --data" in said


# --- tokens -----------------------------------------------------------------------------------------------------------


def read(installation: Installation, token: str, service: str) -> Caller:
    """Who asks with that token, as the Jobcenter's service sees it."""
    issuer = next(a.issuer for a in read_alliance(MUSTERLAND).agencies if a.id == "jobcenter")
    public = installation.data / "nodes" / "jobcenter" / "token.public.json"
    services = installation.data / "nodes" / "jobcenter" / "services.public.json"
    gate = Gate(
        audience=f"jobcenter.{service}", issuer=issuer, issuer_keys=read_keys(public), service_keys=read_keys(services)
    )
    return gate.caller(f"Bearer {token}".encode(), datetime.now(UTC))


def test_an_issued_token_proves_who_asks_and_as_what_to_the_service_it_is_for(installation: Installation) -> None:
    asked = ["token", "--agency", "jobcenter", "--service", "intake", "--role", "caseworker", "--role", "team_lead"]
    said = CliRunner().invoke(app, [*asked, "--subject", "worker-7", "--data", str(installation.data)])
    assert said.exit_code == 0, said.output
    caller = read(installation, said.stdout.strip(), "intake")
    assert caller == Caller("worker-7", frozenset({"caseworker", "team_lead"}), "person")
    with pytest.raises(NotProved):
        read(installation, said.stdout.strip(), "consent")


# --- topics and access lists ------------------------------------------------------------------------------------------


def test_topics_that_were_applied_leave_nothing_to_plan(kafka: Admin, alliance: Alliance) -> None:
    first = topics.plan(kafka, [alliance], replication=1)
    created = {spec.name for spec in first.create}
    assert str(own(alliance.agencies[0].id, Service.INTAKE)) in created
    topics.apply(kafka, first)
    again = topics.plan(kafka, [alliance], replication=1)
    assert (again.create, again.alter, ours(list(again.unknown))) == ((), (), [])
    topics.apply(kafka, again)
    assert created <= kafka.topics().keys()


def test_a_config_that_was_changed_by_hand_is_planned_back(kafka: Admin, alliance: Alliance) -> None:
    topics.apply(kafka, topics.plan(kafka, [alliance], replication=1))
    name = str(own(alliance.agencies[0].id, Service.CONSENT))
    kafka.alter_configs(name, {"retention.ms": "1000"})
    plan = topics.plan(kafka, [alliance], replication=1)
    assert [spec.name for spec in plan.alter] == [name]
    assert any(line.startswith(f"~ {name}") for line in plan.lines())
    topics.apply(kafka, plan)
    assert topics.plan(kafka, [alliance], replication=1).alter == ()


def test_a_topic_with_other_partitions_is_nobodys_to_change(kafka: Admin, alliance: Alliance) -> None:
    topics.apply(kafka, topics.plan(kafka, [alliance], replication=1))
    more = alliance.model_copy(update={"partitions": alliance.partitions.model_copy(update={"own": 4})})
    with pytest.raises(topics.PartitionsDifferError, match="has 3 partitions, not 4"):
        topics.plan(kafka, [more], replication=1)


def test_a_topic_of_no_alliance_is_shown_and_left_alone(kafka: Admin, alliance: Alliance) -> None:
    kafka.create_topics([TopicSpec("cli-somebody-elses", 1, 1)])
    plan = topics.plan(kafka, [alliance], replication=1)
    assert "cli-somebody-elses" in plan.unknown
    assert any("left as it is" in line for line in plan.lines())
    topics.apply(kafka, plan)
    assert "cli-somebody-elses" in kafka.topics()
    kafka.delete_topics(["cli-somebody-elses"])


def test_access_that_was_applied_leaves_nothing_to_plan_and_what_is_too_much_is_revoked(
    kafka: Admin, alliance: Alliance
) -> None:
    before = kafka.acls()
    try:
        first = acls.plan(kafka, [alliance])
        acls.apply(kafka, first)
        assert before <= kafka.acls()  # those of other tests stay
        assert acls.plan(kafka, [alliance]).allow == ()
        too_much = Acl("cli-jobcenter.offers", "READ", "TOPIC", "cli-jugendamt.intake.events")
        kafka.create_acls([too_much])
        plan = acls.plan(kafka, [alliance])
        assert too_much in plan.revoke
        assert any(line.startswith("- cli-jobcenter.offers  read") for line in plan.lines())
        acls.apply(kafka, plan)
        assert too_much not in kafka.acls()
        assert before <= kafka.acls()
    finally:
        kafka.delete_acls(kafka.acls() - before)


def test_what_another_alliance_on_the_cluster_allows_is_shown_and_left_alone(alliance: Alliance) -> None:
    said = alliance.model_dump(mode="json", by_alias=True)
    other = Alliance.model_validate({**said, "id": "cli-other"})  # the same agencies, in a second alliance
    both = frozenset(acls.compared([alliance, other], frozenset()).allow)
    stranger = Acl("their-agency.offers", "READ", "TOPIC", "their-agency.intake.events")
    plan = acls.compared([alliance], both | {stranger})
    assert (plan.allow, plan.revoke) == ((), ())
    assert {acl.name.partition(".")[0] for acl in plan.unknown} == {"cli-other", "their-agency"}
    assert all(line.startswith("? ") and line.endswith("left as it is") for line in plan.lines())


def test_an_agency_that_has_left_the_alliance_may_no_longer_read_its_topics(alliance: Alliance) -> None:
    theirs = Acl("cli-gone.handover", "READ", "TOPIC", "cli-musterland.cli-jobcenter.to.cli-gone.handover")
    assert acls.compared([alliance], frozenset({theirs})).revoke == (theirs,)


def test_the_command_line_applies_an_installation_and_then_has_nothing_to_change(
    installation: Installation, embedded: Addresses, kafka: Admin
) -> None:
    data = installation.data
    tls = embedded.admin
    (data / "pki").mkdir(exist_ok=True)
    for source, name in ((tls.ca, "ca.pem"), (tls.certificate, "admin.pem"), (tls.key, "admin.key")):
        (data / "pki" / name).write_bytes(source.read_bytes())
    before = kafka.acls()
    try:
        for what in ("topics", "acls"):
            runs = [CliRunner().invoke(app, [what, verb, "--data", str(data)]) for verb in ("apply", "plan")]
            assert [run.exit_code for run in runs] == [0, 0], runs
            left = [line for line in runs[1].stdout.splitlines() if not line.startswith("?")]
            assert left in ([], ["nothing to change"])
    finally:
        kafka.delete_acls(kafka.acls() - before)
        kafka.create_acls(before - kafka.acls())
