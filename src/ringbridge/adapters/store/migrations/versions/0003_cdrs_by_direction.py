"""An index for a domain's calls of one direction: without it, a list of what never happened read the whole domain."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("cdrs_by_direction", "cdrs", ["domain", "direction", "started_at", "id", "seconds"])
