"""An agency's keys overlap when they are rotated, and their secret halves stay at home."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from deploy.embedded.keys import SEALING, SIGNING, TOKEN, AgencyKeys, service

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PURPOSES = (SIGNING, SEALING, TOKEN, service("intake"))


def provided(folder: Path, days_later: int = 0) -> AgencyKeys:
    keys = AgencyKeys(folder, "jobcenter")
    keys.provide(["intake"], NOW + timedelta(days=days_later))
    return keys


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_agency_has_one_key_of_each_purpose_at_first(tmp_path: Path, purpose: str) -> None:
    (key,) = provided(tmp_path).public(purpose)
    assert key["crv"] == ("X25519" if purpose == SEALING else "Ed25519")
    assert key["kid"].startswith(f"jobcenter.{purpose.removeprefix('service.')}#")
    assert key["nbf"] == NOW.timestamp() < key["exp"]


def test_what_the_private_half_signs_the_public_half_verifies(tmp_path: Path) -> None:
    keys = provided(tmp_path)
    private = OKPKey.import_key(json.loads(keys.file(SIGNING).read_text())["keys"][0])
    public = OKPKey.import_key(keys.public(SIGNING)[0])
    said = jws.serialize_compact({"alg": "Ed25519"}, b"word", private, algorithms=["Ed25519"])
    assert jws.deserialize_compact(said, public, algorithms=["Ed25519"]).payload == b"word"


@pytest.mark.parametrize(("days_later", "count"), [(0, 1), (330, 1), (340, 2)])
def test_a_key_gets_a_successor_thirty_days_before_its_end(tmp_path: Path, days_later: int, count: int) -> None:
    provided(tmp_path)
    assert len(provided(tmp_path, days_later).public(SIGNING)) == count


def test_a_rotation_puts_the_new_key_first_and_keeps_the_one_before_it(tmp_path: Path) -> None:
    keys = provided(tmp_path)
    (old,) = keys.public(SEALING)
    new = keys.rotate(SEALING, NOW)
    assert [key["kid"] for key in keys.public(SEALING)] == [new, old["kid"]]


def test_there_are_never_more_than_two(tmp_path: Path) -> None:
    keys = provided(tmp_path)
    made = [keys.rotate(SIGNING, NOW) for _ in range(3)]
    assert [key["kid"] for key in keys.public(SIGNING)] == [made[2], made[1]]


def test_a_key_that_has_ended_is_dropped(tmp_path: Path) -> None:
    keys = provided(tmp_path)
    new = keys.rotate(SIGNING, NOW + timedelta(days=366))
    assert [key["kid"] for key in keys.public(SIGNING)] == [new]


def test_the_public_file_has_all_keys_and_no_secret(tmp_path: Path) -> None:
    published = json.loads(provided(tmp_path).public_file.read_text())["keys"]
    assert {key["kid"].split(".", 1)[1].partition("#")[0] for key in published} == {
        p.removeprefix("service.") for p in PURPOSES
    }
    assert not any("d" in key for key in published)
