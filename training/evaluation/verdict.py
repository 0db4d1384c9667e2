"""The one judgement of a policy's timing: evidence of it, or none, in one sentence that is the same everywhere."""

from math import erfc, sqrt
from typing import Final, NamedTuple

from bot.model import Array
from bot.report import HOURS_A_YEAR, pooled_interval

SIGNIFICANCE: Final = 0.05
_FEWEST_BARS: Final = 100


class Evidence(NamedTuple):
    """What there is to say of a policy's timing. `timing` is its log return over the constant mix, a year, and `ci` the
    95 % interval of that, `p_value` how likely chance alone does as well in the best of all trials, `found` whether
    that is evidence, and `sentence` all of it in words.
    """

    timing: float
    ci: tuple[float, float]
    p_value: float
    sentence: str
    found: bool


class Checks(NamedTuple):
    """What else speaks for or against a policy that was chosen among several; None where nobody worked it out.

    `pbo` is the probability of backtest overfitting, `deflated_sharpe` the probability that the Sharpe ratio of the
    timing is more than the best of as many trials by chance, `spa_p_value` the p-value of Hansen's test that no
    candidate beats the baseline. `in_sample_bars` counts those that the policy learned from.
    """

    pbo: float | None = None
    deflated_sharpe: float | None = None
    spa_p_value: float | None = None
    in_sample_bars: int = 0

    def objections(self) -> list[str]:
        """The figures that speak against it, in words."""
        told = []
        if self.in_sample_bars:
            told.append(f"the model learned from {self.in_sample_bars:,} of these bars")
        if self.pbo is not None and self.pbo >= 0.5:
            told.append(f"the best of the candidates was as often below the median afterwards (PBO {self.pbo:.2f})")
        if self.deflated_sharpe is not None and self.deflated_sharpe <= 1 - SIGNIFICANCE:
            told.append(f"the deflated Sharpe ratio is {self.deflated_sharpe:.2f}")
        if self.spa_p_value is not None and self.spa_p_value >= SIGNIFICANCE:
            told.append(f"Hansen's SPA gives chance {self.spa_p_value:.2f}")
        return told


def timing_evidence(
    returns: Array,
    n_trials: int = 1,
    checks: Checks = Checks(),  # noqa: B008 - a NamedTuple is never changed
    *,
    bars_a_year: float = HOURS_A_YEAR,
    seed: int = 0,
) -> Evidence:
    """Judge the log returns over the constant mix, hour by hour: (hours, markets, draws), NaN where a market has no
    such hour. They are of hours that the policy did not learn from, and `n_trials` counts every policy and setting
    that was looked at before this one was chosen.

    The pool is the mean of the markets in each hour, and of the draws (seeds, runs); its interval resamples the same
    hours in all markets, and the draws. The p-value is the upper tail of a normal distribution with the resampled
    deviation, corrected for the trials as if they were independent: `1 - (1 - p) ** n_trials` (Sidak 1967). Timing is
    found where that is below 5 %, the interval above 0, and none of `checks` objects.
    """
    interval = pooled_interval(returns, seed)
    bars = len(returns)
    p_value = 1.0
    if interval.deviation > 0 and bars >= _FEWEST_BARS:
        p_value = 1 - (1 - 0.5 * erfc(interval.value / interval.deviation / sqrt(2))) ** n_trials
    objections = checks.objections()
    found = p_value < SIGNIFICANCE and interval.low > 0 and not objections
    timing, low, high = (figure * bars_a_year / bars for figure in (interval.value, interval.low, interval.high))
    figures = f"{timing:+.3f} a year over the constant mix (95 % interval {low:+.3f} to {high:+.3f})"
    chance = f"chance alone does as well with probability {p_value:.2g}{_after(n_trials)}"
    if found:
        sentence = f"timing found: {figures}; {chance}"
    elif interval.high < 0:
        sentence = f"no evidence of timing: it loses, {figures}"
    elif bars < _FEWEST_BARS:
        sentence = f"no evidence of timing: {bars} bars are too few to tell"
    else:
        sentence = "; ".join([f"no evidence of timing: {figures}", chance, *objections])
    return Evidence(timing, (low, high), p_value, sentence, found)


def _after(n_trials: int) -> str:
    return f" in the best of {n_trials:,} trials" if n_trials > 1 else ""
