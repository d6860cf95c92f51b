"""What an image would contain, laid out in a folder: the Dockerfile's own words, carried out without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


def stage(name: str) -> list[str]:
    """The instructions of a stage, each on one line."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text("utf-8"))
    (found,) = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in str(found).splitlines() if line.strip() and not line.startswith("#")]


def environment(name: str, service: str) -> dict[str, str]:
    """What the image says to its process, but for where its Python is."""
    words = " ".join(line.removeprefix("ENV ") for line in stage(name) if line.startswith("ENV "))
    said = dict(word.split("=", 1) for word in words.replace("${SERVICE}", service).split())
    return {key: value for key, value in said.items() if key != "PATH"}


def lay_out(folder: Path, service: str) -> Path:
    """The files of the service's image as its COPY lines say, and the libraries of its list beside them."""
    for line in stage("service"):
        if line.startswith("COPY ") and "--from" not in line:
            *sources, target = line.replace("${SERVICE}", service).split()[1:]
            for source in sources:
                for found in _matching(source):
                    _copy(found, folder / target, whole=len(sources) == 1 and not target.endswith("/"))
    libraries = folder.parent / f"{folder.name}-libraries"
    libraries.mkdir()
    for name in _listed():
        _link(distribution(name), libraries)
    done = python(folder, "-m", "deploy.container", "metadata", str(libraries))
    assert done.returncode == 0, done.stderr
    return libraries


def python(folder: Path, *arguments: str, said: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python as the image would: its files, its libraries, nothing else that is installed here."""
    argv, known = command(folder, *arguments)
    return subprocess.run(  # noqa: S603  # our own Python and words of our own
        argv, cwd=folder, env=known | dict(said or {}), capture_output=True, text=True, check=False
    )


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of such a Python."""
    libraries = folder.parent / f"{folder.name}-libraries"
    path = f"{folder}{os.pathsep}{libraries}"
    return [sys.executable, "-S", *arguments], {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}


def _matching(source: str) -> Iterator[Path]:
    found = sorted(ROOT.glob(source))
    assert found, f"{source}: there is no such file"
    yield from found


def _copy(source: Path, target: Path, *, whole: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        return
    place = target if whole else target / source.name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _listed() -> list[str]:
    """The libraries of the list that are meant for this machine."""
    lines = (ROOT / "requirements" / "service.txt").read_text("utf-8").splitlines()
    return [line.split("==")[0] for line in lines if "==" in line and "win32" not in line.split(";")[-1]]


def _link(library: PathDistribution | object, folder: Path) -> None:
    assert isinstance(library, PathDistribution)
    for file in library.files or ():
        top = file.parts[0]
        place = folder / top
        if top not in {"..", "__pycache__"} and not place.exists():
            place.symlink_to(Path(str(library.locate_file(top))))
