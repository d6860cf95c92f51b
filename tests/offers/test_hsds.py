"""What everybody sees is HSDS 3.0: judged by its own schemas, paged and filtered as it says."""

import gzip
import hashlib
import json
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from contracts import offers as told
from contracts.codes import Mode, Need, Phase, Sphere, TargetGroup
from contracts.new_ids import new_id
from tests.offers.builders import CARRIER, NOW
from tests.offers.conftest import Offers

HSDS = Path(__file__).parent / "hsds"
WHOLE: dict[str, Any] = {
    "alternate_name": "Holzwerkstatt",
    "url": "https://bruecke.example/holz",
    "email": "holz@bruecke.example",
    "application_process": "Vorbeikommen genügt",
    "eligibility_description": "Für junge Menschen ohne Ausbildungsplatz",
    "minimum_age": 15,
    "maximum_age": 26,
    "assurer_email": "katalog@jobcenter.example",
    "phones": (told.Phone(id=new_id(), number="0345 000 000", description="Anmeldung"),),
    "languages": (told.SpokenLanguage(id=new_id(), name="Deutsch", code="de"),),
    "service_areas": (told.ServiceArea(id=new_id(), name="Musterland"),),
    "cost_options": (told.CostOption(id=new_id(), option="kostenfrei"),),
    "required_documents": (told.RequiredDocument(id=new_id(), document="keine"),),
}


@cache
def judge(name: str) -> Draft202012Validator:
    """The schema of that name."""
    return Draft202012Validator(json.loads(_unpacked(name)), format_checker=FormatChecker())


def _unpacked(name: str) -> bytes:
    return gzip.decompress((HSDS / f"{name}.json.gz").read_bytes())


def errors(name: str, instance: object) -> list[str]:
    """What the schema has against it."""
    return [error.message for error in judge(name).iter_errors(instance)]


def test_the_schemas_are_those_that_the_readme_says() -> None:
    named = re.findall(r"`(\w+)\.json\.gz` .*`([0-9a-f]{64})`", (HSDS / "README.md").read_text("utf-8"))
    assert [(name, hashlib.sha256(_unpacked(name)).hexdigest()) for name, _ in named] == named
    assert len(named) == 3


async def test_whatever_is_shown_validates_with_no_error(offers: Offers) -> None:
    await offers.published(**WHOLE)
    await offers.published()
    for one in (await offers.get("/services"))["contents"]:
        assert errors("schema_service_list", one) == []
        assert errors("schema_service", await offers.get(f"/services/{one['id']}")) == []
    for one in (await offers.get("/services", full="true"))["contents"]:
        assert errors("schema_service", one) == []
    for one in (await offers.get("/organizations"))["contents"]:
        assert errors("schema_organization", one) == []


async def test_the_judge_can_say_no(offers: Offers) -> None:
    service = await offers.get(f"/services/{await offers.published()}")
    assert errors("schema_service", {**service, "status": "published"})
    assert errors("schema_service", {**service, "email": None})


async def test_a_whole_service_has_everything_a_list_only_what_there_is_one_of_minimal_only_id_and_date(
    offers: Offers,
) -> None:
    offer = await offers.published(**WHOLE)
    whole = await offers.get(f"/services/{offer}")
    assert whole["phones"][0]["number"] == "0345 000 000"
    assert whole["jba"]["payer"] == "youth_office"
    (listed,) = (await offers.get("/services"))["contents"]
    assert "phones" not in listed
    assert listed["jba"] == whole["jba"]
    (minimal,) = (await offers.get("/services", minimal="true"))["contents"]
    assert minimal == {"id": offer, "last_modified": whole["last_modified"]}


async def test_pages_are_wrapped_as_hsds_says(offers: Offers) -> None:
    ids = [await offers.published() for _ in range(3)]
    first = await offers.get("/services", per_page=2)
    assert {name: value for name, value in first.items() if name != "contents"} == {
        "total_items": 3,
        "total_pages": 2,
        "page_number": 1,
        "size": 2,
        "first_page": True,
        "last_page": False,
        "empty": False,
    }
    last = await offers.get("/services", per_page=2, page=2)
    assert [one["id"] for one in first["contents"] + last["contents"]] == ids
    assert (last["last_page"], last["size"]) == (True, 1)
    assert (await offers.get("/services", page=9))["empty"]


OTHER = UUID("01890000-0000-7000-8000-00000000abcd")


@pytest.mark.parametrize(
    ("changed", "query"),
    [
        ({"name": "Sucht_100%-Beratung"}, {"search": "sucht_100%"}),
        ({"description": "Hilfe bei Schulden"}, {"search": "SCHULDEN"}),
        ({"organization": told.Organization(id=OTHER, name="x", description="x")}, {"organization_id": str(OTHER)}),
        ({"jba": {"phases": (Phase.ORIENTATION,)}}, {"phase": 1}),
        ({"jba": {"need_categories": (Need.HOUSING, Need.DEBTS)}}, {"need": "debts"}),
        ({"jba": {"target_groups": (TargetGroup.PARENTS,)}}, {"target_group": "parents"}),
        ({"jba": {"sphere": Sphere.SGB_III}}, {"sphere": "SGB_III"}),
        ({"jba": {"mode": (Mode.VIRTUAL, Mode.ON_SITE)}}, {"mode": "virtual"}),
    ],
)
async def test_every_filter_finds_what_it_says_and_nothing_else(
    offers: Offers, changed: dict[str, Any], query: dict[str, Any]
) -> None:
    await offers.published()
    wanted = await offers.published(**changed)
    assert [one["id"] for one in (await offers.get("/services", **query))["contents"]] == [wanted]
    nothing = {**query, "modified_after": (NOW + timedelta(days=36500)).isoformat()}
    assert (await offers.get("/services", **nothing))["empty"]


async def test_taxonomy_terms_have_german_names_and_find_their_offers(offers: Offers) -> None:
    offer = await offers.published(jba={"need_categories": (Need.HOUSING,)})
    lists = (await offers.get("/taxonomies"))["contents"]
    needs = next(one["id"] for one in lists if one["name"] == "need_categories")
    terms = (await offers.get("/taxonomy_terms", taxonomy_id=needs))["contents"]
    assert len(terms) == len(Need)
    housing = next(term for term in terms if term["code"] == "housing")
    assert housing["name"] != "housing"
    assert [one["id"] for one in (await offers.get("/services", taxonomy_term_id=housing["id"]))["contents"]] == [offer]
    assert (await offers.get("/services", taxonomy_term_id=str(new_id())))["empty"]


async def test_the_root_says_which_standard_this_is(offers: Offers) -> None:
    root = await offers.get("/")
    assert root["version"] == "3.0"
    assert (await offers.client.get(root["openapi_url"])).status_code == 200


async def test_organizations_are_those_of_the_offers_shown_each_once(offers: Offers) -> None:
    await offers.published()
    await offers.published()
    await offers.drafted(organization=told.Organization(id=OTHER, name="x", description="x"))
    assert [one["id"] for one in (await offers.get("/organizations"))["contents"]] == [str(CARRIER)]
