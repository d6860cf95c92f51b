"""Each planted bug is caught, by the test that is named for it; in a copy, never in the tree one works in.

All runs work on one PostgreSQL and one Kafka, with databases and topics of their own. Without a bug the tests pass
before all bugs and after all bugs: so what fails between fails by its bug, and by nothing that the others left behind.
"""

from __future__ import annotations

import compileall
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from deploy.embedded.cluster import Addresses
from tests.conftest import LENT, Say
from tests.mutants.planted import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("chassis", "contracts", "deploy", "docs", "services", "tests", "benchmarks", "pyproject.toml", "README.md")
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
HOW = re.compile(r"^E +(.+)$", re.MULTILINE)
NO_PROGRAM = re.compile(r"\b(SyntaxError|ImportError|NameError|UnboundLocalError|AttributeError|TypeError)\b")
"""What Python says of a change that makes no sense: a test that stumbles over that has caught no bug."""
SECONDS_MAX = 300  # one mutant's tests, Kafka and PostgreSQL included
TESTS_FAILED = 1  # pytest's own exit code; anything else is no verdict


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_changes_exactly_one_place_for_each_change(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    for old, new in mutant.changes:
        assert source.count(old) == 1, f"{mutant.file} has moved: {old!r}"
        assert old != new


def test_there_are_fifteen_at_least_and_no_two_alike() -> None:
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS) >= 15


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, embedded: Addresses) -> Iterator[Path]:
    """A copy of everything the tests import, which Python finds first, and where they find Kafka and PostgreSQL."""
    copy = tmp_path_factory.mktemp("mutants")
    (copy / LENT).write_bytes(pickle.dumps(embedded))
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy / name)
    # Compiled once for all runs; by its hash Python sees the file that has changed.
    compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    yield copy
    shutil.rmtree(copy)


def _run(tree: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**ours, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", LENT: str(tree / LENT)}
    return subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests], cwd=tree, env=environment,
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip


def _planted(tree: Path, mutant: Mutant) -> str:
    """Write the bug; what the file was before."""
    file = tree / mutant.file
    before = source = file.read_text()
    for old, new in mutant.changes:
        source = source.replace(old, new)
    file.write_text(source)
    return before


@pytest.mark.prove
@pytest.mark.timeout(SECONDS_MAX * len(MUTANTS))
def test_every_mutant_is_caught_and_nothing_else_is(tree: Path, say: Say) -> None:
    assert list(_survivors(tree, say)) == []


def _survivors(tree: Path, say: Say) -> Iterator[str]:
    _pass_without_a_bug(tree)
    say(f"{'planted':<68}{'seconds':>8}  caught by")
    for mutant in MUTANTS:
        before, began = _planted(tree, mutant), time.monotonic()
        try:
            name, said = _caught(tree, mutant)
        finally:
            (tree / mutant.file).write_text(before)
        say(f"{mutant.what:<68}{time.monotonic() - began:>8.1f}  {name or 'NOBODY'}: {said[:60]}")
        if name is None:
            yield f"{mutant.what}: {said}"
    _pass_without_a_bug(tree)


def _pass_without_a_bug(tree: Path) -> None:
    whole = _run(tree, sorted({mutant.caught_by for mutant in MUTANTS}))
    assert whole.returncode == 0, f"the tests fail without a bug:\n{whole.stdout[-4000:]}"


def _caught(tree: Path, mutant: Mutant) -> tuple[str | None, str]:
    """The test that fails, and how; None and what pytest said where none does, or only because nothing runs."""
    found = _run(tree, [mutant.caught_by])
    failed = FAILED.search(found.stdout)
    if found.returncode != TESTS_FAILED or failed is None:
        return None, f"exit code {found.returncode}\n{found.stdout[-2000:]}{found.stderr[-1000:]}"
    if nonsense := NO_PROGRAM.search(found.stdout):
        return None, f"this is no program any more, {nonsense[0]}\n{found.stdout[-4000:]}"
    how = HOW.search(found.stdout)
    return failed[1], "" if how is None else how[1]
