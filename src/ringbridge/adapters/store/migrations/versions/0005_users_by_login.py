"""Users are found by their `login-username`: that is their `parent` now, which only reading them again can fill."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, and have the replica read the directory again from the beginning: that changes nothing else."""
    is_login_name = sa.text("kind = 'user' AND parent <> ''")
    op.create_index("users_by_login", "records", ["parent"], sqlite_where=is_login_name, postgresql_where=is_login_name)
    offsets = sa.table("offsets", sa.column("stream", sa.Text))
    op.execute(offsets.delete().where(offsets.c.stream == "KV_directory"))
