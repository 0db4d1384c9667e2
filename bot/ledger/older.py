"""Read an SQLite ledger of an older schema without changing it."""

import sqlite3
from typing import Any, Final

from sqlalchemy import Engine, event

_SINCE_0002: Final = (
    """CREATE TEMP VIEW account_limits AS
    SELECT account, 0.0 AS min_amount, 0.0 AS min_cost, 0.0 AS amount_step FROM main.accounts WHERE 0""",
)
_SINCE_0001: Final = (
    "CREATE TEMP VIEW decisions AS SELECT *, 1 AS chain_version FROM main.decisions",
    "CREATE TEMP VIEW ledger_info AS SELECT 1 AS id, NULL AS practice",
    *_SINCE_0002,
)
ADDED_SINCE: Final = {"0001": _SINCE_0001, "0002": _SINCE_0002}
"""By revision, views that show what was added later."""


def show_as_current(engine: Engine, revision: str) -> None:
    """Put what was added since in front of the old tables, in the temporary schema of each connection of a reader."""

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        for view in ADDED_SINCE[revision]:
            connection.execute(view)

    engine.dispose()
