"""Freezes the events of a release, and holds the present ones against all that were ever frozen.

`python -m docs.release` writes `contracts/released/<version>/` for the version in pyproject.toml; `--check` changes
nothing and ends with 1 where an event of today would break somebody who knows an older release. A folder that is there
is never written again; `--again` does so for a version that nobody has been given yet.
"""

import argparse
import json
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from contracts.events import Event
from contracts.registry import EVENTS
from docs.asyncapi import ADDRESS
from docs.compatibility import Schema, Told, changes
from docs.event_catalogue import schema

ROOT: Final = Path(__file__).parent.parent
RELEASED: Final = ROOT / "contracts" / "released"
EXAMPLES: Final = ROOT / "contracts" / "examples"
LIST: Final = "events.json"


class ReleaseError(RuntimeError):
    """Its text says what stands in the way of a release."""


def version() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def present() -> dict[str, Told]:
    """The events as the code has them."""
    return {
        name: Told(
            owner=str(event.owner),
            topic=ADDRESS[event.topic].format(service=event.owner),
            subject=str(event.subject_kind),
            key=event.key_field,
            schema=json.loads(schema(event)),
        )
        for name, event in EVENTS.items()
    }


def versions(released: Path = RELEASED) -> list[str]:
    """All that are frozen, in the order of their numbers."""
    return sorted((folder.name for folder in released.iterdir() if folder.is_dir()), key=_numbers)


def read(version: str, released: Path = RELEASED) -> dict[str, Told]:
    """The events of a release. ReleaseError where a file of it is not as it was frozen."""
    folder = released / version
    listed: dict[str, dict[str, str]] = json.loads((folder / LIST).read_text("utf-8"))
    known = {LIST, *(f"{kind}/{name}.json" for name in listed for kind in ("schemas", "examples"))}
    lying = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    if known != lying:
        raise ReleaseError(f"{version}: has other files than were frozen: {', '.join(sorted(known ^ lying))}")
    for name, said in listed.items():
        for kind in ("schemas", "examples"):
            if _hash(folder / kind / f"{name}.json") != said[kind]:
                raise ReleaseError(f"{version}: {kind}/{name}.json is not as it was frozen")
    return {name: _told(said, folder / "schemas" / f"{name}.json") for name, said in listed.items()}


def _told(said: Mapping[str, str], file: Path) -> Told:
    found: Schema = json.loads(file.read_text("utf-8"))
    return Told(said["owner"], said["topic"], said["subject"], said["key"], found)


def goldens(released: Path = RELEASED) -> Iterable[tuple[str, type[Event], bytes]]:
    """Every event as every release told it: version, class of today, body."""
    for each in versions(released):
        for name in read(each, released):
            yield each, EVENTS[name], (released / each / "examples" / f"{name}.json").read_bytes()


def broken(now: Mapping[str, Told], released: Path = RELEASED) -> list[str]:
    """What any release says of these events, each in one sentence that begins with its version."""
    return [f"{each}: {said}" for each in versions(released) for said in changes(read(each, released), now)]


def freeze(version: str, released: Path = RELEASED, *, again: bool = False) -> Path:
    """Write the folder of that version. ReleaseError where it is there, or where the events break an older one."""
    folder = released / version
    if folder.exists() and not again:
        raise ReleaseError(f"{version} is frozen; give the project another version, or say --again if nobody has it")
    released.mkdir(parents=True, exist_ok=True)
    older = [each for each in versions(released) if each != version]
    if found := [f"{each}: {said}" for each in older for said in changes(read(each, released), present())]:
        raise ReleaseError("\n".join(found))
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("schemas", "examples"):
        (folder / kind).mkdir(parents=True)
    listed: dict[str, Any] = {}
    for name, told in present().items():
        (folder / "schemas" / f"{name}.json").write_text(schema(EVENTS[name]), encoding="utf-8")
        shutil.copyfile(EXAMPLES / f"{name}.json", folder / "examples" / f"{name}.json")
        hashes = {kind: _hash(folder / kind / f"{name}.json") for kind in ("schemas", "examples")}
        listed[name] = {**told._asdict(), **hashes}
        del listed[name]["schema"]
    (folder / LIST).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    return folder


def _hash(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if a release would be broken")
    parser.add_argument("--again", action="store_true", help="replace the folder of a version that nobody has yet")
    asked = parser.parse_args()
    try:
        if asked.check:
            found = broken(present())
        else:
            folder, found = freeze(version(), again=asked.again), []
            sys.stdout.write(f"frozen: {folder.relative_to(ROOT)}\n")
    except ReleaseError as error:
        found = [str(error)]
    for said in found:
        sys.stdout.write(f"{said}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
