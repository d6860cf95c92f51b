"""The jars of Kafka are those of our list, or none."""

import shutil
from pathlib import Path

import pytest
from jgo.maven import Artifact

from deploy.embedded import jars


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own with all jars in it."""
    sound = jars.provide()
    root = Path(*sound[0].parts[: -len(Path(RELATIVE).parts)])
    for jar in sound:
        target = tmp_path / jar.relative_to(root)
        target.parent.mkdir(parents=True)
        shutil.copyfile(jar, target)
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    return tmp_path


RELATIVE = "org/apache/kafka/kafka_2.13/4.3.1/kafka_2.13-4.3.1.jar"


@pytest.fixture
def fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is fetched; the network is the good copy beside, so that this runs without one."""
    names: list[str] = []
    good = (cache / RELATIVE).read_bytes()

    def fetch(artifact: Artifact) -> None:
        names.append(artifact.filename)
        (cache / RELATIVE).write_bytes(good)

    monkeypatch.setattr(jars, "_download", fetch)
    return names


def test_the_list_names_every_jar_with_its_hash() -> None:
    listed = jars.listed()
    assert len(listed) == len({jar.artifact for jar in listed}) == 46
    assert all(len(jar.sha256) == 64 for jar in listed)


def test_the_logging_jar_does_not_override_kafka_s_own_versions() -> None:
    versions = {jar.artifact: jar.version for jar in jars.listed()}
    assert versions["kafka-clients"] == versions["kafka_2.13"] == "4.3.1"


def test_nothing_is_fetched_when_all_jars_are_there(fetched: list[str]) -> None:
    jars.provide()
    assert fetched == []


def test_a_broken_jar_is_noticed_and_fetched_anew(cache: Path, fetched: list[str]) -> None:
    with (cache / RELATIVE).open("ab") as jar:
        jar.write(b"x")
    jars.provide()
    assert fetched == ["kafka_2.13-4.3.1.jar"]


def test_a_jar_that_stays_broken_is_refused_and_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / RELATIVE).write_bytes(b"half a ja")
    monkeypatch.setattr(jars, "_download", lambda _: (cache / RELATIVE).write_bytes(b"something else"))
    with pytest.raises(jars.JarBrokenError, match=r"kafka_2\.13"):
        jars.provide()
    assert not (cache / RELATIVE).exists()


def test_without_network_it_says_what_is_missing_and_that_it_is_needed_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / RELATIVE).unlink()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(jars.JarsUnavailableError, match="needs the network once"):
        jars.provide()
