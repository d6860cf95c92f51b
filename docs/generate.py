"""Writes every document that is made from code; `--check` says which of them are out of date instead.

`python -m docs.generate` writes, `python -m docs.generate --check` ends with 1 if a file on disk differs, is missing,
or lies in a generated folder without anybody generating it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from contracts.codes import Service
from contracts.registry import EVENTS
from deploy import matrix_page
from deploy.installation import read_alliance
from docs import asyncapi, event_catalogue, law, openapi, reference, who_reads_what
from docs.blocks import filled
from docs.picture import picture

ROOT: Final = Path(__file__).parent.parent

Make = Callable[[], str]

# From path (below the root) to the function that returns the whole text.
GENERATED: Final[Mapping[str, Make]] = MappingProxyType(
    {
        "contracts/generated/catalogue.md": event_catalogue.catalogue,
        **{f"contracts/generated/schemas/{of}.json": partial(event_catalogue.schema, EVENTS[of]) for of in EVENTS},
        **{f"contracts/generated/asyncapi/{service}.json": partial(asyncapi.document, service) for service in Service},
        **{f"contracts/generated/openapi/{service}.json": partial(openapi.document, service) for service in Service},
        "docs/reference/events.md": reference.events_page,
        "docs/reference/law.md": law.page,
        "docs/reference/matrices.md": reference.matrices_page,
        "docs/reference/metrics.md": reference.metrics_page,
        "docs/reference/problems.md": reference.problems_page,
        "docs/reference/settings.md": reference.settings_page,
        "docs/reference/statutory-bases.md": lambda: matrix_page.page(read_alliance(who_reads_what.EXAMPLE)),
        "docs/reference/who-reads-what.md": who_reads_what.page,
    }
)
# In these folders nothing else may lie.
FOLDERS: Final = ("contracts/generated", "docs/reference")

# Documents that people write, with the blocks in them that are made from code.
BLOCKS: Final[Mapping[str, Mapping[str, Make]]] = MappingProxyType(
    {
        "README.md": {"picture": picture},
        **{
            f"services/{service}/README.md": {
                "diagram": partial(reference.diagram, service),
                "hears": partial(reference.hears, service),
                "problems": partial(reference.problems, service),
            }
            for service in Service
        },
    }
)


def wanted(root: Path = ROOT) -> dict[str, str]:
    """Every document as it must be, by its path.

    FileNotFoundError for one that people have yet to write, ValueError for one without its marks.
    """
    whole = {path: text() for path, text in GENERATED.items()}
    return whole | {path: filled(path, (root / path).read_text("utf-8"), blocks) for path, blocks in BLOCKS.items()}


def out_of_date(root: Path = ROOT) -> list[str]:
    """The paths whose file differs from what would be generated, is missing, or is left over; sorted."""
    return _out_of_date(root, wanted(root))


def write(root: Path = ROOT) -> list[str]:
    """Make disk and code agree, and return the paths that were touched."""
    texts = wanted(root)
    touched = _out_of_date(root, texts)
    for path in touched:
        if path in texts:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(texts[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return touched


def _out_of_date(root: Path, texts: Mapping[str, str]) -> list[str]:
    differing = {path for path, text in texts.items() if _read(root / path) != text}
    lying = {
        file.relative_to(root).as_posix() for folder in FOLDERS for file in (root / folder).rglob("*") if file.is_file()
    }
    return sorted(differing | (lying - texts.keys()))


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if something is out of date")
    check = parser.parse_args().check
    paths = out_of_date() if check else write()
    for path in paths:
        sys.stdout.write(f"{'out of date' if check else 'written'}: {path}\n")
    return 1 if check and paths else 0


if __name__ == "__main__":
    sys.exit(main())
