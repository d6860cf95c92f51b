"""Generated documents are current, and what is out of date is noticed."""

from pathlib import Path

import pytest

from contracts.registry import EVENTS
from docs.blocks import END, filled, mark
from docs.generate import BLOCKS, GENERATED, ROOT, out_of_date, wanted, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of what people have written, with everything generated beside it."""
    for path in BLOCKS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text("utf-8"), encoding="utf-8")
    write(tmp_path)
    return tmp_path


def test_every_generated_document_is_current() -> None:
    assert out_of_date() == []


def test_a_missing_an_edited_and_a_left_over_file_are_noticed_and_put_right(root: Path) -> None:
    assert out_of_date(root) == []
    missing, edited, left_over = [root / "contracts/generated" / name for name in ("catalogue.md", "schemas", "x")]
    edited = edited / f"{next(iter(EVENTS))}.json"
    missing.unlink()
    edited.write_text("{}", encoding="utf-8")
    left_over.write_text("", encoding="utf-8")
    expected = sorted(path.relative_to(root).as_posix() for path in (missing, edited, left_over))
    assert out_of_date(root) == expected
    assert write(root) == expected
    assert out_of_date(root) == []


def test_an_edited_block_is_noticed_and_put_right_and_the_words_around_it_stay(root: Path) -> None:
    readme = root / "README.md"
    before = readme.read_text("utf-8")
    readme.write_text(before.replace(mark("picture"), f"More words.\n{mark('picture')}\nand a lie"), encoding="utf-8")
    assert write(root) == ["README.md"]
    assert readme.read_text("utf-8") == before.replace(mark("picture"), f"More words.\n{mark('picture')}")


@pytest.mark.parametrize("text", ["", mark("x"), f"{mark('x')}\n{END}\n{mark('x')}\n{END}"])
def test_a_block_that_is_not_there_exactly_once_is_no_silent_success(text: str) -> None:
    with pytest.raises(ValueError, match="once"):
        filled("x.md", text, {"x": lambda: "content"})


def test_the_catalogue_names_every_event() -> None:
    text = GENERATED["contracts/generated/catalogue.md"]()
    assert all(f"`{name}`" in text for name in EVENTS)


def test_every_event_says_by_whom_it_is_heard() -> None:
    text = wanted()["docs/reference/events.md"]
    assert all(f"| `{name}` |" in text for name in EVENTS)
