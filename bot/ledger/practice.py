"""Practice and reality: a ledger made on a simulated clock is for practice, for good."""

from sqlalchemy import Connection, func, select, update

from bot.clock import utc
from bot.errors import UsageError
from bot.ledger import tables


def read_practice(connection: Connection) -> bool | None:
    """Whether the ledger is for practice, None where no `run` or `replay` has marked it yet."""
    mark = connection.execute(select(tables.ledger_info.c.practice)).scalar_one_or_none()
    return None if mark is None else bool(mark)


def mark_practice(connection: Connection, practice: bool, now: float) -> None:  # noqa: FBT001 - the mark itself
    """Mark the ledger as one for practice or a real one, where it has no mark yet. Raises as `check_practice`."""
    check_practice(connection, practice, now)
    info = tables.ledger_info
    connection.execute(update(info).where(info.c.practice.is_(None)).values(practice=int(practice)))


def check_practice(connection: Connection, practice: bool, now: float) -> None:  # noqa: FBT001 - the mark itself
    """Raises UsageError where the ledger has the other mark, or none and candles later than `now`, which is on the
    clock that is to write to it.
    """
    mark = read_practice(connection)
    if mark is None:
        newest = connection.execute(select(func.max(tables.candles.c.bar_time))).scalar_one()
        if newest is not None and now < newest:
            raise UsageError(
                f"the clock says {utc(now)}, but the ledger's newest bar is of {utc(newest)}: set the clock, or use "
                "another ledger.url"
            )
    elif mark and not practice:
        raise UsageError("the ledger is for practice, made on a simulated clock: set another ledger.url")
    elif practice and not mark:
        raise UsageError("the ledger is a real one: set another ledger.url for practice or a replay")
