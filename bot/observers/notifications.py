"""Telling people what happens, through any service that Apprise knows, and dead-man services that bars are decided."""

import base64
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from bot.clock import Clock, utc
from bot.console import format_cell
from bot.errors import LedgerError, UsageError
from bot.extras import extras_required
from bot.ledger import newest_link, reading, reading_from
from bot.observers.health import span
from bot.observers.newest import Newest
from bot.observers.outage import Outage
from bot.observers.threads import NotSentError
from bot.settings import Settings
from bot.trading import MISSED, AccountState, AccountTerms, DecidedBar, Decision, Fill

DAY: Final = 86_400
_MOST_LINES: Final = 30
_GATHER_SECONDS: Final = 20.0  # of quiet before a message about several markets is sent,
_LONGEST_GATHER: Final = 90.0  # and how long it waits for that at most
_MOST_NAMED: Final = 10
_OF_A_MARKET: Final = frozenset(
    {
        "exchange_error",
        "exchange_recovered",
        "clock_skew",
        "clock_skew_over",
        "clock_behind",
        "clock_behind_over",
        "model_swapped",
        "model_failed",
        "model_recovered",
        "paused",
        "resumed",
        "stale_feed",
        "stale_feed_over",
        "suspect",
        "gap",
        "revision",
    }
)
_PING_SECONDS: Final = 10.0
_TROUBLE: Final = {
    "exchange_error": "the exchange does not answer",
    "exchange_recovered": "the exchange answers again",
    "ledger_unavailable": "the ledger cannot be written",
    "ledger_recovered": "the ledger can be written again",
    "clock_skew": "this clock is off the exchange's",
    "clock_skew_over": "this clock is right again",
    "clock_behind": "this clock is before the newest decided bar, so nothing is decided",
    "clock_behind_over": "this clock is past the newest decided bar again",
    "stale_feed": "the exchange's candles are old",
    "stale_feed_over": "the exchange's candles are new again",
    "suspect": "a price that is not believed yet",
    "gap": "hours that the exchange does not have",
    "revision": "the exchange changed a candle that was decided",
    "model_swapped": "another model decides",
    "paused": "paused",
    "resumed": "resumed",
    "model_failed": "a model fails, and its market is not decided",
    "model_recovered": "the model decides again",
    "model_rejected": "a model was refused, the one before trades on",
    "settings_rejected": "the settings were refused, those before hold",
    "market_rejected": "a market was refused",
    "ping_down": "the ping URL cannot be reached",
    "ping_up": "the ping URL is reached again",
    "failed": "the daemon ended with an error",
}


class Notifier:
    """An observer that collects lines and sends them to one address as one message, at most once in
    `notify.every_seconds`.
    """

    name = "notifier"

    def __init__(self, settings: Settings, clock: Clock, number: int = 1) -> None:
        """`number` counts the addresses of `notify.urls` from 1.

        Raises UsageError where Apprise is not installed or does not understand the address.
        """
        self.settings, self.clock = settings, clock
        self.account = settings.account.name
        self.lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.waves: dict[str, dict[str, str]] = {}  # by kind of event: what happened in each market
        self.heard_at = self.first_at = -float("inf")
        self.left_out = 0
        self.sent_at = -float("inf")
        self.stale = Outage()
        self.stale_markets: set[str] = set()
        # A daemon that has just started has the same time for its first bar as for any other.
        self.newest = Newest(settings, since=clock.now())
        self._send = _sender(settings.notify.urls.split()[number - 1], number)

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """See Observer."""
        self.account = account_states[0].trader.terms.name
        self.newest.on_accounts(account_states)
        self.lines = deque(self.lines, maxlen=max(_MOST_LINES, 2 * len(self.newest.of)))

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:  # noqa: ARG002 - an observer's
        """Tell of a main account's fill, and of the day once its last bar is decided."""
        self.newest.on_bar(entries)
        for entry in entries:
            terms, step = entry.trader.terms, entry.step
            if terms.name not in self.newest.of:
                continue
            whose = f"{terms.name}: " if len(self.newest.of) > 1 else ""
            if step.fill is not None and self.settings.notify.fills:
                self._say(whose + fill_line(step.fill, step.decision))
            midnight = (step.decision.bar_time + terms.bar) // DAY * DAY
            if midnight > step.decision.bar_time and self.settings.notify.summary:
                self._say(whose + self._day(terms, min(midnight - DAY, step.decision.bar_time), midnight))

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Tell of a trouble, or its end, and of models."""
        if kind not in _TROUBLE:
            return
        words = ", ".join(_words(key, value) for key, value in detail.items() if key != "market")
        if len(self.newest.of) > 1 and kind in _OF_A_MARKET:
            self._hear()
            name = str(detail.get("account", self.newest.market_of(detail)))
            self.waves.setdefault(kind, {})[name] = words
        else:
            self._say(f"{_TROUBLE[kind]}: {words}")

    def tick(self, *, last: bool) -> bool:
        """Send what there is to say. Raises NotSentError with Apprise's reason where a service did not take it, which
        counts as a message: a service may have delivered what it then refused.
        """
        self._look()
        due = monotonic() >= self.sent_at + self.settings.notify.every_seconds and self._has_gathered()
        if not (self.lines or self.waves) or not (last or due):
            return False
        for kind, markets in self.waves.items():
            self._say(_wave_line(kind, markets))
        self.waves = {}
        more = [f"and {self.left_out} more before these"] if self.left_out else []
        try:
            self._send(f"hourhand {self.account}", "\n".join([*more, *self.lines]))
        except OSError as error:
            raise NotSentError(str(error), self.settings.notify.every_seconds) from error
        self.lines.clear()
        self.left_out = 0
        self.sent_at = monotonic()
        return True

    def _say(self, line: str) -> None:
        self._hear()
        self.left_out += len(self.lines) == self.lines.maxlen
        self.lines.append(line)

    def _hear(self) -> None:
        now = monotonic()
        self.heard_at, self.first_at = now, self.first_at if self.lines or self.waves else now

    def _has_gathered(self) -> bool:
        """Whether what happens to several markets one after the other has had the time to become one message."""
        if len(self.newest.of) == 1:
            return True
        return monotonic() >= min(self.heard_at + _GATHER_SECONDS, self.first_at + _LONGEST_GATHER)

    def _look(self) -> None:
        """Whether bars are still decided in time."""
        now = self.clock.now()
        verdict = self.newest.check(now)
        more = set(verdict.not_healthy) - self.stale_markets
        self.stale_markets = set(verdict.not_healthy)
        if not verdict.healthy and (self.stale.failed(now) is not None or more):
            self._say(verdict.sentence)
        elif verdict.healthy and self.stale.over(now) is not None:
            self._say(f"healthy again: the bar of {utc(verdict.bar_time or 0)} is decided")

    def _day(self, terms: AccountTerms, first: int, end: int) -> str:
        """One line on the account's bars in [first, end)."""
        try:
            with reading_from(self.settings.ledger.url) as connection:
                link = newest_link(connection, terms.name)
                rows = [s.decision for s in reading.read_decisions(connection, terms.name, first - terms.bar, end)]
        except LedgerError as error:
            return f"no summary of {utc(first)[:10]}: {error}"
        line = day_line([row for row in rows if row.bar_time >= first], rows[0], first)
        return f"{line}; newest link of the chain {link}"


class Ping:
    """An observer that asks for `notify.ping_url` after each decided bar, so that its absence is noticed elsewhere; of
    several markets, only while none of them is more than a bar of its own behind.
    """

    name = "ping"

    def __init__(self, url: str) -> None:
        self.url, self.authorization = _without_userinfo(url)
        self.due = False
        self.closes: dict[str, tuple[int, int]] = {}  # by market, of its newest bar and of the one after that

    def on_accounts(self, account_states: Sequence[AccountState]) -> None:
        """Remember how far each market has come."""
        self.closes = {}
        for account in account_states:
            self._closed(account.trader.terms, account.bar_time or 0)

    def on_bar(self, entries: Sequence[DecidedBar], seconds: float) -> None:  # noqa: ARG002 - an observer's
        """A ping is due; bars that are decided at once are one."""
        self._closed(entries[0].trader.terms, entries[0].step.decision.bar_time)
        newest, following = zip(*self.closes.values(), strict=True)
        self.due = self.due or max(newest) <= min(following)

    def _closed(self, terms: AccountTerms, bar_time: int) -> None:
        self.closes[terms.market] = (bar_time + terms.bar, bar_time + 2 * terms.bar)

    def on_event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def tick(self, *, last: bool) -> bool:  # noqa: ARG002 - an observer's
        """Ping where it is due. Raises OSError where the answer is none, or not one of success."""
        if not self.due:
            return False
        request = urllib.request.Request(self.url, headers={"User-Agent": "hourhand"} | self.authorization)  # noqa: S310 - checked in the settings
        with urllib.request.urlopen(request, timeout=_PING_SECONDS) as reply:  # noqa: S310
            reply.read(1024)
        self.due = False
        return True


def _without_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """The address without name and password, and the header that carries them (RFC 7617)."""
    parts = urlsplit(url)
    userinfo, _, host = parts.netloc.rpartition("@")
    if not userinfo:
        return url, {}
    encoded = base64.b64encode(unquote(userinfo).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {encoded}"}


def _wave_line(kind: str, markets: Mapping[str, str]) -> str:
    """What happened to some markets, in one line: which, and how it was for the first of them."""
    names = list(markets)
    named = ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )
    if len(names) == 1:
        return f"{_TROUBLE[kind]}: {named}: {markets[names[0]]}"
    return f"{_TROUBLE[kind]}: {len(names)} markets, {named}; of {names[0]}: {markets[names[0]]}"


def fill_line(fill: Fill, decision: Decision) -> str:
    """A trade for people."""
    verb = "bought" if fill.side == "buy" else "sold"
    return (
        f"{utc(fill.bar_time)} {verb} {fill.amount:.8f} at {format_cell(fill.price)} for {fill.cost:,.2f} "
        f"(commission {fill.commission:,.2f}); value {decision.value:,.2f}, {_excess(decision)}"
    )


def day_line(rows: Sequence[Decision], before: Decision, first: int) -> str:
    """A day for people. `rows`: its decisions; `before`: the one before them, or the first of them."""
    last = rows[-1]
    trades = sum(row.action != "hold" for row in rows)
    missed = sum(row.reason == MISSED for row in rows)
    change, hold = last.value / before.value - 1, last.hold_value / before.hold_value - 1
    return (
        f"{datetime.fromtimestamp(first, UTC):%Y-%m-%d}: {len(rows)} bars, {trades} trades"
        f"{f', {missed} missed' if missed else ''}; value {last.value:,.2f} ({change:+.2%}; holding {hold:+.2%}), "
        f"{_excess(last)}"
    )


def _excess(decision: Decision) -> str:
    excess = decision.value - decision.hold_value
    return f"{abs(excess):,.2f} {'more' if excess >= 0 else 'less'} than holding"


def _words(key: str, value: Any) -> str:
    """One entry of an event's detail for people."""
    if key == "error":
        return str(value)
    if key == "for_seconds":
        return f"for {span(value)}"
    return f"{key.replace('_', ' ')} {utc(value) if key == 'bar_time' else value}"


def check_addresses(settings: Settings) -> int:
    """How many addresses `notify.urls` has. Raises UsageError as `Notifier` does."""
    urls = settings.notify.urls.split()
    for number, url in enumerate(urls, start=1):
        _sender(url, number)
    return len(urls)


def _sender(url: str, number: int) -> Callable[[str, str], None]:
    """A function that sends (title, body) to `url`, or raises OSError."""
    with extras_required("notify.urls"):
        import apprise  # noqa: PLC0415 - an extra, and 35 MB that only those who use it should pay for
    services = apprise.Apprise()
    log_capture: Any = apprise.LogCapture
    with log_capture():  # it would print the address, which is a secret
        understood = services.add(url)
    if not understood:
        raise UsageError(f"settings: notify.urls: Apprise does not understand address number {number}")

    def send(title: str, body: str) -> None:
        with log_capture(level=apprise.logging.WARNING, fmt="%(message)s") as log:
            sent = services.notify(title=title, body=body)
            said = log.getvalue().strip().splitlines()
        if not sent:
            raise OSError(f"address number {number}: {said[0] if said else 'Apprise could not send'}")

    return send
