"""Bringing an older ledger up to date, with Alembic."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(connection: Connection, scripts: Path = MIGRATIONS) -> None:
    """Run every migration that the ledger lacks, in the transaction of `connection`."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
