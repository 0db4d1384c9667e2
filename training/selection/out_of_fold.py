"""A member on the block that was kept from it: the daemon's own steps, and each hour's gain over the account's mix."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.model import Array, Model, wanted_warmup
from bot.report import bars_a_year, log_returns
from bot.trading import rules_of
from training.data import Market, inside
from training.environment import WORTH
from training.evaluation import (
    SHARE,
    Evidence,
    policy_runs,
    span_of,
    timing_evidence,
    timing_gains,
)
from training.learner import TrainingSettings
from training.selection.blocks import Block

RUNS: Final = 4
_FEWEST_BARS: Final = 24


class OutOfFold(NamedTuple):
    """One market in one block: bar times (n,) and what was gained in the bars after them, `gains` (n, runs): log
    returns over those of the constant mix of each run's own mean share. `log_return` and `hold` are totals, `cost` is
    commission and spread as parts of the value, summed, `share` the mean share in coins, `turnover` what was traded as
    a multiple of the value; means of the runs.
    """

    market: str
    times: NDArray[np.int64]
    gains: Array
    log_return: float
    hold: float
    cost: float
    share: float
    turnover: float


def out_of_fold(model: Model, markets: Sequence[Market], block: Block, settings: TrainingSettings) -> list[OutOfFold]:
    """The model on every market that has bars in the block: accounts of 10,000, half of it in coins, that pay the
    account's commission and half of the spread, and draw their actions four times over.
    """
    found = []
    for market in markets:
        if len(inside(market.candles, block.first, block.end)) < _FEWEST_BARS:
            continue
        span = span_of(market.candles, block.first, block.end, market.bar, wanted_warmup(model.policy))
        rules = rules_of(settings.account)._replace(initial_balance=WORTH).with_share(SHARE, span.closes[0])
        slippage_bps = 10_000 * settings.costs.half_spread
        runs = policy_runs(model, span, rules, "sample", range(RUNS), slippage_bps=slippage_bps)
        found.append(
            OutOfFold(
                market.name,
                np.array([candle.bar_time for candle in span.decided[:-1]]),
                timing_gains(span, runs, rules),
                float(log_returns(runs.values).sum(0).mean()),
                float(np.log(span.closes[-1] / span.closes[0])),
                float(runs.costs.sum(0).mean()),
                float(runs.shares.mean()),
                float(runs.traded.sum(0).mean()),
            )
        )
    return found


def evidence(results: Sequence[OutOfFold], trials: int, bar: int) -> Evidence:
    """What the results say of timing, all markets and blocks together; see `timing_evidence`."""
    names = list(dict.fromkeys(result.market for result in results))
    times = np.unique(np.concatenate([result.times for result in results]))
    gains = np.full((len(times), len(names), RUNS), np.nan)
    for result in results:
        gains[np.searchsorted(times, result.times), names.index(result.market)] = result.gains
    return timing_evidence(gains, trials, bars_a_year=bars_a_year(bar))


def summary(results: Sequence[OutOfFold], bar: int) -> dict[str, Any]:
    """The results as a manifest keeps them: everything a year of the account's time, over all markets and blocks."""
    years = sum(len(result.gains) for result in results) / bars_a_year(bar)

    def yearly(name: str) -> float:
        return round(float(sum(getattr(result, name) for result in results)) / years, 6)

    hours = np.array([len(result.gains) for result in results])
    return {
        "hours": int(hours.sum()),
        "timing_a_year": round(sum(float(result.gains.sum(0).mean()) for result in results) / years, 6),
        "log_return_a_year": yearly("log_return"),
        "hold_a_year": yearly("hold"),
        "cost_a_year": yearly("cost"),
        "turnover_a_year": yearly("turnover"),
        "exposure": round(float(np.average([result.share for result in results], weights=hours)), 6),
    }
