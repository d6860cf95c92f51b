"""Every address that a page names is one that a service has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from contracts.codes import Service
from docs.generate import ROOT
from docs.openapi import operators, routes

PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in ("docs/how-to", "docs/explanation", "docs/decisions", "docs/tutorial", "services", "deploy")
    for page in (ROOT / folder).rglob("*.md")
)
NAMED = re.compile(r"\b(GET|POST|PUT|DELETE) (?:\$address)?(/[^\s`?)\"']+)")
ABOUT_ITSELF = {("GET", path) for path in ("/health", "/ready", "/docs", "/openapi.json", "/problems")}


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_a_page_names_only_addresses_that_are_there(page: str) -> None:
    assert not list(unknown_on(ROOT / page))


def test_an_address_that_is_not_there_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("First `POST /consents/<id>/withdrawal`, then `POST /consents/{consent}/regret?now=true`.", "utf-8")
    assert list(unknown_on(page)) == ["POST /consents/{consent}/regret"]


def unknown_on(page: Path) -> Iterable[str]:
    """What no service answers; where a parameter stands in ours, a page may have a placeholder or an example."""
    for method, path in NAMED.findall(page.read_text("utf-8")):
        if (method, path) not in ABOUT_ITSELF and not any(ours.fullmatch(f"{method} {path}") for ours in there()):
            yield f"{method} {path}"


@cache
def there() -> list[re.Pattern[str]]:
    every = [*operators(), *(route for service in Service for route in routes(service))]
    return [re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(f"{route.method} {route.path}"))) for route in every]
