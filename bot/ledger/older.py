"""Read an SQLite ledger of the first schema without changing it."""

import sqlite3
from typing import Any, Final

from sqlalchemy import Engine, event

FIRST_REVISION: Final = "0001"


def show_as_current(engine: Engine) -> None:
    """Put what 0002 added in front of the old tables, in the temporary schema of each connection of a reader."""

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("CREATE TEMP VIEW decisions AS SELECT *, 1 AS chain_version FROM main.decisions")
        connection.execute("CREATE TEMP VIEW ledger_info AS SELECT 1 AS id, NULL AS practice")

    engine.dispose()
