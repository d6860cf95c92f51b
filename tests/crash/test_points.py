"""Each crash point stands in the code once, does nothing where nobody asks, and kills where somebody does."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis import crashpoints
from tests.crash.points import MIGRATING, NOT_THERE, POINTS

ROOT = Path(__file__).parents[2]
WALK = """
import os
from chassis import crashpoints
crashpoints.arm(os.environ)
for n in range(5):
    crashpoints.reached("here.now")
    crashpoints.reached("there.then")
print("lived")
"""


def _calls() -> Iterator[str]:
    """The name at every call of `reached`, which must be written out there."""
    for package in ("chassis", "contracts", "deploy", "services"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("reached"):
                    (name,) = node.args
                    assert isinstance(name, ast.Constant), f"{file}: a point's name is written out"
                    yield str(name.value)


def test_every_point_stands_in_the_code_once_and_no_other_does() -> None:
    expected = [*(point.name for point in POINTS), MIGRATING]
    assert Counter(_calls()) == Counter(expected)
    assert not set(expected) & set(NOT_THERE)


def test_every_point_kills_three_times_at_least() -> None:
    assert [point.name for point in POINTS if len(point.victims) < 3] == []


def _walked(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", WALK], env={"PYTHONPATH": str(ROOT), **environment}, cwd=folder, capture_output=True,
        text=True, check=False,
    )


def test_without_the_variables_nothing_is_said_counted_or_killed(tmp_path: Path) -> None:
    walked = _walked(tmp_path)
    assert (walked.returncode, walked.stdout, walked.stderr) == (0, "lived\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_process_dies_at_the_pass_it_was_told_and_leaves_the_count(tmp_path: Path) -> None:
    walked = _walked(tmp_path, STAFFEL_CRASH_AT="there.then:3", STAFFEL_CRASH_FOLDER=str(tmp_path))
    assert (walked.returncode, walked.stdout) == (-signal.SIGKILL, "")
    assert "CRASH POINTS ARE ON" in walked.stderr
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes == {"here.now": 3, "there.then": 3, "there.then.killed": 1}


def test_a_process_that_only_counts_lives(tmp_path: Path) -> None:
    walked = _walked(tmp_path, STAFFEL_CRASH_FOLDER=str(tmp_path))
    assert (walked.returncode, walked.stdout) == (0, "lived\n")
    assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == {"here.now": 5, "there.then": 5}


@pytest.mark.parametrize("at", ["here.now", "here.now:", "here.now:-1", "here.now:²"])
def test_a_pass_that_is_no_number_is_refused(at: str) -> None:
    with pytest.raises(ValueError, match="STAFFEL_CRASH_AT"):
        crashpoints.arm({"STAFFEL_CRASH_AT": at})
