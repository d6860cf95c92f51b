"""The consent service as its own tests have it."""

from tests.consent.conftest import consenting, said

__all__ = ["consenting", "said"]
