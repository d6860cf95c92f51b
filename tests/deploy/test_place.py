"""As root PostgreSQL runs as somebody else, who can reach what it needs and nothing more."""

import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    place.erase(tmp_path / "data")


def test_the_same_folder_has_the_same_place_and_another_one_another(folder: Path) -> None:
    assert place.choose(folder) == place.choose(folder)
    assert place.choose(folder).data != place.choose(folder / "other").data
    place.erase(folder / "other")


@as_root
def test_the_data_belongs_to_the_one_who_runs_the_server_and_only_to_him(folder: Path) -> None:
    chosen = place.choose(folder)
    found = chosen.new_part().stat()
    assert chosen.user is not None
    assert found.st_uid == pwd.getpwnam(chosen.user).pw_uid != 0
    assert stat.S_IMODE(found.st_mode) == 0o700


@as_root
def test_programs_that_others_cannot_reach_are_copied_to_where_they_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_passable", lambda _: False)
    programs = place.choose(folder).programs
    assert programs.is_relative_to(place.OUTSIDE)
    assert all(each.stat().st_mode & 0o001 for each in (programs / "postgres", *programs.parents))


@as_root
def test_a_place_that_somebody_else_has_made_is_refused(folder: Path) -> None:
    outside = place.choose(folder).data.parent
    os.chown(outside, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(RuntimeError, match="belongs to somebody else"):
        place.choose(folder)


@as_root
def test_what_a_folder_deleted_by_hand_has_left_behind_is_thrown_away(folder: Path) -> None:
    left = place.choose(folder).new_part()
    assert place.choose(folder).part.exists()
    shutil.rmtree(folder)
    place.choose(folder)
    assert not left.exists()


def test_erasing_leaves_nothing(folder: Path) -> None:
    part = place.choose(folder).new_part()
    place.erase(folder)
    assert not part.exists()
    assert not folder.exists()
