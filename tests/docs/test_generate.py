"""Generated documents are current, and what is out of date is noticed."""

from pathlib import Path

from contracts.registry import EVENTS
from docs.generate import GENERATED, out_of_date, write


def test_every_generated_document_is_current() -> None:
    assert out_of_date() == []


def test_a_missing_an_edited_and_a_left_over_file_are_noticed_and_put_right(tmp_path: Path) -> None:
    write(tmp_path)
    assert out_of_date(tmp_path) == []
    missing, edited, left_over = [tmp_path / "contracts/generated" / name for name in ("catalogue.md", "schemas", "x")]
    edited = edited / f"{next(iter(EVENTS))}.json"
    missing.unlink()
    edited.write_text("{}", encoding="utf-8")
    left_over.write_text("", encoding="utf-8")
    expected = sorted(path.relative_to(tmp_path).as_posix() for path in (missing, edited, left_over))
    assert out_of_date(tmp_path) == expected
    assert write(tmp_path) == expected
    assert out_of_date(tmp_path) == []


def test_the_catalogue_names_every_event() -> None:
    text = GENERATED["contracts/generated/catalogue.md"]()
    assert all(f"`{name}`" in text for name in EVENTS)
