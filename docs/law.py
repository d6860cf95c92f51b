"""The page for lawyers: what became of each rule, and under each paragraph rows of tables and tests.

A test quotes its norm at the beginning of its docstring: `R6, § 36 SGB I: …`, or `§ 51 BMG: …` where none of the rules
is about it. Tests are read, never imported.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict

from contracts.codes import Service
from docs import services

ROOT: Final = Path(__file__).parent.parent
RULES_FILE: Final = Path(__file__).parent / "rules.yaml"
MADE: Final = "Made from the code by `python -m docs.generate`; do not edit."
OPENING: Final = """\
Which norm stands behind which rows of tables (service, table, command or fact), and which tests hold it. First the
rules by which the law became software, with what is not built of each; then paragraph by paragraph. Research, not legal
advice: the data-protection officer of a site decides."""

QUOTED: Final = re.compile(r"((?:R\d+, )*)((?:§§?|Art\.) [^:]+): ")
CITED: Final = re.compile(r"(?P<sign>§|Art)[§.]* (?P<numbers>\d[^§:;]*?) (?P<law>SGB [IVX]+|GDPR|BGB|BMG|KKG|StGB)\b")
NUMBER: Final = re.compile(r"(?:^|, |/)(\d+[a-z]?)(?=\(|,| |$)")
LAWS: Final = ("SGB I", "SGB II", "SGB III", "SGB VIII", "SGB IX", "SGB X", "GDPR", "BGB", "BMG", "KKG", "StGB")

Paragraph = tuple[int, int, str, str]
"""Place of the law, number, letter, and how it is written: `§ 67b SGB X`."""


class Rule(BaseModel):
    """A rule by which the law became software. `open`: what of it is not built, or where it belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    norm: str
    says: str
    open: str = ""


@dataclass(frozen=True, slots=True)
class Quoting:
    """A test that quotes a norm."""

    test: str
    rules: tuple[str, ...]
    norm: str


def rules() -> list[Rule]:
    """All rules, in their order."""
    return [Rule.model_validate(each) for each in yaml.safe_load(RULES_FILE.read_text("utf-8"))]


def quoting(root: Path = ROOT) -> list[Quoting]:
    """Every test that quotes a norm, in the order of the files."""
    return [
        Quoting(f"{file.relative_to(root).as_posix()}::{name}", tuple(quoted[1].split(", ")[:-1]), quoted[2])
        for file in sorted((root / "tests").rglob("test_*.py"))
        for name, said in _said(file)
        if (quoted := QUOTED.match(said))
    ]


def misquoting(root: Path = ROOT) -> list[str]:
    """Tests whose docstring begins like a rule and cannot be read as one."""
    return [
        f"{file.relative_to(root).as_posix()}::{name}"
        for file in sorted((root / "tests").rglob("test_*.py"))
        for name, said in _said(file)
        if re.match(r"R\d+\b", said) and not ((quoted := QUOTED.match(said)) and paragraphs(quoted[2]))
    ]


@cache
def _said(file: Path) -> tuple[tuple[str, str], ...]:
    """The tests of a file, each with what it says of itself."""
    return tuple(
        (node.name, ast.get_docstring(node) or "")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def paragraphs(text: str) -> list[Paragraph]:
    """Every paragraph that is cited, each once; subsections are left to the text."""
    found = []
    for cited in CITED.finditer(text):
        law, sign = cited["law"], "§" if cited["sign"] == "§" else "Art."
        for number in NUMBER.findall(cited["numbers"]):
            digits = re.match(r"\d+", number)
            place = int(digits[0]) if digits else 0
            found.append((LAWS.index(law), place, number, f"{sign} {number} {law}"))
    return list(dict.fromkeys(found))


def rows() -> Iterator[tuple[str, str]]:
    """(because, row) of every row of every table that cites a norm."""
    for service in Service:
        for name, table in services.tables(service).items():
            for row in table.rows:
                if "§" in row.because or "Art." in row.because:
                    yield row.because, f"{service} {name}: {row.on.__name__}"


# --- the page ---------------------------------------------------------------------------------------------------------


def page() -> str:
    """The whole page."""
    tests = quoting()
    chapters = [_rules(tests), "## Paragraphs", *_paragraphs(tests)]
    return "\n\n".join(["# Law", MADE, OPENING, *chapters]) + "\n"


def _rules(tests: Sequence[Quoting]) -> str:
    counted = {each.rule: sum(each.rule in one.rules for one in tests) for each in rules()}
    lines = [
        f"| {each.rule} | {each.norm} | {each.says} | {counted[each.rule] or '–'} | {each.open or '–'} |"
        for each in rules()
    ]
    heads = ["## Rules", "", "| rule | norm | in the software | tests | not built |", "|---|---|---|---|---|"]
    return "\n".join([*heads, *lines])


def _paragraphs(tests: Sequence[Quoting]) -> Iterator[str]:
    of_rows = _by_paragraph(rows())
    of_tests = _by_paragraph((one.norm, _named(one)) for one in tests)
    for paragraph in sorted(of_rows.keys() | of_tests.keys()):
        lines = [f"### {paragraph[-1]}", ""]
        lines += [f"* {because} – {', '.join(dict.fromkeys(each))}" for because, each in of_rows[paragraph].items()]
        lines += [f"* {name}" for named in of_tests[paragraph].values() for name in named]
        yield "\n".join(lines)


def _named(one: Quoting) -> str:
    return f"`{one.test}`" + (f" ({', '.join(one.rules)})" if one.rules else "")


def _by_paragraph(cited: Iterable[tuple[str, str]]) -> Mapping[Paragraph, Mapping[str, list[str]]]:
    """By paragraph and by the words in which it is cited."""
    found: dict[Paragraph, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for words, what in cited:
        for paragraph in paragraphs(words):
            found[paragraph][words].append(what)
    return found
