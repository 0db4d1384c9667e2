"""The first schema. A fresh ledger is made from `bot.ledger.tables` as it is now and marked with the newest revision;
a later revision alters what stands, and starts from here.
"""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: no ledger is older than this."""
