"""Directory lists by key, by field and by count.

The records are made anew, as the store is a copy of the bus: the replica fills them again from the beginning of the
directory, as its offset is gone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, and let the replica fill them."""
    op.drop_table("records")
    op.create_table(
        "records",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("key", BYTEWISE, primary_key=True),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("records_listed", "records", ["kind", "domain", "parent", "key"])
    op.create_table(
        "record_terms",
        sa.Column("kind", sa.Text),
        sa.Column("field", sa.Text),
        sa.Column("value", BYTEWISE),
        sa.Column("domain", sa.Text),
        sa.Column("key", BYTEWISE),
        sa.PrimaryKeyConstraint("kind", "field", "value", "domain", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "record_counts",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("domain", sa.Text, primary_key=True),
        sa.Column("total", sa.BigInteger, nullable=False),
    )
    op.execute("DELETE FROM offsets WHERE stream = 'KV_directory'")
