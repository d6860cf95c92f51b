"""What this service remembers: tables, persons loaded and saved whole, leases of the door, queries of the views."""

from services.consent.store.tables import metadata

__all__ = ["metadata"]
