"""Every reason for a no is known to callers, and no problem is declared that nobody can have."""

import re
from importlib import import_module
from typing import cast

import pytest

from chassis.http import Problem
from tests.every_service.anatomy import SERVICES, folder, reasons


def problems(service: str) -> dict[str, Problem]:
    """The problems of a service, by reason."""
    return cast("dict[str, Problem]", import_module(f"services.{service}.problems").PROBLEMS)


@pytest.mark.parametrize("service", SERVICES)
def test_every_reason_has_a_problem_and_every_problem_a_reason(service: str) -> None:
    assert set(problems(service)) == set(reasons(service))


@pytest.mark.parametrize("service", SERVICES)
def test_every_reason_is_given_somewhere(service: str) -> None:
    said = "".join(
        file.read_text("utf-8") for file in folder(service).rglob("*.py") if file.name != "problems.py"
    )
    unused = [reason.name for reason in reasons(service) if not re.search(rf"\b(Reason|R)\.{reason.name}\b", said)]
    assert unused == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_reason_is_a_word_that_fits_into_an_address(service: str) -> None:
    assert [reason for reason in reasons(service) if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", reason)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_problem_is_the_callers_or_the_moments_never_a_bug(service: str) -> None:
    assert {int(problem.status) for problem in problems(service).values()} <= {403, 404, 409, 410, 413, 422, 429, 503}


@pytest.mark.parametrize("service", SERVICES)
def test_a_title_is_a_sentence_of_its_own(service: str) -> None:
    titles = [problem.title for problem in problems(service).values()]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if not re.fullmatch(r"[A-Z].*\.", title)] == []
