"""The page for lawyers: every rule is held by a test or says what is missing, and every citation is found."""

from pathlib import Path

import pytest

from docs.law import Rule, misquoting, page, paragraphs, quoting, rows, rules

ALL = [f"R{number}" for number in range(1, 25)]


def test_the_rules_are_r1_to_r24() -> None:
    assert [each.rule for each in rules()] == ALL


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.rule)
def test_every_rule_is_held_by_a_test_or_says_what_is_not_built(rule: Rule) -> None:
    held = any(rule.rule in one.rules for one in quoting())
    assert held or rule.open, f"{rule.rule}: no test quotes it and docs/rules.yaml does not say why"
    assert (rule.says == "–") is not held, "what the software is said to do is held by a test"


def test_no_test_quotes_a_rule_that_does_not_exist_or_in_a_way_that_cannot_be_read() -> None:
    assert misquoting() == []
    assert {rule for one in quoting() for rule in one.rules} <= set(ALL)


def test_every_row_that_cites_a_norm_is_found_under_its_paragraph() -> None:
    assert [because for because, _ in rows() if not paragraphs(because)] == []
    text = page()
    assert all(because in text for because, _ in rows())


@pytest.mark.parametrize(
    ("cited", "found"),
    [
        ("§ 36 SGB I: from 15 on", ["§ 36 SGB I"]),
        ("Art. 7(3), 17(1)(b), 19 GDPR: told", ["Art. 7 GDPR", "Art. 17 GDPR", "Art. 19 GDPR"]),
        ("§§ 67b, 67d SGB X: a basis", ["§ 67b SGB X", "§ 67d SGB X"]),
        ("§ 69(1) Nr. 1 SGB X; § 64(2) SGB VIII", ["§ 69 SGB X", "§ 64 SGB VIII"]),
        ("§ 67b SGB X; Art. 6, 7, 9 GDPR; § 36 SGB I",
         ["§ 67b SGB X", "Art. 6 GDPR", "Art. 7 GDPR", "Art. 9 GDPR", "§ 36 SGB I"]),
        ("§ 51 BMG", ["§ 51 BMG"]),
        ("§ 36(2) SGB I: needed; § 2 BGB", ["§ 36 SGB I", "§ 2 BGB"]),
        ("the lead moves", []),
    ],
)
def test_a_citation_is_read_as_its_paragraphs(cited: str, found: list[str]) -> None:
    assert [each[-1] for each in paragraphs(cited)] == found


def test_a_test_is_read_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        'raise RuntimeError\n\n\ndef test_a_rule() -> None:\n    """R6, R7, § 36 SGB I: held."""\n\n\n'
        'async def test_no_rule() -> None:\n    """About § 36 SGB I."""\n\n\n'
        'def test_unreadable() -> None:\n    """R6: no norm."""\n',
        "utf-8",
    )
    (one,) = quoting(tmp_path)
    assert (one.test, one.rules, one.norm) == ("tests/test_it.py::test_a_rule", ("R6", "R7"), "§ 36 SGB I")
    assert misquoting(tmp_path) == ["tests/test_it.py::test_unreadable"]


def test_a_lawyer_finds_under_a_paragraph_its_rows_and_its_tests() -> None:
    chapter = page().partition("### § 203 StGB")[2].partition("###")[0]
    assert "consent waivers: GiveWaiver" in chapter
    assert "::test_a_release_from_confidentiality_frees_a_person_and_lets_no_item_go" in chapter
