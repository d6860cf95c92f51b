"""Where Alembic begins."""

from chassis.database import run_migrations
from services.handover.store import metadata

run_migrations(metadata)
