"""Codes are closed lists with a label each, and the handover's agree with its protocol."""

import re
from enum import Enum

import pytest

from contracts import codes
from contracts.codes import END_STATES, PERMITTING_REASONS, SENSITIVE_NEEDS, HandoverState, Need
from contracts.labels import LABELS, label

LISTS = [thing for thing in vars(codes).values() if isinstance(thing, type) and thing.__module__ == codes.__name__]


@pytest.mark.parametrize("list_", LISTS)
def test_every_code_has_a_german_label_and_no_label_is_left_over(list_: type[Enum]) -> None:
    assert {code.value for code in list_} == set(LABELS[list_])
    assert all(label(code).strip() == label(code) != "" for code in list_)


def test_no_list_of_labels_is_left_over() -> None:
    assert set(LABELS) == set(LISTS)


@pytest.mark.parametrize("list_", LISTS)
def test_every_code_is_safe_in_a_header_a_log_and_a_column(list_: type[Enum]) -> None:
    # One list is not ours: HSDS writes its "temporarily closed" with a space.
    allowed = r"[A-Za-z0-9_]+" if list_ is not codes.OfferStatus else r"[a-z ]+"
    assert all(re.fullmatch(allowed, str(code.value)) for code in list_)


def test_health_addiction_offences_and_the_like_are_sensitive() -> None:
    named = {"health", "psychosocial", "addiction", "disability", "residence_status", "offences", "violence"}
    assert {need.value for need in SENSITIVE_NEEDS} == named | {"child_protection"}
    assert len(Need) == 24


def test_the_ten_ends_are_states_and_the_reasons_that_permit_are_reasons() -> None:
    assert len(END_STATES) == 10
    assert set(HandoverState) > END_STATES
    assert set(codes.DecisionReason) > PERMITTING_REASONS
