"""Whether a ledger is for practice, the chain over whole weights, and an index of revisions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Rows that are there keep the first version of the chain; the practice mark is not known yet."""
    info = op.create_table(
        "ledger_info",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("practice", sa.Integer, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_info"),
        sa.CheckConstraint("id = 1", name="ck_ledger_info_id"),
        sa.CheckConstraint("practice IN (0, 1)", name="ck_ledger_info_practice"),
        sqlite_strict=True,
    )
    op.bulk_insert(info, [{"id": 1, "practice": None}])
    op.execute(
        "ALTER TABLE decisions ADD COLUMN chain_version INTEGER DEFAULT 1 NOT NULL "
        "CONSTRAINT ck_decisions_chain_version CHECK (chain_version IN (1, 2))"
    )
    op.execute("CREATE INDEX ix_events_revision ON events (detail) WHERE kind = 'revision'")
