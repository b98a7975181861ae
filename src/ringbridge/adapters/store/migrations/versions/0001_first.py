"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "offsets",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("records_listed", "records", ["kind", "domain", "parent"])
    op.create_table(
        "locations",
        sa.Column("domain", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("contact_digest", sa.Text, primary_key=True),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("locations_expiring", "locations", ["expires_at"])
    _create_calls()
    _create_cdrs()


def _create_calls() -> None:
    op.create_table(
        "calls",
        sa.Column("domain", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("is_over", sa.Boolean, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("calls_by_session", "calls", ["session_id"])
    is_over = sa.column("is_over", sa.Boolean)
    op.create_index("calls_active", "calls", ["domain", "user"], sqlite_where=~is_over, postgresql_where=~is_over)
    op.create_index("calls_ended", "calls", ["ended_at"], sqlite_where=is_over, postgresql_where=is_over)
    op.create_table(
        "call_names",
        sa.Column("domain", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, nullable=False),
    )
    op.create_index("call_names_of", "call_names", ["domain", "call_id"])


def _create_cdrs() -> None:
    op.create_table(
        "cdrs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("dialled", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Column("talking_s", sa.Float, nullable=False),
        sa.Column("total_s", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("cdrs_by_time", "cdrs", ["started_at"])
    op.create_index("cdrs_of_domain", "cdrs", ["domain", "started_at"])
    op.create_index("cdrs_of_user", "cdrs", ["domain", "user", "started_at"])
