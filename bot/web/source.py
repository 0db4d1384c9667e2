"""The ledger as the server sees it: opened when it is there, and anew when it was replaced; its bars kept in memory."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from bot.errors import HourhandError, LedgerError, UsageError
from bot.ledger import Ledger, open_reader, pages, read_terms
from bot.report import AccountRecord, FullSeries, full_series, history_of, join_records, read_record

_MOST_RESULTS: Final = 32
_FRESH_SECONDS: Final = 60.0  # after which the ledger is opened anew: an upgrade or a restored backup is seen by then


class NotReadyError(HourhandError):
    """The ledger cannot be read now: not there yet, awaiting its upgrade, or unreachable."""


class _Kept(NamedTuple):
    """An account's bars up to the newest one, and that one's link."""

    bar_time: int
    link: str
    full: FullSeries


class Source:
    """A ledger to read from, from any thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ledger: Ledger | None = None
        self._opened = 0.0
        self._opening, self._keeping = threading.Lock(), threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._results: dict[str, tuple[object, Any]] = {}
        self._making: dict[str, threading.Lock] = {}

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees the ledger as it is at one moment; for a short time.

        Raises NotReadyError where the ledger cannot be read now.
        """
        try:
            with self._open().reading() as connection:
                yield connection
        except LedgerError as error:
            self.close()
            raise NotReadyError(str(error)) from error

    def close(self) -> None:
        """Close the ledger; the next reading opens it again."""
        with self._opening:
            ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def _open(self) -> Ledger:
        with self._opening:
            if self._ledger is not None and time.monotonic() < self._opened + _FRESH_SECONDS:
                self._ledger.check_file()
                return self._ledger
            before, self._ledger = self._ledger, None
            if before is not None:
                before.close()
            self._ledger, self._opened = open_reader(self.url), time.monotonic()
            return self._ledger

    # ---- what is kept until the next bar

    def series(self, account: str) -> FullSeries:
        """All bars of the account. Only those that are new since the last call are read.

        Raises UsageError for an account that has none.
        """
        with self._keeping, self.reading() as connection:
            return self._series(connection, account)

    def _series(self, connection: Connection, account: str) -> FullSeries:
        link = pages.newest_links(connection, [account]).get(account)
        if link is None:
            self._kept.pop(account, None)
            raise UsageError(f"account {account!r} has not decided a bar")
        kept = self._kept.get(account)
        if kept is None or kept[:2] != link:
            kept = _Kept(*link, full_series(history_of(self._record(connection, account, kept))))
            self._kept[account] = kept
        return kept.full

    def _record(self, connection: Connection, account: str, kept: _Kept | None) -> AccountRecord:
        terms = read_terms(connection, account)
        if terms and kept and pages.link_at(connection, account, kept.bar_time) == kept.link:
            later = read_record(connection, terms, kept.bar_time + terms.bar)
            if later is not None:
                return join_records(kept.full.history.record, later)
        record = read_record(connection, terms) if terms else None
        if record is None:
            raise UsageError(f"account {account!r} has not decided a bar")
        return record

    def once_a_bar(self, name: str, key: object, make: Callable[[], Any]) -> Any:
        """What `make()` returned last under that name, made anew where `key` is another one."""
        if len(self._results) > _MOST_RESULTS:
            self._results.clear()
            self._making.clear()
        with self._making.setdefault(name, threading.Lock()):
            known = self._results.get(name)
            if known is None or known[0] != key:
                known = self._results[name] = (key, make())
            return known[1]
