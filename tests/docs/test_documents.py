"""Documents lead somewhere, and decisions have their shape."""

import re
from pathlib import Path
from pkgutil import iter_modules

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    file
    for folder in (
        "", "chassis", "contracts", "deploy/alliances", "docs/**", "services/*", "tests/models", "tests/simulation",
    )
    for file in ROOT.glob(f"{folder}/*.md".lstrip("/"))
)
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8"))
    assert not [to for to in targets if "://" not in to and not (document.parent / to).exists()]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [file.name[:4] for file in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda file: file.stem)
def test_a_decision_says_what_would_change_our_mind(decision: Path) -> None:
    text = decision.read_text("utf-8")
    chapters = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert text.startswith(f"# {decision.name[:4]} ")
    assert chapters == ["Context", "Decision", "Consequences", "What would change our mind"]


def test_the_chassis_has_the_modules_its_readme_lists_and_no_others() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "chassis/README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(module.name for module in iter_modules([str(ROOT / "chassis")]))


def test_make_lists_every_verb_with_a_sentence() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    declared = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split()
    assert re.findall(r"^([a-z]+):.*## [A-Z].+\.$", makefile, re.MULTILINE) == declared


def test_the_version_is_the_same_wherever_it_stands() -> None:
    project = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert [yaml.safe_load((ROOT / "publiccode.yml").read_text("utf-8"))["softwareVersion"]] == project


def test_no_lock_file_names_a_registry() -> None:
    assert not [file.name for file in (ROOT / "requirements").glob("*.txt") if "://" in file.read_text("utf-8")]
    assert '"resolved"' not in (ROOT / "tests/browser/package-lock.json").read_text("utf-8")
