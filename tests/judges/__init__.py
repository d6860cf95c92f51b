"""Schemas by those who own the formats we write."""

import gzip
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator

HERE = Path(__file__).parent


def judge(name: str) -> Draft7Validator:
    """The schema of that name; AssertionError where it is not the one the README tells of."""
    packed = gzip.decompress((HERE / f"{name}.json.gz").read_bytes())
    told = [line for line in (HERE / "README.md").read_text("utf-8").splitlines() if f"`{name}.json.gz`" in line]
    assert len(told) == 1
    assert f"`{sha256(packed).hexdigest()}`" in told[0]
    return Draft7Validator(json.loads(packed))


def written_here(name: str) -> Draft202012Validator:
    """The schema of that name that we wrote from published lists of fields; see the README."""
    schema = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def wrong(by: Draft7Validator | Draft202012Validator, document: Any) -> list[str]:
    """What that judge finds wrong, as places in the document."""
    return [f"{error.json_path}: {error.validator}" for error in by.iter_errors(document)]
