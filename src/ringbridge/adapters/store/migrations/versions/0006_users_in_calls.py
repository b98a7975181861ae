"""A user's active calls include those that they take part in.

Nobody takes part in any at first: the replica notes it when it starts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "call_users",
        sa.Column("domain", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("call_id", sa.Text),
        sa.PrimaryKeyConstraint("domain", "user", "call_id"),
        sqlite_with_rowid=False,
    )
