"""A member on the block that was kept from it: the daemon's own steps, and each hour's gain over the account's own mix."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.model import Array, Model
from bot.trading import rules_of
from training.data import Market
from training.evaluation import log_returns, mix_values, policy_runs, span_of
from training.learner import TrainingSettings
from training.selection.blocks import Block

RUNS: Final = 4
WORTH: Final = 10_000.0
_FEWEST_BARS: Final = 24


class OutOfFold(NamedTuple):
    """One market in one block: the bar times (n,) at whose closes the next bar's `gains` (n,) were decided: log returns
    over those of the constant mix of the account's own mean share, mean of the runs. `log_return` and `hold` are totals,
    `cost` is commission and spread as parts of the value, summed, `share` the mean share in coins, `turnover` what was
    traded as a multiple of the value.
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
        inside = [candle for candle in market.candles if block.first <= candle.bar_time < block.end]
        if len(inside) < _FEWEST_BARS:
            continue
        span = span_of(market.candles, block.first, block.end, market.bar)
        start = span.closes[0]
        rules = rules_of(settings.account)._replace(initial_balance=WORTH / 2, initial_stocks=WORTH / 2 / start)
        slippage_bps = 10_000 * settings.reward.half_spread
        runs = policy_runs(model, span, rules, "sample", range(RUNS), slippage_bps=slippage_bps)
        share = float(runs.shares.mean())
        mine = log_returns(runs.values).mean(1)
        found.append(
            OutOfFold(
                market.name,
                np.array([candle.bar_time for candle in span.decided[:-1]]),
                mine - log_returns(mix_values(span, rules, share))[:, 0],
                float(mine.sum()),
                float(np.log(span.closes[-1] / start)),
                float(runs.costs.sum(0).mean()),
                share,
                float(runs.traded.sum(0).mean()),
            )
        )
    return found


def summary(results: Sequence[OutOfFold], bar: int) -> dict[str, Any]:
    """The results as a manifest keeps them: everything a year of the account's time, over all markets and blocks."""
    years = sum(len(result.gains) for result in results) * bar / (8760 * 3600)

    def yearly(name: str) -> float:
        return round(sum(getattr(result, name) for result in results) / years, 6)

    hours = np.array([len(result.gains) for result in results])
    return {
        "hours": int(hours.sum()),
        "timing_a_year": round(sum(float(result.gains.sum()) for result in results) / years, 6),
        "log_return_a_year": yearly("log_return"),
        "hold_a_year": yearly("hold"),
        "cost_a_year": yearly("cost"),
        "turnover_a_year": yearly("turnover"),
        "exposure": round(float(np.average([result.share for result in results], weights=hours)), 6),
    }
