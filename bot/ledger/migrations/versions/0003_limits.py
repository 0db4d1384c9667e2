"""The exchange's limits that an account was opened with, where it keeps to them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LIMITS = ("min_amount", "min_cost", "amount_step")
_REAL: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    """Accounts that are there have none: they keep to their own minimums and trade unrounded."""
    op.create_table(
        "account_limits",
        sa.Column("account", sa.Text, nullable=False),
        *(sa.Column(name, _REAL, nullable=False) for name in _LIMITS),
        sa.PrimaryKeyConstraint("account", name="pk_account_limits"),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name="fk_account_limits_accounts"),
        *(
            sa.CheckConstraint(
                f'"{name}" >= 0 AND "{name}" <= 1.7976931348623157e308', name=f"ck_account_limits_{name}"
            )
            for name in _LIMITS
        ),
        sqlite_strict=True,
    )
