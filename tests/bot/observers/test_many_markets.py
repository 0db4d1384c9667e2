"""What observers say of several markets: one message for a wave, who is not healthy, and a ping only for all."""

import socket
from pathlib import Path
from typing import Any

import pytest

from bot.clock import Clock
from bot.observers import NewestBar, check_markets
from bot.observers.metrics import Metrics
from bot.observers.newest import Newest
from bot.observers.notifications import Notifier, Ping
from bot.observers.systemd import StatusLine
from bot.settings import Settings
from bot.simulator import generate_candles
from bot.simulator.generate import START
from bot.trading import AccountState, AccountTerms, DecidedBar, Trader
from tests.harness import HOUR, Dial, model_of, settings_of

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NAMES = ("main", "eth", "ltc")
SYMBOLS = ("BTC", "ETH", "LTC")
CANDLES = generate_candles(40, 3, holes=0, quiet=0)
MODEL = model_of(11, bias=(-30.0, 30.0, -30.0))  # buys


def settings(**notify: Any) -> Settings:
    markets = [{"name": name, "symbol": f"{base}/USD"} for name, base in zip(NAMES[1:], SYMBOLS[1:], strict=True)]
    return settings_of(markets=markets, notify=notify)  # type: ignore[arg-type]


def accounts(bar_time: int | None = None) -> list[AccountState]:
    states = []
    for name, base in zip(NAMES, SYMBOLS, strict=True):
        trader = Trader(AccountTerms(name, f"bitfinex:{base}/USD:1h"), MODEL)
        states.append(AccountState(trader, trader.start(), bar_time))
    return states


def bar_of(account: AccountState, place: int) -> list[DecidedBar]:
    return [account.decide(CANDLES[place])]


class Said(Notifier):
    """A notifier whose messages are kept instead of sent."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self.messages: list[str] = []
        self._send = lambda title, body: self.messages.append(f"{title}\n{body}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> tuple[Said, Dial]:
    """A notifier, and the monotonic clock."""
    seconds = Dial(1000.0)
    monkeypatch.setattr("bot.observers.notifications.monotonic", seconds)
    notifier = Said(settings(urls="json://127.0.0.1:1/x", every_seconds=60.0), Dial(START + HOUR).clock)
    notifier.on_accounts(accounts(START))
    return notifier, seconds


def test_a_wave_is_one_message_of_one_line(said: tuple[Said, Dial]) -> None:
    notifier, seconds = said
    for name in NAMES:
        detail: dict[str, Any] = {"error": "HTTP 503", "failures": 1, "for_seconds": 0}
        notifier.on_event("exchange_error", detail if name == "main" else detail | {"market": name})
        assert not notifier.tick(last=False)
        seconds.now += 10
    seconds.now += 15
    assert notifier.tick(last=False)
    (message,) = notifier.messages
    assert message.splitlines() == [
        "hourhand main",
        "the exchange does not answer: 3 markets, main, eth, ltc; of main: HTTP 503, failures 1, for 0 s",
    ]


def test_one_market_alone_is_told_by_its_name(said: tuple[Said, Dial]) -> None:
    notifier, seconds = said
    notifier.on_event("exchange_error", {"error": "HTTP 503", "market": "eth"})
    seconds.now += 21
    assert notifier.tick(last=False)
    assert "the exchange does not answer: eth: HTTP 503" in notifier.messages[0]


def test_fills_say_whose_they_are(said: tuple[Said, Dial]) -> None:
    notifier, _ = said
    for account in accounts():
        notifier.on_bar(bar_of(account, 0), 0.0)
    assert notifier.tick(last=True)
    lines = notifier.messages[0].splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == list(NAMES)
    assert all(" bought " in line for line in lines)


def test_markets_that_stay_away_are_named_and_again_as_it_lasts(said: tuple[Said, Dial]) -> None:
    notifier, seconds = said
    clock = Dial(START + HOUR)
    notifier.clock = clock.clock
    for hour in range(1, 6):
        clock.now = START + (hour + 1) * HOUR + 60
        notifier.on_bar(bar_of(accounts()[0], hour), 0.0)
        notifier.tick(last=False)
        seconds.now += 120
    told = [line for message in notifier.messages for line in message.splitlines() if line.startswith("not healthy")]
    assert len(told) == 3  # after one, two and four hours
    assert told[0].startswith("not healthy: 2 of 3 markets; eth: the newest decided bar, ")


def test_health_is_that_of_all() -> None:
    now = START + 5 * HOUR + 60.0
    good, late = NewestBar(HOUR, START + 4 * HOUR), NewestBar(HOUR, START + HOUR)
    fine = check_markets({"main": good, "eth": good}, now, settings())
    assert (fine.healthy, fine.not_healthy) == (True, ())
    assert fine.sentence.startswith("healthy: all 2 markets; ")
    bad = check_markets({"main": good, "eth": late, "ltc": NewestBar(HOUR, None)}, now, settings())
    assert (bad.healthy, bad.not_healthy) == (False, ("eth", "ltc"))
    assert "2 of 3 markets; eth: the newest" in bad.sentence
    assert "ltc: no bar has been decided yet" in bad.sentence


def test_the_gauges_say_which_market() -> None:
    dial = Dial(START + 5 * HOUR + 60.0)
    metrics = Metrics(settings(), dial.clock)
    metrics.on_accounts(accounts(START))
    metrics.on_bar(bar_of(accounts()[1], 4), 0.0)
    found = {
        sample.labels.get("market", ""): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name in ("hourhand_market_healthy", "hourhand_healthy")
    }
    assert found == {"": 0.0, "main": 0.0, "eth": 1.0, "ltc": 0.0}
    metrics.on_accounts(accounts(START)[:2])
    assert len(next(iter(metrics.market_healthy.collect())).samples) == 2


def test_a_ping_is_for_all_markets() -> None:
    ping, states = Ping("http://127.0.0.1:1/"), accounts(START)
    ping.on_accounts(states)
    due = []
    for place, account in ((1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (3, 1)):
        ping.due = False
        ping.on_bar(bar_of(states[account], place), 0.0)
        due.append(ping.due)
    assert due == [True, True, True, True, False, False]  # ltc has not decided the second


def test_a_ping_does_not_wait_for_a_longer_bar() -> None:
    """Between two closes of four hours, the hours alone are decided, and none of the markets is behind."""
    ping, hourly = Ping("http://127.0.0.1:1/"), accounts(START + 3 * HOUR)[0]
    trader = Trader(AccountTerms("slow", "bitfinex:ETH/USD:4h"), MODEL)
    ping.on_accounts([hourly, AccountState(trader, trader.start(), START)])
    due = []
    for place in range(4, 9):
        ping.due = False
        ping.on_bar(bar_of(hourly, place), 0.0)
        due.append(ping.due)
    assert due == [True, True, True, True, False]  # the other one's bar of four o'clock is overdue


def test_a_pause_of_all_is_one_line(said: tuple[Said, Dial]) -> None:
    notifier, seconds = said
    for name in NAMES:
        notifier.on_event("paused", {"account": name, "bar_time": START})
    seconds.now += 21
    assert notifier.tick(last=False)
    assert len(notifier.messages[0].splitlines()) == 2
    assert "paused: 3 markets, main, eth, ltc; " in notifier.messages[0]


def test_the_line_of_systemctl_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        line, states = StatusLine(), accounts(START)
        line.on_accounts(states)
        line.on_event("exchange_error", {"error": "HTTP 503", "market": "eth"})
        line.on_bar(bar_of(states[0], 1), 0.0)
        line.on_event("exchange_recovered", {"market": "eth"})
        line.on_bar(bar_of(states[1], 1), 0.0)
        texts = [listener.recv(1000).decode() for _ in range(4)]
    assert texts[1] == "STATUS=exchange_error: market eth: HTTP 503"
    assert texts[2] == "STATUS=bar 2020-01-01T01:00:00Z: 1 of 3 markets decided; no answer for eth"
    assert texts[3] == "STATUS=bar 2020-01-01T01:00:00Z: 2 of 3 markets decided"


def test_a_market_that_has_just_come_has_time_for_its_first_bar() -> None:
    newest = Newest(settings(), since=START + 10 * HOUR)
    newest.on_accounts(accounts(None))
    assert newest.check(START + 11 * HOUR).healthy
    assert not newest.check(START + 13 * HOUR).healthy
