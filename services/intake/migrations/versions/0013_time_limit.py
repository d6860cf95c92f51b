"""Finds what was received on § 31a SGB III alone, which may be kept for six months."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ALONE = "bases <@ ARRAY['sgb_iii_31a'] AND bases <> '{}'"


def upgrade() -> None:
    """An index and no deadlines: a service that runs beside this one does not know them, and stores without them."""
    op.create_index("item_time_limit", "item", ["case"], postgresql_where=sa.text(ALONE))
