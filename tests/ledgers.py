"""Ledgers for the page and its tests: three accounts, a change of models, hours not traded on, as long as wanted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bot.ledger import (
    Ledger,
    add_event,
    commit_bars,
    newest_bar,
    open_writer,
    read_candles_between,
    resume_account,
)
from bot.market import Candle, fill_gaps
from bot.model import Model
from bot.simulator import generate_candles
from bot.trading import MISSED, PAUSED, POLICY, SYNTHETIC, AccountTerms, DecidedBar, Trader, new_account_state
from tests.harness import HOUR, MARKET, model_of

WARMUP = 200
_BATCH = 2_000


def usual_reason(place: int, candle: Candle) -> str:
    """An outage of 30 hours in every 5,000, a pause of 40 in every 7,000."""
    if candle.synthetic:
        return SYNTHETIC
    if place % 5_000 in range(3_000, 3_030):
        return MISSED
    return PAUSED if place % 7_000 in range(1_500, 1_540) else POLICY


def decide(
    ledger: Ledger,
    trader: Trader,
    candles: Sequence[Candle],
    reason: Callable[[int, Candle], str] = usual_reason,
) -> None:
    """Decide all candles that follow the account's last bar; a new account is warmed up on the first ones."""
    with ledger.reading() as connection:
        account = resume_account(connection, trader, WARMUP)
        stored = {int(row[0]) for row in connection.exec_driver_sql("SELECT bar_time FROM candles")}
    early: list[Candle] = []
    if account.bar_time is None:
        early, candles = list(candles[:WARMUP]), candles[WARMUP:]
        account = new_account_state(trader, early, candles[0])
    else:
        candles = [candle for candle in candles if candle.bar_time > (account.bar_time or 0)]
    for start in range(0, len(candles), _BATCH):
        entries: list[DecidedBar] = []
        events: list[tuple[float, str, dict[str, object]]] = []
        for place, candle in enumerate(candles[start : start + _BATCH], start):
            entry = account.decide(candle, reason(place, candle))
            now = trader.model.model_id
            if account.model_before not in (None, now):
                detail = {"account": trader.terms.name, "bar_time": candle.bar_time, "before": account.model_before}
                events.append((candle.bar_time + HOUR + 21.0, "model_swapped", detail | {"now": now}))
            account = account.after(entry)
            entries.append(entry)
        new = [c for c in [*early, *(entry.step.candle for entry in entries)] if c.bar_time not in stored]
        with ledger.writing() as connection:
            commit_bars(connection, new, entries, events)
        stored |= {candle.bar_time for candle in new}
        early = []


def write_ledger(
    file: Path,
    bars: int,
    models: Sequence[Model],
    seed: int = 5,
    end: int | None = None,
    names: tuple[str, str, str] = ("main", "cautious", "<b>fresh</b>"),
) -> Path:
    """A ledger of three accounts: the first one's model changes two thirds through, the third began late. The last bar
    opens at `end`, where that is given.
    """
    candles = fill_gaps(generate_candles(WARMUP + bars, seed=seed, holes=0.001), HOUR)[: WARMUP + bars]
    shift = 0 if end is None else end - candles[-1].bar_time
    candles = [candle._replace(bar_time=candle.bar_time + shift) for candle in candles]
    ledger = open_writer(f"sqlite:///{file}")
    terms = AccountTerms(names[0], MARKET)
    decide(ledger, Trader(terms, models[0]), candles[: WARMUP + 2 * bars // 3])
    decide(ledger, Trader(terms, models[1]), candles)
    decide(ledger, Trader(terms._replace(name=names[1]), models[1], "argmax"), candles)
    decide(ledger, Trader(terms._replace(name=names[2]), models[0]), candles[-(WARMUP + bars // 10) :])
    with ledger.writing() as connection:
        add_event(connection, candles[WARMUP].bar_time + HOUR, "started", {"version": "0", "pid": 1})
    ledger.close()
    return file


def append_bar(file: Path, model: Model) -> int:
    """Decide one more bar of `main`, a little above the one before, as a daemon would; its bar time."""
    ledger = open_writer(f"sqlite:///{file}")
    with ledger.reading() as connection:
        newest = newest_bar(connection, MARKET) or 0
        (last,) = read_candles_between(connection, MARKET, newest, newest + 1)
    close = round(last.close * 1.001, 2)
    candle = Candle(newest + HOUR, last.close, close, last.close, close, 1.0)
    decide(ledger, Trader(AccountTerms("main", MARKET), model), [candle])
    ledger.close()
    return candle.bar_time


def two_models() -> list[Model]:
    """Two small models that trade at some bars."""
    return [model_of(11, bias=(3.0, 0.0, 0.0)), model_of(12, bias=(3.5, 0.0, 0.5))]
