"""The audit trail is narrowed by who did it, whose the record is and its name.

The entries are made anew with those terms: the replica reads them again, as its offset is gone. That changes nothing
of other records.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forget the entries, and have the replica read the directory again from the beginning."""
    for name in ("records", "record_counts"):
        table = sa.table(name, sa.column("kind", sa.Text))
        op.execute(table.delete().where(table.c.kind == "audit"))
    offsets = sa.table("offsets", sa.column("stream", sa.Text))
    op.execute(offsets.delete().where(offsets.c.stream == "KV_directory"))
