"""The catalogue as HSDS 3.0 shows services, for everybody: own offers and the other agencies'."""

from collections.abc import Mapping
from enum import Enum
from math import ceil
from typing import Annotated, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field, JsonValue, RootModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.http import Call, Instant, Routes, Text, anyone
from chassis.transitions import Refused
from contracts import offers as told
from contracts.codes import Mode, Need, Phase, Sphere, TargetGroup
from contracts.labels import LABELS
from services.offers import store
from services.offers.domain import Reason

# What HSDS leaves out of lists: fields that can hold more than one.
ONE_TO_MANY: Final = frozenset(
    {"contacts", "phones", "languages", "service_areas", "cost_options", "required_documents"}
)
# The closed lists an offer is sorted by, each under the name of its field in `jba`.
TAXONOMIES: Final[Mapping[str, type[Enum]]] = {
    "sphere": Sphere,
    "phases": Phase,
    "need_categories": Need,
    "target_groups": TargetGroup,
    "mode": Mode,
}

PageNumber = Annotated[int, Field(ge=1, le=10_000)]
PageSize = Annotated[int, Field(ge=1, le=100)]
Words = Annotated[Text, Field(max_length=200)]
Document = RootModel[dict[str, JsonValue]]

routes = Routes()


class ApiInformation(BaseModel):
    """What HSDS wants to be told at the root."""

    version: str = "3.0"
    openapi_url: str = "/openapi.json"


class Page(BaseModel):
    """One page of a list, as HSDS wraps it. A page behind the last one is empty."""

    total_items: int
    total_pages: int
    page_number: int
    size: int
    first_page: bool
    last_page: bool
    empty: bool
    contents: tuple[dict[str, JsonValue], ...]


@routes.view("/", allow=anyone())
async def root(call: Call, tx: AsyncConnection) -> ApiInformation:
    """Which standard this API follows, and where it is described."""
    return ApiInformation()


@routes.view("/services", allow=anyone())
async def services(
    call: Call,
    tx: AsyncConnection,
    *,
    search: Words | None = None,
    page: PageNumber = 1,
    per_page: PageSize = 20,
    modified_after: Instant | None = None,
    organization_id: UUID | None = None,
    taxonomy_term_id: UUID | None = None,
    minimal: bool = False,
    full: bool = False,
    phase: Phase | None = None,
    need: Need | None = None,
    target_group: TargetGroup | None = None,
    sphere: Sphere | None = None,
    mode: Mode | None = None,
) -> Page:
    """The offers that match all filters: own ones and the other agencies', closed ones marked."""
    asked = {"phases": phase, "need_categories": need, "target_groups": target_group, "sphere": sphere, "mode": mode}
    content = [_sorted_under(name, code) for name, code in asked.items() if code is not None]
    if organization_id is not None:
        content.append({"organization": {"id": str(organization_id)}})
    if taxonomy_term_id is not None:
        content.append(_TERMS.get(taxonomy_term_id, {"id": str(taxonomy_term_id)}))  # no offer has a term's id
    matches = store.shown(search, modified_after, content)
    found = await store.find(tx, matches, page=page, per_page=per_page)
    shown = (_shown(offer.content, minimal=minimal, full=full) for offer in found.offers)
    return _page(tuple(shown), found.total, page, per_page)


@routes.view("/services/{offer}", allow=anyone())
async def service(call: Call, tx: AsyncConnection, offer: UUID) -> Document | Refused:
    """One offer with everything that belongs to it."""
    found = await store.one(tx, store.shown(), offer)
    if found is None:
        return Refused(Reason.UNKNOWN_OFFER, unknown=offer)
    return Document(_shown(found.content, full=True))


@routes.view("/organizations", allow=anyone())
async def organizations(call: Call, tx: AsyncConnection, page: PageNumber = 1, per_page: PageSize = 20) -> Page:
    """Who carries the offers out."""
    found = await store.organizations(tx, store.shown())
    return _slice([carrier.model_dump(mode="json") for carrier in found], page, per_page)


@routes.view("/taxonomies", allow=anyone())
async def taxonomies(call: Call, tx: AsyncConnection, page: PageNumber = 1, per_page: PageSize = 20) -> Page:
    """The closed lists that offers are sorted by."""
    return _slice([_taxonomy(name, codes) for name, codes in TAXONOMIES.items()], page, per_page)


@routes.view("/taxonomy_terms", allow=anyone())
async def taxonomy_terms(
    call: Call, tx: AsyncConnection, page: PageNumber = 1, per_page: PageSize = 100, taxonomy_id: UUID | None = None
) -> Page:
    """The codes of these lists, named in German."""
    lists = {name: codes for name, codes in TAXONOMIES.items() if taxonomy_id in {None, _id(name)}}
    return _slice([_term(name, code) for name, codes in lists.items() for code in codes], page, per_page)


def _shown(offer: told.Offer, *, minimal: bool = False, full: bool = False) -> dict[str, JsonValue]:
    """An offer as a HSDS service; a field without a value is absent, HSDS knows no null."""
    if minimal:
        return offer.model_dump(mode="json", include={"id", "last_modified"})
    return offer.model_dump(mode="json", exclude_none=True, exclude=None if full else set(ONE_TO_MANY))


def _slice(everything: list[dict[str, Any]], page: int, per_page: int) -> Page:
    first = (page - 1) * per_page
    return _page(tuple(everything[first : first + per_page]), len(everything), page, per_page)


def _page(contents: tuple[dict[str, JsonValue], ...], total: int, page: int, per_page: int) -> Page:
    pages = ceil(total / per_page)
    return Page(
        total_items=total,
        total_pages=pages,
        page_number=page,
        size=len(contents),
        first_page=page == 1,
        last_page=page >= pages,
        empty=not contents,
        contents=contents,
    )


def _sorted_under(taxonomy: str, code: Enum) -> dict[str, JsonValue]:
    """What must be in an offer that has this code."""
    return {"jba": {taxonomy: code.value if taxonomy == "sphere" else [code.value]}}


def _taxonomy(name: str, codes: type[Enum]) -> dict[str, JsonValue]:
    return {"id": str(_id(name)), "name": name, "description": codes.__doc__ or name}


def _term(taxonomy: str, code: Enum) -> dict[str, JsonValue]:
    label = LABELS[type(code)][code.value]
    return {
        "id": str(_id(taxonomy, code)),
        "code": str(code.value),
        "name": label,
        "description": label,
        "taxonomy": taxonomy,
        "language": "de",
    }


def _id(taxonomy: str, code: Enum | None = None) -> UUID:
    """The same everywhere and for ever, because the name is."""
    name = f"urn:staffel:taxonomies:{taxonomy}" + ("" if code is None else f":{code.value}")
    return uuid5(NAMESPACE_URL, name)


_TERMS: Final[Mapping[UUID, dict[str, JsonValue]]] = {
    _id(name, code): _sorted_under(name, code) for name, codes in TAXONOMIES.items() for code in codes
}
