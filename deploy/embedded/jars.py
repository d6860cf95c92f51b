"""Fetch the jars of Apache Kafka, every one of them checked against our own list of hashes.

`python -m deploy.embedded.jars` writes the list anew after a change of the version.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jgo
from jgo.config import GlobalSettings
from jgo.maven import Artifact, MavenContext
from requests import RequestException
from rich.console import Console
from rich.progress import Progress

from deploy.mistakes import MistakeError

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
# Without a binding for slf4j the broker is mute. The "!" keeps its version management from overriding Kafka's:
# without it kafka-clients comes as 3.9.1 and the broker dies with NoSuchMethodError.
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!"
LIST = Path(__file__).with_name("jars.txt")
FETCHES_AT_ONCE = 8  # the jars are small: the time goes into round trips


class JarsUnavailableError(MistakeError):
    """The jars could neither be found on this machine nor fetched."""


class JarBrokenError(MistakeError):
    """A jar is not the one of our list, not even after it was fetched anew."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the list."""

    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} {self.sha256}"


def listed() -> tuple[Jar, ...]:
    """The jars we run, as committed."""
    return tuple(_parse(line) for line in LIST.read_text().splitlines() if line)


def provide(console: Console | None = None) -> tuple[Path, ...]:
    """Return the paths of all jars, in the order of the list; fetch what is missing or broken, and show that.

    Raises JarsUnavailableError (no network and not all here) or JarBrokenError.
    """
    context = MavenContext(repo_cache=GlobalSettings.load().repo_cache)
    jars = {jar: _artifact(context, jar) for jar in listed()}
    missing = [jar for jar, artifact in jars.items() if not _is_sound(_place(artifact), jar)]
    if missing:
        with _alone(context.repo_cache), _shown(console, len(missing)) as advance:
            _fetch_all({jar: jars[jar] for jar in missing}, advance)
    return tuple(_place(artifact) for artifact in jars.values())


def regenerate() -> int:
    """Resolve Kafka and what it needs anew, write the list, and return how many jars there are."""
    found = jgo.build(f"{KAFKA}+{LOGGING}", update=True)
    lock = found.lockfile
    if lock is None:
        raise JarsUnavailableError("jgo has left no lock file to read the versions from")
    context = MavenContext(repo_cache=GlobalSettings.load().repo_cache)
    jars = []
    for one in lock.dependencies:
        place = _place(context.project(one.groupId, one.artifactId).at_version(one.version).artifact())
        jars.append(Jar(one.groupId, one.artifactId, one.version, _sha256(place)))
    LIST.write_text("".join(f"{jar}\n" for jar in jars))
    return len(jars)


def _parse(line: str) -> Jar:
    coordinates, sha256 = line.split()
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)


def _artifact(context: MavenContext, jar: Jar) -> Artifact:
    return context.project(jar.group, jar.artifact).at_version(jar.version).artifact()


def _place(artifact: Artifact) -> Path:
    path = artifact.cached_path
    if path is None:
        raise JarsUnavailableError("jgo knows no folder to keep jars in")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_sound(path: Path, jar: Jar) -> bool:
    return path.exists() and _sha256(path) == jar.sha256


def _fetch_all(jars: dict[Jar, Artifact], advance: Callable[[], None]) -> None:
    with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
        for _ in pool.map(lambda item: _fetch(*item), jars.items()):
            advance()


def _fetch(jar: Jar, artifact: Artifact) -> None:
    """Fetch one jar; a first wrong one (an interrupted download leaves half a file) is thrown away."""
    path = _place(artifact)
    for _ in range(2):
        if _is_sound(path, jar):
            return
        path.unlink(missing_ok=True)
        _download(artifact)
    if not _is_sound(path, jar):
        path.unlink(missing_ok=True)
        raise JarBrokenError(f"{jar.artifact} {jar.version} was fetched twice and is not the file of our list")


def _download(artifact: Artifact) -> None:
    try:
        artifact.resolve()
    except (RequestException, RuntimeError) as fault:  # RuntimeError: jgo heard something else than 200
        raise JarsUnavailableError(
            f"Kafka is not on this machine yet and {artifact.filename} could not be fetched ({type(fault).__name__}). "
            "The first start needs the network once, for about 45 MB; later ones do not."
        ) from fault


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process fetch at a time: two would write the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".staffel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _shown(console: Console | None, total: int) -> Iterator[Callable[[], None]]:
    with Progress(console=console or Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Fetching Apache Kafka (first start only)", total=total)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    Console().print(f"{regenerate()} jars listed in {LIST.name}")
