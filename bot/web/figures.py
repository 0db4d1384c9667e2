"""What pages and API have in common: each figure is asked for once, from the rooms that define it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.clock import Clock, bar_seconds, utc
from bot.errors import HourhandError, UsageError
from bot.ledger import is_in_use, pages, read_all_terms
from bot.model import registry
from bot.observers import account_statuses
from bot.report import Event, align_histories, compare_accounts, render_page
from bot.service import paused_accounts
from bot.settings import Settings
from bot.web.source import Source

_EVENTS_IN_REPORT = 5_000


class Figures:
    """Everything that is shown, by name."""

    def __init__(self, settings: Settings, clock: Clock, source: Source) -> None:
        self.settings, self.clock, self.source = settings, clock, source

    def accounts(self) -> list[dict[str, Any]]:
        """An entry for each account that has a bar, the settings' own first: what `status --json` has, and whether it
        is paused and when its next bar is due.
        """
        in_use = is_in_use(self.settings.ledger.url)
        with self.source.reading() as connection:
            rows = account_statuses(connection, self.settings, self.clock.now(), in_use=in_use)
        paused = paused_accounts(self.settings)
        delay = self.settings.schedule.poll_delay_seconds
        entries = []
        for row in rows:
            if row["market"] is None:
                continue
            bar = bar_seconds(row["market"].rpartition(":")[2])
            due = row["bar_time"] + 2 * bar + delay if row["bar_time"] is not None else None
            time = utc(row["bar_time"]) if row["bar_time"] is not None else None
            entries.append(row | {"time": time, "paused": row["account"] in paused, "next_bar_due": due})
        return entries

    def names(self) -> list[str]:
        """The accounts of the ledger, the settings' own first."""
        with self.source.reading() as connection:
            names = [terms.name for terms in read_all_terms(connection)]
        main = self.settings.account.name
        return [*([main] if main in names else []), *(name for name in names if name != main)]

    def together(self, names: Sequence[str]) -> list[str]:
        """The accounts asked for, or where none is, all on the market of the first one.

        Raises UsageError for one that the ledger does not have.
        """
        with self.source.reading() as connection:
            markets = {terms.name: terms.market for terms in read_all_terms(connection)}
        for name in names:
            if name not in markets:
                raise UsageError(f"there is no account {name!r}")
        if names:
            return list(dict.fromkeys(names))
        first = self.names()[:1]
        return [*first, *(name for name in markets if name not in first and markets[name] == markets[first[0]])]

    def compare(self, names: Sequence[str]) -> dict[str, Any]:
        """What `compare --json` has over the hours that the accounts share, with 95 % intervals; kept until the
        next bar.

        Raises UsageError where they share none.
        """
        together = self.together(names)
        result: dict[str, Any] = self._once_a_bar("compare", together, lambda: self._compare(together))
        return result

    def _compare(self, names: Sequence[str]) -> dict[str, Any]:
        if not names:
            raise UsageError("no account has decided a bar yet")
        aligned, _ = align_histories([self.source.series(name).history for name in names], keep_all=True)
        if not aligned:
            raise UsageError(f"the accounts {', '.join(names)} have no hours in common")
        return compare_accounts(aligned)

    def report(self, names: Sequence[str]) -> str:
        """The page of `hourhand report`, kept until the next bar."""
        together = self.together(names)
        page: str = self._once_a_bar("report", together, lambda: self._report(together))
        return page

    def _report(self, names: Sequence[str]) -> str:
        if not names:
            raise UsageError("no account has decided a bar yet")
        histories = [self.source.series(name).history for name in names]
        with self.source.reading() as connection:
            span = pages.Span(float("-inf"), float("inf"), _EVENTS_IN_REPORT, newest_first=True)
            rows = pages.page_of_events(connection, None, span)
        events = [Event(row["at"], row["kind"], json.dumps(row["detail"])) for row in reversed(rows)]
        aligned, left_out = align_histories(histories)
        return render_page(histories, aligned, events, self.clock.now(), left_out)

    def models(self) -> dict[str, Any]:
        """The registry's models, and which is current; none where a rule decides."""
        if not registry.is_path(self.settings.policy.model):
            return {"current": None, "models": []}
        pointer = Path(self.settings.policy.model)
        key = (registry.signature(pointer), tuple(registry.model_ids(pointer)))
        rows: list[dict[str, Any]] = self.source.once_a_bar("models", key, lambda: _models(pointer))
        current = next((row["model_id"] for row in rows if row["role"] == "current"), None)
        return {"current": current, "models": rows}

    def _once_a_bar(self, what: str, names: Sequence[str], make: Any) -> Any:
        with self.source.reading() as connection:
            links = pages.newest_links(connection, names)
        return self.source.once_a_bar(f"{what} {names}", links, make)


def _models(pointer: Path) -> list[dict[str, Any]]:
    try:
        return registry.list_models(pointer)
    except HourhandError:
        return []
