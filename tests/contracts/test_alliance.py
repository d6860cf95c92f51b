"""The alliance file: what is refused is refused by name, what is agreed holds on its days."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from contracts.alliance import Alliance
from contracts.codes import DataCategory, Kind, Purpose, Sphere
from contracts.ids import AgencyId

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
    when = {"valid_from": "2026-01-01", "valid_until": "2026-12-31", "approved_by": "Datenschutz Musterland"}
    return {**what, "categories": ["master_data", "contact"], **when, **changes}


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
    contact = DataCategory.CONTACT
    assert alliance.bases(JOBCENTER, JUGENDAMT, contact, TODAY) == ()
    put("matrix", to=[a_basis(approved_by=None)])(written)
    assert Alliance.model_validate(written).bases(JOBCENTER, JUGENDAMT, contact, TODAY) == ()


def test_an_approved_row_is_a_basis_for_its_way_its_categories_and_its_days(written: dict[str, Any]) -> None:
    put("matrix", to=[a_basis()])(written)
    alliance = Alliance.model_validate(written)
    assert [row.norm for row in alliance.bases(JOBCENTER, JUGENDAMT, DataCategory.CONTACT, TODAY)] == ["§ 13 SGB VIII"]
    assert alliance.bases(JUGENDAMT, JOBCENTER, DataCategory.CONTACT, TODAY) == ()
    assert alliance.bases(JOBCENTER, JUGENDAMT, DataCategory.HEALTH, TODAY) == ()
    assert alliance.bases(JOBCENTER, JUGENDAMT, DataCategory.CONTACT, date(2027, 1, 1)) == ()


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
