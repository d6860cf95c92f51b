"""The alliance file: what is refused is refused by name, what is agreed holds on its days."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from contracts.alliance import Alliance, StatutoryBasis
from contracts.codes import Kind, Purpose, Sphere
from contracts.ids import AgencyId
from tests.approving import approved

MUSTERLAND = Path(__file__).parents[2] / "deploy" / "alliances" / "musterland.yaml"
JOBCENTER, JUGENDAMT, BRUECKE = AgencyId("jobcenter"), AgencyId("jugendamt"), AgencyId("bruecke")
TODAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def written() -> dict[str, Any]:
    """The file of the demo as it is read."""
    content: dict[str, Any] = yaml.safe_load(MUSTERLAND.read_text(encoding="utf-8"))
    return content


@pytest.fixture
def alliance(written: dict[str, Any]) -> Alliance:
    return Alliance.model_validate(written)


def a_key(**changes: Any) -> dict[str, Any]:
    valid = {"not_before": "2026-01-01T00:00:00Z", "not_after": "2026-07-01T00:00:00Z"}
    return {"kid": "2026-a", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "invented"}, **valid, **changes}


def a_basis(**changes: Any) -> dict[str, Any]:
    what = {"from": "SGB_II", "to": "SGB_VIII", "basis": "sgb_x_69_1_1", "norm": "§ 13 SGB VIII", "task": "Beratung"}
    when = {"valid_from": "2026-01-01", "valid_until": "2026-12-31"}
    return {**what, "categories": ["master_data", "contact"], **when, **changes}


def of_31a(*categories: str, way: tuple[str, str] = ("SCHULE", "SGB_III")) -> dict[str, Any]:
    """A row on § 31a SGB III; from the school to the Agentur, where nothing else is said."""
    return a_basis(**{"from": way[0], "to": way[1]}, basis="sgb_iii_31a", categories=list(categories))


def said_yes(**changes: Any) -> dict[str, Any]:
    """An approval by the Jobcenter's officer, of something."""
    digest = "0" * 64
    return {"agency": "jobcenter", "officer": "D. Muster", "approved_on": "2026-01-01", "digest": digest, **changes}


def test_the_demo_has_five_agencies_of_five_spheres(alliance: Alliance) -> None:
    assert [agency.id for agency in alliance.agencies] == ["jobcenter", "agentur", "jugendamt", "schule", "bruecke"]
    assert {agency.sphere for agency in alliance.agencies} == set(Sphere)


def test_what_is_written_out_is_read_back_the_same(alliance: Alliance) -> None:
    assert Alliance.model_validate(alliance.model_dump(mode="json", by_alias=True)) == alliance
    assert Alliance.model_validate_json(alliance.model_dump_json(by_alias=True)) == alliance


def put(*path: Any, to: Any) -> Change:
    """A change of the file: what lies at the path becomes something else."""

    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def add(place: str, row: dict[str, Any]) -> Change:
    """A change of the file: one row more."""
    return lambda content: content[place].append(row)


def add_again(place: str, **changes: Any) -> Change:
    """A change of the file: its first row once more, slightly different."""
    return lambda content: content[place].append({**deepcopy(content[place][0]), **changes})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("agreements", 0, "to", to="finanzamt"), r"agreements\.0\.to: no agency 'finanzamt'"),
        (put("agreements", 0, "from", to="finanzamt"), r"agreements\.0\.from: no agency 'finanzamt'"),
        (put("agreements", 0, "to", to="jobcenter"), r"agreements\.0\s.*to: an agency has no agreement with itself"),
        (put("agreements", 0, "kinds", to=[]), r"agreements\.0\.kinds"),
        (put("agreements", 0, "kinds", to=["gift"]), r"agreements\.0\.kinds\.0"),
        (put("agreements", 0, "valid_until", to="2023-12-31"), r"agreements\.0\s.*valid_until"),
        (put("agreements", 0, "deadlines", to={"remind_days": 8}), r"agreements\.0\.deadlines\s.*remind_days"),
        (put("agreements", 0, "deadlines", to={"respond": 9}), r"agreements\.0\.deadlines\.respond"),
        (add_again("agreements"), r"agreements\.10\.id: 'jobcenter-jugendamt' is there twice"),
        (add_again("agreements", id="again"), r"agreements\.10\.valid_from: overlaps with .*'jobcenter-jugendamt'"),
        (add_again("agencies"), r"agencies\.5\.id: 'jobcenter' is there twice"),
        (add_again("agencies", id="second"), r"agencies\.5\.issuer"),
        (put("agencies", 0, "id", to="Job.Center"), r"agencies\.0\.id"),
        (put("agencies", 0, "sphere", to="SGB_III"), r"agencies\.0\s.*sphere: a jobcenter works under SGB_II"),
        (put("agencies", 0, "jobcenter_kind", to=None), r"agencies\.0\s.*jobcenter_kind"),
        (put("agencies", 4, "data_protection_agreement_until", to=None), r"agencies\.4\s.*data_protection_agreement"),
        (put("agencies", 0, "door_url", to="ftp://door"), r"agencies\.0\.door_url"),
        (put("agencies", 0, "signing_keys", to=[a_key()] * 3), r"agencies\.0\.signing_keys"),
        (put("agencies", 0, "signing_keys", to=[a_key()] * 2), r"agencies\.0\s.*signing_keys: two keys with one kid"),
        (put("agencies", 0, "sealing_keys", to=[a_key(jwk={"kty": "OKP", "d": "x"})]), r"sealing_keys\.0\s.*jwk: .*d"),
        (put("agencies", 0, "sealing_keys", to=[a_key(jwk={"kty": "oct"})]), r"sealing_keys\.0\s.*kty"),
        (put("agencies", 0, "sealing_keys", to=[a_key(not_after="2025-01-01T00:00:00Z")]), r"keys\.0\s.*not_after"),
        (put("matrix", to=[a_basis(basis="consent_sgb_x_67b")]), r"matrix\.0\s.*basis: not a statutory basis"),
        (put("matrix", to=[a_basis(to="DRITTE")]), r"matrix\.0\s.*basis: schools and third parties"),
        (put("matrix", to=[a_basis(categories=[])]), r"matrix\.0\.categories"),
        (put("matrix", to=[a_basis(valid_until="2025-12-31")]), r"matrix\.0\s.*valid_until"),
        (put("matrix", to=[a_basis(ended_on="2027-01-01")]), r"matrix\.0\s.*ended_on"),
        (put("matrix", to=[a_basis(ended_on="2025-12-31")]), r"matrix\.0\s.*ended_on"),
        (put("matrix", to=[a_basis(approved_by="D. Muster")]), r"matrix\.0\.approved_by"),
        (put("matrix", to=[a_basis(**{"from": "SGB_III"}, jobcenter_kind="ge")]), r"matrix\.0\s.*jobcenter_kind"),
        (put("matrix", to=[a_basis(to="SGB_II", jobcenter_kind="ge")]), r"matrix\.0\s.*jobcenter_kind: of one side"),
        (put("matrix", to=[a_basis(approvals=[said_yes()] * 2)]), r"matrix\.0\s.*approvals\.1\.agency: 'jobcenter'"),
        (put("matrix", to=[a_basis(approvals=[said_yes(digest="0")])]), r"matrix\.0\.approvals\.0\.digest"),
        (put("matrix", to=[a_basis(approvals=[said_yes(agency="agentur")])]), r"matrix\.0\.approvals: no .*'agentur'"),
        (put("matrix", to=[a_basis(), a_basis(task="Obdach")]), r"matrix\.1\.valid_from: overlaps with row 1"),
        (put("matrix", to=[a_basis(), a_basis(jobcenter_kind="ge")]), r"matrix\.1\.valid_from: overlaps with row 1"),
        (put("version", to=0), "version"),
        (put("versoin", to=2), "versoin"),
    ],
)
def test_a_wrong_file_is_refused_and_the_place_is_named(written: dict[str, Any], change: Change, named: str) -> None:
    change(written)
    with pytest.raises(ValidationError, match=named):
        Alliance.model_validate(written)


def test_an_agreement_may_follow_another_of_the_same_direction(written: dict[str, Any]) -> None:
    add_again("agreements", id="next", valid_from="2036-01-01", valid_until="2036-12-31")(written)
    alliance = Alliance.model_validate(written)
    for day, expected in ((date(2035, 12, 31), "jobcenter-jugendamt"), (date(2036, 1, 1), "next")):
        held = alliance.agreement(JOBCENTER, JUGENDAMT, day)
        assert held is not None
        assert held.id == expected


def test_there_is_no_agreement_before_its_first_day_nor_between_those_who_made_none(alliance: Alliance) -> None:
    assert alliance.agreement(JOBCENTER, JUGENDAMT, date(2023, 12, 31)) is None
    assert alliance.agreement(JOBCENTER, BRUECKE, TODAY) is None


def test_an_agreement_allows_what_it_names_and_always_an_answer(alliance: Alliance) -> None:
    agreement = alliance.agreement(JOBCENTER, JUGENDAMT, TODAY)
    assert agreement is not None
    assert agreement.allows(Kind.TRANSFER, Purpose.STABILISATION)
    assert agreement.allows(Kind.TRANSFER, Purpose.ANSWER_TO_HANDOVER)
    assert not agreement.allows(Kind.TRANSFER, Purpose.INCOME_SUPPORT)
    assert not agreement.allows(Kind.PULL, Purpose.STABILISATION)


def test_a_pair_goes_both_ways_even_where_only_one_direction_is_agreed(written: dict[str, Any]) -> None:
    written["agreements"] = written["agreements"][:1]
    assert Alliance.model_validate(written).pairs() == ((JOBCENTER, JUGENDAMT), (JUGENDAMT, JOBCENTER))


def test_a_free_provider_receives_nothing_after_its_data_protection_agreement(alliance: Alliance) -> None:
    bruecke = alliance.agency(BRUECKE)
    assert bruecke is not None
    assert bruecke.may_receive(date(2035, 12, 31))
    assert not bruecke.may_receive(date(2036, 1, 1))


def test_without_an_approved_row_there_is_no_statutory_basis(written: dict[str, Any], alliance: Alliance) -> None:
    assert alliance.rows(JOBCENTER, JUGENDAMT, TODAY) == ()
    put("matrix", to=[a_basis()])(written)
    assert Alliance.model_validate(written).rows(JOBCENTER, JUGENDAMT, TODAY) == ()


def test_an_approved_row_is_a_basis_for_its_way_and_its_days(written: dict[str, Any]) -> None:
    alliance = with_matrix(written, approved(a_row(), JOBCENTER, JUGENDAMT))
    assert [row.norm for row in alliance.rows(JOBCENTER, JUGENDAMT, TODAY)] == ["§ 13 SGB VIII"]
    assert alliance.rows(JUGENDAMT, JOBCENTER, TODAY) == ()
    assert alliance.rows(JOBCENTER, JUGENDAMT, date(2027, 1, 1)) == ()


def a_row(**changes: Any) -> StatutoryBasis:
    return StatutoryBasis.model_validate(a_basis(**changes))


def with_matrix(written: dict[str, Any], *rows: StatutoryBasis) -> Alliance:
    """The demo's alliance with these rows, as it is written to a file and read again."""
    put("matrix", to=[row.model_dump(mode="json", by_alias=True) for row in rows])(written)
    return Alliance.model_validate(yaml.safe_load(yaml.safe_dump(written)))


def counts(alliance: Alliance, on: date = TODAY) -> bool:
    return bool(alliance.rows(JOBCENTER, JUGENDAMT, on))


def test_the_drafts_that_come_along_permit_nothing_on_any_way(alliance: Alliance) -> None:
    """§ 69(1) Nr. 1 SGB X, § 50(1) SGB II, § 31a SGB III: proposed, and approved by nobody."""
    assert len(alliance.matrix) == 8
    days = [row.valid_from for row in alliance.matrix]
    ways = permutations([agency.id for agency in alliance.agencies], 2)
    assert not [way for way in ways for day in days if alliance.rows(*way, day)]


@pytest.mark.parametrize("signed", [(), (JOBCENTER,), (JUGENDAMT,)])
def test_a_row_needs_the_officers_of_both_sides(written: dict[str, Any], signed: tuple[AgencyId, ...]) -> None:
    """Each agency is its own controller (Art. 4(7) GDPR): nobody's officer can say yes for the other side."""
    assert not counts(with_matrix(written, approved(a_row(), *signed)))


def test_of_two_agencies_on_one_side_only_the_one_whose_officer_said_yes_is_told(written: dict[str, Any]) -> None:
    second = {**written["agencies"][2], "id": "jugendamt-stadt", "issuer": "urn:staffel:agency:jugendamt-stadt"}
    written["agencies"].append(second)
    alliance = with_matrix(written, approved(a_row(), JOBCENTER, AgencyId("jugendamt-stadt")))
    assert not counts(alliance)
    assert alliance.rows(JOBCENTER, AgencyId("jugendamt-stadt"), TODAY)


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": ["master_data", "contact", "health"]},
        {"categories": ["contact"]},
        {"task": "Etwas anderes"},
        {"norm": "§ 41 SGB VIII"},
        {"basis": "sgb_ii_50_1"},
        {"jobcenter_kind": "ge"},
        {"valid_from": "2025-01-01"},
        {"valid_until": "2027-12-31"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_who_changes_an_approved_row_has_a_proposal_again(written: dict[str, Any], changes: dict[str, Any]) -> None:
    row = approved(a_row(), JOBCENTER, JUGENDAMT)
    assert counts(with_matrix(written, row))
    edited = row.model_dump(mode="json", by_alias=True) | changes
    assert not counts(with_matrix(written, StatutoryBasis.model_validate(edited)))


def test_the_order_in_which_categories_are_listed_says_nothing() -> None:
    turned = a_row(categories=["contact", "master_data", "contact"])
    assert turned.digest == a_row().digest


def test_a_row_counts_from_the_day_of_the_later_approval_on(written: dict[str, Any]) -> None:
    row = approved(approved(a_row(), JOBCENTER), JUGENDAMT, on=TODAY)
    alliance = with_matrix(written, row)
    assert not counts(alliance, TODAY - timedelta(days=1))
    assert counts(alliance, TODAY)


def test_a_row_may_be_for_one_kind_of_jobcenter_only(written: dict[str, Any]) -> None:
    """§§ 6a, 44b SGB II: a joint body and a municipal Jobcenter are different controllers, with rows of their own."""
    joint, municipal = (approved(a_row(jobcenter_kind=kind), JOBCENTER, JUGENDAMT) for kind in ("ge", "zkt"))
    assert counts(with_matrix(written, joint))
    written["agencies"][0]["jobcenter_kind"] = "zkt"
    assert counts(with_matrix(written, municipal))
    with pytest.raises(ValidationError, match=r"matrix\.0\.approvals: no agency 'jobcenter' on either side"):
        with_matrix(written, joint)


def test_a_change_of_law_is_a_new_row_and_the_old_one_ends_without_being_approved_anew(written: dict[str, Any]) -> None:
    old = approved(a_row(), JOBCENTER, JUGENDAMT)
    ended = old.model_copy(update={"ended_on": TODAY})
    new = approved(a_row(valid_from=TODAY + timedelta(days=1), categories=["contact"]), JOBCENTER, JUGENDAMT)
    alliance = with_matrix(written, ended, new)
    assert alliance.rows(JOBCENTER, JUGENDAMT, TODAY) == (ended,)
    assert alliance.rows(JOBCENTER, JUGENDAMT, TODAY + timedelta(days=1)) == (new,)
    with pytest.raises(ValidationError, match="overlaps with row 1 of the same norm and way"):
        with_matrix(written, old, new)


def test_rows_of_other_norms_or_of_the_way_back_may_hold_on_the_same_days(written: dict[str, Any]) -> None:
    rows = (a_row(), a_row(norm="§ 41 SGB VIII"), a_row(**{"from": "SGB_VIII", "to": "SGB_II"}))
    assert with_matrix(written, *rows).matrix == rows


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        (of_31a("master_data", "school"), None),
        (of_31a("master_data", way=("SGB_III", "SCHULE")), None),
        (of_31a("master_data", "contact"), "categories: § 31a SGB III does not list contact"),
        (of_31a("master_data", "school", way=("SGB_III", "SCHULE")), "categories: § 31a SGB III does not list school"),
        (of_31a("master_data", way=("SCHULE", "SGB_II")), "basis: § 31a SGB III is between"),
        (of_31a("master_data", way=("SGB_II", "SGB_III")), "basis: § 31a SGB III is between"),
        (of_31a("master_data", way=("DRITTE", "SGB_III")), "basis: § 31a SGB III is between"),
    ],
)
def test_31a_sgb_iii_has_two_ways_and_lists_its_fields(row: dict[str, Any], refused: str | None) -> None:
    """§ 31a SGB III: the school's side tells the Agentur; back goes name, birth date and address, and nothing else."""
    if refused is None:
        assert StatutoryBasis.model_validate(row).basis == "sgb_iii_31a"
    else:
        with pytest.raises(ValidationError, match=refused):
            StatutoryBasis.model_validate(row)


def of_65(exception: str | None, to: str = "SGB_VIII", **changes: Any) -> dict[str, Any]:
    """A row on an exception of § 65(1) SGB VIII; from a youth office, where nothing else is said."""
    what = {"from": "SGB_VIII", "to": to, "basis": "sgb_viii_65_exception", "norm": "§ 8a Abs. 1 SGB VIII"}
    return a_basis(**what, **({} if exception is None else {"exception": exception})) | changes


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        (of_65("nr_3"), None),
        (of_65("nr_3", "DRITTE"), "to: no receiver of nr_3"),
        (of_65("nr_3", "SGB_II"), "to: no receiver of nr_3"),
        (of_65("nr_4"), None),
        (of_65("nr_4", "DRITTE"), None),
        (of_65("nr_4", "SGB_III"), "to: no receiver of nr_4"),
        (of_65("nr_5"), None),
        (of_65("nr_5", "DRITTE"), None),
        (of_65("nr_5", "SGB_II"), None),
        (of_65("nr_5", "SCHULE"), "to: no receiver of nr_5"),
        (of_65("nr_2"), "exception"),  # the family court is no agency of an alliance
        (of_65("nr_6"), "exception"),  # nor is research
        (of_65(None), "exception: sgb_viii_65_exception needs the number"),
        (of_65("nr_5", **{"from": "SGB_II"}), "from: § 65 SGB VIII is about what was entrusted to a youth office"),
        (of_65("nr_5", **{"from": "DRITTE"}), "from: § 65 SGB VIII"),
        (of_65("nr_3", basis="sgb_x_69_1_1"), "exception: only where the basis is sgb_viii_65_exception"),
    ],
)
def test_65_sgb_viii_has_three_exceptions_with_receivers_of_their_own(row: dict[str, Any], refused: str | None) -> None:
    """§ 65(1) Nr. 3, 4, 5 SGB VIII: a youth office tells another, those who assess a risk with it, or who may know."""
    if refused is None:
        assert StatutoryBasis.model_validate(row).of_entrusted
    else:
        with pytest.raises(ValidationError, match=refused):
            StatutoryBasis.model_validate(row)


def test_no_statement_lets_go_what_was_entrusted_together_with_what_was_not(written: dict[str, Any]) -> None:
    """A task is stated by its norm: for § 65 SGB VIII it has one of its own, of one number."""
    ordinary = a_row(**{"from": "SGB_VIII"}, norm="§ 8a Abs. 1 SGB VIII")
    exception = StatutoryBasis.model_validate(of_65("nr_3"))
    for other in (ordinary, StatutoryBasis.model_validate(of_65("nr_4"))):
        with pytest.raises(ValidationError, match=r"matrix\.1\.valid_from: overlaps with row 1"):
            with_matrix(written, exception, other)
    beside = (exception, ordinary.model_copy(update={"norm": "§ 13 SGB VIII"}))
    assert with_matrix(written, *beside).matrix == beside


def test_a_field_that_came_later_ends_no_approval_and_says_something_where_it_is_there() -> None:
    """The digest of a row that was signed before rows had an `exception`, as it stood on the paper."""
    assert a_row().digest == "1954bb9b3110092b54ef189b20dce8d56570539e11df55ca7737c6fc56dfc45a"
    assert len({StatutoryBasis.model_validate(of_65(number)).digest for number in ("nr_3", "nr_4", "nr_5")}) == 3


@pytest.mark.parametrize("way", [("SCHULE", "SGB_II"), ("DRITTE", "SGB_VIII"), ("SGB_II", "SCHULE")])
def test_schools_and_third_parties_have_the_law_of_the_land_and_not_69_sgb_x(way: tuple[str, str]) -> None:
    """§ 35 SGB I: they are no Leistungsträger."""
    sides = {"from": way[0], "to": way[1]}
    assert a_row(**sides, basis="state_law", norm="§ 30 SchulG Musterland").norm == "§ 30 SchulG Musterland"
    for basis in ("sgb_x_69_1_1", "sgb_ii_50_1"):
        with pytest.raises(ValidationError, match="schools and third parties"):
            a_row(**sides, basis=basis)


def test_a_duty_to_cooperate_is_a_task_and_never_by_itself_a_basis() -> None:
    """§ 81 SGB VIII, §§ 9, 9a SGB III, § 18 SGB II, § 86 SGB X: it is what for; the basis is one of a closed list."""
    assert a_row(norm="§ 81 SGB VIII").basis == "sgb_x_69_1_1"
    with pytest.raises(ValidationError, match="basis"):
        a_row(basis="sgb_viii_81")


def test_a_signature_is_checked_with_the_key_named_while_it_is_valid(written: dict[str, Any]) -> None:
    put("agencies", 0, "signing_keys", to=[a_key(), a_key(kid="2026-b")])(written)
    alliance = Alliance.model_validate(written)
    found = alliance.signing_key(JOBCENTER, "2026-b", NOON)
    assert found is not None
    assert found.kid == "2026-b"
    assert alliance.signing_key(JOBCENTER, "2026-c", NOON) is None
    assert alliance.signing_key(JUGENDAMT, "2026-b", NOON) is None
    assert alliance.signing_key(JOBCENTER, "2026-b", datetime(2026, 7, 1, tzinfo=UTC)) is None


def test_sealing_uses_the_valid_key_that_lasts_longest(written: dict[str, Any]) -> None:
    newer = a_key(kid="newer", not_after="2027-01-01T00:00:00Z")
    later = a_key(kid="later", not_before="2026-06-01T00:00:00Z", not_after="2028-01-01T00:00:00Z")
    for keys, expected in (([a_key(), newer], "newer"), ([a_key(), later], "2026-a")):
        put("agencies", 0, "sealing_keys", to=keys)(written)
        found = Alliance.model_validate(written).sealing_key(JOBCENTER, NOON)
        assert found is not None
        assert found.kid == expected


def test_an_agency_is_found_by_its_id_and_by_the_issuer_of_its_tokens(alliance: Alliance) -> None:
    found = alliance.agency(JOBCENTER)
    assert found is not None
    assert alliance.agency_of_issuer(found.issuer) == found
    assert alliance.agency_of_issuer("urn:staffel:agency:finanzamt") is None
    assert alliance.agency(AgencyId("finanzamt")) is None
