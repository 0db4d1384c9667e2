"""The same trader over a file of candles: what a daemon would have written, as fast as the ledger takes it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from bot.clock import Clock
from bot.errors import UsageError
from bot.ledger import Ledger, commit_bars, reading, resume_account
from bot.market import Candle, fill_gaps, find_gaps
from bot.model import in_sample_bars
from bot.trading import POLICY, SYNTHETIC, DecidedBar, Trader, new_account_state

BARS_PER_COMMIT: Final = 500


def replay_candles(
    ledger: Ledger,
    trader: Trader,
    candles: Sequence[Candle],
    warmup: int,
    progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Decide every candle after the first `warmup`; hours that the run lacks are synthetic. A ledger that has some of
    them already goes on after its last; where it has candles, of another account even, those are the ones decided on.

    Returns `bars`, `trades`, `bars_per_second` and `in_sample_bars` of this call.
    `progress` receives bars done and bars in all.

    Raises UsageError where the warm-up leaves none to decide, or the candles do not follow the ledger's last.
    """
    bar = trader.terms.bar
    with ledger.reading() as connection:
        account = resume_account(connection, trader, warmup)
        known = reading.read_candles_between(connection, trader.terms.market)
    stored = {candle.bar_time: candle for candle in known}
    run = [stored.get(candle.bar_time, candle) for candle in fill_gaps(candles, bar)]
    gaps = dict(find_gaps(candles, bar))
    new: list[Candle] = []
    if account.bar_time is None:
        if warmup >= len(run):
            raise UsageError(f"--warmup {warmup} leaves none of the {len(run)} candles to decide")
        if trader.lacks_limits:
            raise UsageError(
                f"account.limits is exchange, and no ledger has those of account {trader.terms.name!r}: "
                "`hourhand run --once` asks for them, and account.limits = 'own' does without"
            )
        new, run = run[:warmup], run[warmup:]
        account = new_account_state(trader, new, run[0])
    else:
        run = [candle for candle in run if candle.bar_time > (account.bar_time or 0)]
        if run and run[0].bar_time != account.bar_time + bar:
            raise UsageError("the file's candles do not follow the ledger's last bar: use another --ledger")
    first, trades, clock = time.perf_counter(), 0, Clock()
    for start in range(0, len(run), BARS_PER_COMMIT):
        entries: list[DecidedBar] = []
        for candle in run[start : start + BARS_PER_COMMIT]:
            entry = account.decide(candle, SYNTHETIC if candle.synthetic else POLICY)
            account = account.after(entry)
            entries.append(entry)
        new = [c for c in [*new, *(entry.step.candle for entry in entries)] if c.bar_time not in stored]
        events = [
            (clock.now(), "gap", {"bar_time": t, "bars": gaps[t]}) for t in (c.bar_time for c in new) if t in gaps
        ]
        with ledger.writing() as connection:
            commit_bars(connection, new, entries, events)
        trades += sum(entry.step.fill is not None for entry in entries)
        new = []
        progress(start + len(entries), len(run))
    seconds = time.perf_counter() - first
    return {
        "bars": len(run),
        "trades": trades,
        "bars_per_second": round(len(run) / seconds),
        "in_sample_bars": in_sample_bars(trader.model.manifest, (candle.bar_time for candle in run)),
    }
