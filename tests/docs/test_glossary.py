"""The glossary knows every word of the code, and no word twice."""

from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from docs import words
from docs.glossary_table import cells, chapters


@pytest.mark.parametrize(
    ("chapter", "of_the_code"),
    [
        ("States", words.states),
        ("Commands", words.commands),
        ("Events", words.events),
        ("Reasons", words.reasons),
    ],
)
def test_every_word_of_the_code_is_in_the_glossary(chapter: str, of_the_code: Callable[[], Mapping[str, str]]) -> None:
    missing = set(of_the_code()) - set(chapters()[chapter])
    assert not missing, f"give them a row in docs/glossary.md, {chapter}: {sorted(missing)}"


@pytest.mark.parametrize(
    ("chapter", "of_the_code"),
    [
        ("States", words.states),
        ("Commands", words.commands),
        ("Events", words.events),
        ("Reasons", words.reasons),
    ],
)
def test_the_glossary_lists_nothing_the_code_no_longer_has(
    chapter: str, of_the_code: Callable[[], Mapping[str, str]]
) -> None:
    left_over = set(chapters()[chapter]) - set(of_the_code())
    assert not left_over, f"no longer in the code, so no longer in docs/glossary.md: {sorted(left_over)}"


def test_no_word_has_two_rows_in_a_chapter() -> None:
    counted = {chapter: Counter(listed) for chapter, listed in chapters().items()}
    twice = {chapter: [word for word, times in words_.items() if times > 1] for chapter, words_ in counted.items()}
    assert not any(twice.values()), twice


def test_every_row_has_a_meaning_and_a_german_word_or_a_dash() -> None:
    assert all(len(row) == 4 and row[1] and row[2] for row in cells())
